"""Unmodified client libraries, with nothing changed but the base URL."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess

import anthropic
import pytest

from relayd.doctor.harness import Harness

pytestmark = pytest.mark.real

MODEL = "claude-sonnet-4-6"


def messages(text: str) -> list[anthropic.types.MessageParam]:
    return [{"role": "user", "content": text}]


@pytest.fixture
def sdk(real: Harness):  # type: ignore[no-untyped-def]
    with anthropic.Anthropic(base_url=real.url, api_key="any", max_retries=0) as client:
        yield client


def test_create(sdk: anthropic.Anthropic) -> None:
    message = sdk.messages.create(model=MODEL, max_tokens=1024, system="Be brief.", messages=messages("hello"))
    assert message.content[0].type == "text"
    assert message.content[0].text == "echo: hello"
    assert (message.stop_reason, message.usage.output_tokens > 0) == ("end_turn", True)
    assert message._request_id
    assert message._request_id.startswith("req_")


def test_stream_text_and_final_message(sdk: anthropic.Anthropic) -> None:
    with sdk.messages.stream(model=MODEL, max_tokens=1024, messages=messages("[[paragraphs 5]][[slow 0.02]]")) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 1
    assert final.content[0].type == "text"
    assert "".join(pieces) == final.content[0].text
    assert final.usage.output_tokens > 0
    assert final.stop_reason == "end_turn"


def test_raw_events(sdk: anthropic.Anthropic) -> None:
    kinds = [event.type for event in sdk.messages.create(model=MODEL, max_tokens=1024, messages=messages("hi"), stream=True)]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


def test_async(real: Harness) -> None:
    async def talk() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=real.url, api_key="any") as client:
            calls = [client.messages.create(model=MODEL, max_tokens=1024, messages=messages(f"[[say {n}]]")) for n in range(3)]
            return [m.content[0].text for m in await asyncio.gather(*calls)]  # type: ignore[union-attr]

    assert asyncio.run(talk()) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (529, anthropic.APIStatusError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_error_classes(sdk: anthropic.Anthropic, status: int, kind: type[anthropic.APIStatusError], stream: bool) -> None:
    with pytest.raises(kind) as caught:
        sdk.messages.create(model=MODEL, max_tokens=1024, messages=messages(f"[[error {status} as told]]"), stream=stream)
    assert caught.value.status_code == status
    assert "as told" in str(caught.value)
    assert caught.value.request_id


def test_a_late_error_in_a_stream_raises(sdk: anthropic.Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        sdk.messages.stream(
            model=MODEL, max_tokens=1024, messages=messages("[[paragraphs 6]][[slow 0.05]][[midway 529]]")
        ) as stream,
    ):
        stream.until_done()
    assert caught.value.body["error"]["type"]  # type: ignore[index]


def test_an_old_client_with_the_old_version_and_key_header(real: Harness) -> None:
    client = anthropic.Anthropic(
        base_url=real.url, api_key="any", default_headers={"anthropic-version": "2023-06-01", "x-api-key": "any"}
    )
    with client:
        message = client.messages.create(model=MODEL, max_tokens=1024, messages=messages("old"), extra_body={"temperature": 0.2})
    assert message.content[0].type == "text"


def test_curl_whole_and_streamed(real: Harness) -> None:
    def curl(*arguments: str) -> str:
        headers = ["-H", "content-type: application/json", "-H", "x-api-key: any", "-H", "anthropic-version: 2023-06-01"]
        command = ["curl", "-sS", "-N", "--noproxy", "*", f"{real.url}/v1/messages", *headers, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True, env={"PATH": os.environ["PATH"]}
        ).stdout

    body = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": "[[say by curl]]"}]}
    assert json.loads(curl("-d", json.dumps(body)))["content"][0]["text"] == "by curl"
    streamed = curl("-d", json.dumps(body | {"stream": True}))
    assert streamed.startswith("event: message_start\n")
    assert streamed.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
