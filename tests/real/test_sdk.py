"""The whole surface of the official Python SDK for messages, models and counts, on the real Claude Code."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import anthropic
import psutil
import pytest
from anthropic import beta_tool
from pydantic import BaseModel

from relayd.doctor.conversations import document, image
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from tests.helpers import latest_at, until
from tests.real.test_tools import slots, upstream

pytestmark = pytest.mark.real

MODEL = "claude-sonnet-4-6"
ROUNDS = 20


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def sdk(real: Harness) -> Iterator[anthropic.Anthropic]:
    real.api.clear()
    with anthropic.Anthropic(base_url=real.url, api_key="any", max_retries=0) as client:
        yield client


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}


def test_create_in_every_dress(sdk: anthropic.Anthropic) -> None:
    raw = sdk.messages.with_raw_response.create(**ask("[[say raw]]"))
    assert raw.headers["request-id"] == raw.parse()._request_id
    with sdk.messages.with_streaming_response.create(**ask("[[say streaming]]")) as response:
        assert response.parse().content[0].text == "streaming"
    beta = sdk.beta.messages.create(**ask("[[say beta]]"), betas=["never-heard-2030-01-01"])
    assert beta.content[0].text == "beta"
    assert "".join(e.delta.text for e in sdk.messages.create(**ask("[[say s]]"), stream=True) if e.type == "content_block_delta")


def test_parse_gives_a_typed_answer_whole_and_streamed(sdk: anthropic.Anthropic, real: Harness) -> None:
    parsed = sdk.messages.parse(**ask("Describe Rome with 28"), output_format=City)
    assert parsed.parsed_output == City(name="Rome", people=28)
    assert upstream(real)[-1]["output_config"]["format"]["schema"]["required"] == ["name", "people"]
    with sdk.messages.stream(**ask("Describe Oslo with 7"), output_format=City) as stream:
        assert stream.get_final_message().parsed_output == City(name="Oslo", people=7)
    beta = sdk.beta.messages.parse(**ask("Describe Bonn with 3"), output_format=City)
    assert beta.parsed_output == City(name="Bonn", people=3)


def test_stream_helpers(sdk: anthropic.Anthropic) -> None:
    with sdk.messages.stream(**ask("[[paragraphs 3]]")) as stream:
        kinds = {event.type for event in stream}
    assert {"text", "content_block_stop", "message_stop"} <= kinds
    tool = {"name": "get", "description": "Gets", "input_schema": {"type": "object"}}
    with sdk.beta.messages.stream(**ask('[[say look]] [[tool get {"k": [1, "ü"]}]]', tools=[tool])) as stream:
        final = stream.get_final_message()
    assert [b.type for b in final.content] == ["text", "tool_use"]
    assert final.content[1].input == {"k": [1, "ü"]}
    thinking = {"type": "enabled", "budget_tokens": 2000}
    with sdk.messages.stream(**ask("[[think deep]][[say done]]", max_tokens=4000, thinking=thinking)) as stream:
        deltas = [event.type for event in stream if event.type in ("thinking", "signature", "text")]
        final = stream.get_final_message()
    assert deltas[:2] == ["thinking", "signature"]
    assert (final.content[0].thinking, bool(final.content[0].signature)) == ("deep", True)


def test_images_and_documents(sdk: anthropic.Anthropic, real: Harness) -> None:
    chance = random.Random(3)
    content = [image(chance), document(chance), document(chance), {"type": "text", "text": "[[say seen]]"}]
    body = ask("", messages=[{"role": "user", "content": content}])
    assert sdk.messages.create(**body).content[0].text == "seen"
    assert differences(body, upstream(real)[-1]) == []


def test_counts_and_models(sdk: anthropic.Anthropic) -> None:
    counted = sdk.messages.with_raw_response.count_tokens(model=MODEL, messages=[{"role": "user", "content": "word " * 400}])
    assert counted.headers["x-relayd-emulated"] == "input_tokens"
    assert 200 < counted.parse().input_tokens < 2000
    assert sdk.beta.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "x"}]).input_tokens > 0
    seen = [m.id for m in sdk.models.list(limit=5)]
    assert len(seen) == len(set(seen)) > 10
    assert sdk.models.retrieve("claude-haiku-4-5").id == "claude-haiku-4-5-20251001"
    assert [m.id for m in sdk.beta.models.list()] == seen
    with pytest.raises(anthropic.NotFoundError):
        sdk.models.retrieve("gpt-17")


def test_a_count_comes_closer_to_what_the_model_counts(sdk: anthropic.Anthropic) -> None:
    question = ask("[[say ok]] " + "A sentence of ordinary prose. " * 100, model="claude-opus-4-8")
    usage = sdk.messages.create(**question).usage
    real_count = usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    del question["max_tokens"]
    estimate = sdk.messages.count_tokens(**question).input_tokens
    assert abs(estimate - real_count) <= 0.1 * real_count


def loop_prompt(rounds: int) -> str:
    return f'[[tools {rounds} get {{"k": 7}}]] [[final all done]]'


def runner_results(real: Harness, runner: Any) -> list[str]:
    """The results as the model got them, last request."""
    final = runner.until_done()
    assert final.content[0].text == "all done"
    messages = upstream(real)[-1]["messages"]
    blocks = [b for m in messages if m["role"] == "user" for b in m["content"] if b["type"] == "tool_result"]
    return [b["content"] if isinstance(b["content"], str) else "".join(c["text"] for c in b["content"]) for b in blocks]


def test_the_tool_runner_makes_twenty_rounds_in_one_process(sdk: anthropic.Anthropic, real: Harness) -> None:
    """The newest SDK's runner continues a message thread by itself: it sends only the new results."""
    brought: list[str] = []

    @beta_tool
    def get(k: int) -> str:
        """Gets a thing.

        Args:
            k: which
        """
        brought.append(f" result {len(brought)} of {k}:\ttab\r\nline \x1b[0m ü\n")
        return brought[-1]

    runner = sdk.beta.messages.tool_runner(**ask(loop_prompt(ROUNDS)), tools=[get])
    assert runner_results(real, runner) == brought
    assert (len(brought), len(upstream(real)), len(slots(real))) == (ROUNDS, ROUNDS + 1, 1)


def test_the_tool_runner_survives_the_death_of_its_parked_process(sdk: anthropic.Anthropic, real: Harness) -> None:
    brought: list[str] = []

    @beta_tool
    def get(k: int) -> str:
        """Gets a thing, after its process has been killed."""
        if len(brought) == 2:
            psutil.Process(latest_at(real.url, "parked")).kill()
        brought.append(f"result {len(brought)}")
        return brought[-1]

    runner = sdk.beta.messages.tool_runner(**ask(loop_prompt(4)), tools=[get])
    assert runner_results(real, runner) == brought
    assert len(slots(real)) == 2


def test_a_streamed_tool_runner(sdk: anthropic.Anthropic, real: Harness) -> None:
    @beta_tool
    def get(k: int) -> str:
        """Gets a thing."""
        return "it"

    runner = sdk.beta.messages.tool_runner(**ask(loop_prompt(3)), tools=[get], stream=True)
    texts = [stream.get_final_message().content[0] for stream in runner]
    assert texts[-1].text == "all done"
    assert len(slots(real)) == 1


def test_message_threads(sdk: anthropic.Anthropic, real: Harness) -> None:
    thread = sdk.beta.messages.thread(model=MODEL, max_tokens=1024, system="Be brief.")
    assert thread.send(*ask("[[say first]]")["messages"]).content[0].text == "first"
    assert thread.send(*ask("[[count]]")["messages"]).content[0].text.startswith("3 messages")
    fork = thread.fork()
    assert fork.send(*ask("[[count]]")["messages"]).content[0].text.startswith("5 messages")
    assert thread.send(*ask("[[count]]")["messages"]).content[0].text.startswith("5 messages")
    assert len(upstream(real)) == 4


def test_async_helpers(real: Harness) -> None:
    async def talk() -> tuple[Any, ...]:
        async with anthropic.AsyncAnthropic(base_url=real.url, api_key="any", max_retries=0) as client:
            async with client.messages.stream(**ask("[[paragraphs 2]]")) as stream:
                text = "".join([piece async for piece in stream.text_stream])
            parsed = await client.messages.parse(**ask("Describe Rome with 28"), output_format=City)
            ids = [m.id async for m in client.models.list(limit=7)]
            count = await client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "hi"}])
            return text, parsed.parsed_output, len(ids), count.input_tokens

    text, parsed, ids, count = asyncio.run(talk())
    assert text.startswith("Paragraph 1")
    assert parsed == City(name="Rome", people=28)
    assert ids > 10
    assert count > 0


def test_client_errors_are_not_retried_and_server_errors_are(real: Harness) -> None:
    with anthropic.Anthropic(base_url=real.url, api_key="any", max_retries=1) as client:
        for status, requests in ((400, 1), (500, 2)):
            real.api.clear()
            with pytest.raises(anthropic.APIStatusError):
                client.messages.create(**ask(f"[[error {status} no]]"))
            seen = {r.headers["x-claude-code-session-id"] for r in real.api.messages()}
            assert len(seen) == requests


def test_base64_survives(sdk: anthropic.Anthropic, real: Harness) -> None:
    """3.5 MB of picture data in one request, whole."""
    data = base64.b64encode(os.urandom(2_600_000)).decode()
    block = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}
    body = ask("", messages=[{"role": "user", "content": [block, {"type": "text", "text": "[[say ok]]"}]}])
    assert sdk.messages.create(**body).content[0].text == "ok"
    assert data in json.dumps(upstream(real)[-1])


def test_a_picture_by_its_file_in_a_call_and_in_a_batch(sdk: anthropic.Anthropic, real: Harness) -> None:
    """What reaches the model is the picture itself, as if its client had sent it."""
    data = image(random.Random(7))["source"]["data"]
    file = sdk.files.upload(file=("a.png", base64.b64decode(data), "image/png"))

    def named(text: str) -> list[Any]:
        block = {"type": "image", "source": {"type": "file", "file_id": file.id}}
        return [{"role": "user", "content": [block, {"type": "text", "text": text}]}]

    answer = sdk.messages.create(**ask("") | {"messages": named("[[say seen]]")})
    assert answer.content[0].text == "seen"
    params: list[Any] = [ask("[[say one]]"), ask("") | {"messages": named("[[say two]]")}, ask("[[error 400 as told]]")]
    made = [{"custom_id": f"r{n}", "params": each} for n, each in enumerate(params)]
    batch = sdk.messages.batches.create(requests=made)  # type: ignore[arg-type]
    until(lambda: sdk.messages.batches.retrieve(batch.id).processing_status == "ended")
    results = {line.custom_id: line.result for line in sdk.messages.batches.results(batch.id)}
    assert {n: r.message.content[0].text for n, r in results.items() if r.type == "succeeded"} == {"r0": "one", "r1": "two"}
    assert "as told" in results["r2"].error.error.message  # type: ignore[union-attr]
    sent = [json.dumps(body["messages"]) for body in upstream(real) if data in json.dumps(body["messages"])]
    assert len(sent) == 2
    assert file.id not in "".join(sent)
    sdk.messages.batches.delete(batch.id)
    sdk.files.delete(file.id)
