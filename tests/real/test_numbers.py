"""Numbers and names that JavaScript changes, in the tool inputs of answers of the real Claude Code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from relayd.doctor.harness import Harness
from tests.helpers import ask, events_of, post

pytestmark = pytest.mark.real

TOOL: dict[str, Any] = {"name": "get", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "get"}}
RAW = '{"id": 1234567890123456789, "f": 1.0, "z": -0.0, "2": 1, "1": 2, "__proto__": {"a": -9223372036854775808}}'
ROUNDED = '{"1": 2, "2": 1, "id": 1234567890123456800, "f": 1, "z": 0}'
PROMPT = f"[[say so]][[tools 1 get {RAW}]][[final done]]"


@pytest.fixture(scope="module", params=[False, True], ids=["lines", "live"])
def harness(claude: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Harness]:
    """A daemon with the mod, and one without."""
    with Harness(str(tmp_path_factory.mktemp("numbers")), claude, {"live": request.param}) as found:
        yield found


def called(harness: Harness, stream: bool) -> tuple[list[dict[str, Any]], str]:
    """The blocks of the answer, with inputs as texts, and what it names as inexact."""
    status, headers, body = post(harness.url, ask(PROMPT, stream=stream, tools=[TOOL]))
    assert status == 200
    if not stream:
        content = json.loads(body)["content"]
        return [b | ({"input": json.dumps(b["input"])} if "input" in b else {}) for b in content], headers.get(NAMES, "")
    blocks = [e["content_block"] | {"input": ""} for e in events_of(body) if e["type"] == "content_block_start"]
    for event in events_of(body):
        if event["type"] == "content_block_delta":
            blocks[event["index"]]["input"] += event["delta"].get("partial_json", "")
    notes = [line for line in body.decode().split("\n") if line.startswith(f": {NAMES}: ")]
    return blocks, notes[0].removeprefix(f": {NAMES}: ") if notes else headers.get(NAMES, "")


NAMES = "x-relayd-inexact"
TRIES = 5  # on a busy machine the mod's pieces may come late; then the input is named, as without it


@pytest.mark.parametrize("stream", [False, True])
def test_the_input_is_the_models_own_or_named(harness: Harness, stream: bool) -> None:
    """An id of 64 bits came as …456800, silently."""
    for _ in range(TRIES if harness.flags["live"] else 1):
        content, named = called(harness, stream)
        found = json.dumps(json.loads(content[1]["input"]))
        assert (found, named) in ((RAW, ""), (ROUNDED, "content.1.input"))
        if not named:
            break
    assert (found, named) == ((RAW, "") if harness.flags["live"] else (ROUNDED, "content.1.input"))


@pytest.mark.parametrize("stream", [False, True])
def test_the_chat_route_has_the_same(harness: Harness, stream: bool) -> None:
    for _ in range(TRIES if harness.flags["live"] else 1):
        status, headers, body = post(harness.url, ask(PROMPT, stream=stream, tools=[FUNCTION]), "/v1/chat/completions")
        assert status == 200
        if NAMES not in headers and f": {NAMES}: ".encode() not in body:
            break
    if stream:
        lines = [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: {")]
        deltas = [json.loads(line)["choices"][0]["delta"] for line in lines]
        calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
        raw = "".join(call["function"].get("arguments", "") for call in calls)
    else:
        raw = json.loads(body)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
        assert (NAMES in headers) is not harness.flags["live"]
    assert json.dumps(json.loads(raw)) == (RAW if harness.flags["live"] else ROUNDED)


def test_what_the_model_is_told_of_its_call_later_is_what_the_client_has(harness: Harness) -> None:
    """Claude Code has lost `__proto__`: another process gets the conversation from the client. Its numbers are named."""
    content, _ = called(harness, stream=False)
    given = [b | ({"input": json.loads(b["input"])} if "input" in b else {}) for b in content]
    body = ask(PROMPT, tools=[TOOL])
    body["messages"] += [
        {"role": "assistant", "content": given},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": given[1]["id"], "content": "it"}]},
    ]
    status, headers, _ = post(harness.url, body)
    assert status == 200
    sent = harness.api.messages()[-1].body["messages"][1]["content"]
    told = next(b["input"] for b in sent if b["type"] == "tool_use")
    assert ("__proto__" in told) is ("__proto__" in given[1]["input"])
    assert headers[NAMES] == "messages.1.content.1.input"
