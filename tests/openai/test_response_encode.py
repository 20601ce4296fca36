"""An answer in the Responses shape: what a stream tells, piece by piece, is what the whole object says."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from relayd.anthropic.answer import Answer, Usage
from relayd.errors import ApiError
from relayd.openai import reasoning, responses
from relayd.openai.encode import error_body
from relayd.openai.response_encode import ResponseEncoder
from tests import shapes

USAGE = Usage({"input_tokens": 4, "output_tokens": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1})
CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"a": 1}}
BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "Hello, you."},
    {"type": "text", "text": "And more."},
    {"type": "thinking", "thinking": "hm, so", "signature": "c2ln"},
    {"type": "thinking", "thinking": "", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "eA=="},
    CALL,
    CALL | {"id": "toolu_2", "name": "n__get", "input": {}},
    CALL | {"id": "toolu_3", "name": "code", "input": {"input": "print(1)"}},
    CALL | {"id": "toolu_4", "name": "shell", "input": {"commands": ["ls"]}},
    CALL | {"id": "toolu_5", "name": "local_shell", "input": {"command": ["ls"]}},
    CALL | {"id": "toolu_6", "name": "apply_patch", "input": {"type": "delete_file", "path": "a"}},
]


def encoder(**fields: Any) -> ResponseEncoder:
    asked = responses.translate({"model": "m", "input": "hi", "tools": shapes.RESPONSE_TOOLS, **fields}).asked
    return ResponseEncoder("msg_01x", "m", 1000, asked)


def answer(*content: Any, reason: str = "end_turn") -> Answer:
    return Answer("msg_01x", "m2", content, reason, USAGE)


def events(data: bytes) -> list[dict[str, Any]]:
    found = []
    for event in filter(None, data.decode().split("\n\n")):
        name, value = event.split("\n")
        found.append(json.loads(value.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def streamed(made: ResponseEncoder, block: dict[str, Any], chance: random.Random) -> bytes:
    """A block as it may come: whole, or in pieces."""
    kind = block["type"]
    if kind == "text":
        middle = chance.randint(1, len(block["text"]) - 1)
        return made.text(block["text"][:middle]) + made.text(block["text"][middle:]) + made.stop_block()
    if kind == "redacted_thinking" or chance.random() < 0.3:
        return made.block(block)
    if kind == "thinking":
        text = block["thinking"]
        return made.thinking(text[:2]) + made.thinking(text[2:]) + made.signature(block["signature"])
    raw = json.dumps(block["input"], separators=(",", ":"))
    return made.call(block["id"], block["name"]) + made.input(raw[:3]) + made.input(raw[3:]) + made.stop_block()


@pytest.mark.parametrize("seed", range(60))
def test_a_stream_and_the_whole_object_say_the_same(seed: int) -> None:
    chance = random.Random(seed)
    content = chance.sample(BLOCKS, chance.randint(0, len(BLOCKS)))
    whole = json.loads(encoder().whole(answer(*content)))
    made = encoder()
    told = events(made.start() + b"".join(streamed(made, block, chance) for block in content) + made.finish(answer(*content)))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert (told[-1]["type"], told[-1]["response"]) == ("response.completed", whole)
    done = [event for event in told if event["type"] == "response.output_item.done"]
    assert [(event["output_index"], event["item"]) for event in done] == list(enumerate(whole["output"]))
    added = [event for event in told if event["type"] == "response.output_item.added"]
    assert [event["item"]["id"] for event in added] == [item["id"] for item in whole["output"]]
    for place, item in enumerate(whole["output"]):
        pieces = [event["delta"] for event in told if event.get("output_index") == place and "delta" in event]
        assert {e["item_id"] for e in told if e.get("output_index") == place and "item_id" in e} <= {item["id"]}
        if item["type"] == "message":
            assert "".join(pieces) == item["content"][0]["text"]
        elif item["type"] == "function_call":
            assert "".join(pieces) == item["arguments"]
        elif item["type"] == "reasoning":
            assert "".join(pieces) == "".join(part["text"] for part in item["summary"])


def test_calls_are_items_of_their_kind() -> None:
    output = json.loads(encoder().whole(answer(*BLOCKS[5:], reason="tool_use")))["output"]
    function, inner, custom, shell, local, patch = output
    assert (function["type"], function["call_id"], function["arguments"]) == ("function_call", "toolu_1", '{"a":1}')
    assert (inner["name"], inner["namespace"]) == ("get", "n")
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "print(1)")
    assert shell["action"] == {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}
    assert local["action"] == {"type": "exec", "command": ["ls"], "env": {}}
    assert patch["operation"] == {"type": "delete_file", "path": "a"}


def test_an_answer_sent_back_is_the_answer_that_was_given() -> None:
    """The client hands the items back: a parked turn is found only if nothing of them has changed."""
    content = [BLOCKS[2], BLOCKS[0], *BLOCKS[5:]]
    output = json.loads(encoder().whole(answer(*content, reason="tool_use")))["output"]
    again = responses.translate({"model": "m", "input": [{"role": "user", "content": "hi"}, *output]})
    assert again.value["messages"][1]["content"] == content
    assert (again.ignored, again.inexact) == ((), ())


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("end_turn", "completed", None),
        ("stop_sequence", "completed", None),
        ("pause_turn", "completed", None),
        ("max_tokens", "incomplete", "max_output_tokens"),
        ("model_context_window_exceeded", "incomplete", "max_output_tokens"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_reasons(reason: str, status: str, why: str | None) -> None:
    whole = json.loads(encoder().whole(answer(BLOCKS[0], reason=reason)))
    made = encoder()
    last = events(made.start() + made.text("Hello, you.") + made.finish(answer(BLOCKS[0], reason=reason)))[-1]
    assert (last["type"], last["response"]) == (f"response.{status}", whole)
    assert (whole["status"], (whole["incomplete_details"] or {}).get("reason")) == (status, why)
    assert whole["output"][-1]["status"] == status


def test_usage_and_what_is_repeated() -> None:
    whole = json.loads(encoder(instructions="Be brief.", metadata={"a": "b"}, store=False).whole(answer(BLOCKS[0])))
    assert whole["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 14,
    }
    assert (whole["instructions"], whole["metadata"], whole["store"]) == ("Be brief.", {"a": "b"}, False)
    assert whole["tools"] == shapes.RESPONSE_TOOLS
    (function,) = json.loads(encoder(tools=[{"type": "function", "name": "f"}]).whole(answer()))["tools"]
    assert function == {"type": "function", "name": "f", "description": None, "parameters": None, "strict": False}


@pytest.mark.parametrize("raw", ["", '{"a": [1, ', '{"a": 1}'])
def test_a_call_that_has_broken_off_is_never_closed(raw: str) -> None:
    """Codex runs a call as soon as its item is closed."""
    made = encoder()
    data = made.start() + made.text("x") + made.call("toolu_1", "get") + made.input(raw) + made.stop_block()
    told = events(data + made.error(ApiError(529, "Overloaded"), "req_1"))
    done = [event["item"]["type"] for event in told if event["type"] == "response.output_item.done"]
    assert done == ["message"]
    assert (told[-1]["type"], told[-1]["response"]["error"]["code"]) == ("response.failed", "server_error")
    assert [item["type"] for item in told[-1]["response"]["output"]] == ["message"]


def test_a_call_that_the_limit_has_cut_is_no_call() -> None:
    made = encoder()
    data = made.start() + made.text("x") + made.call("toolu_1", "get") + made.input('{"a": [1')
    told = events(data + made.finish(answer(BLOCKS[0], reason="max_tokens")))
    assert told[-1]["type"] == "response.incomplete"
    assert [item["type"] for item in told[-1]["response"]["output"]] == ["message"]


def test_a_sign_of_life_is_an_event() -> None:
    """Codex gives up after five minutes without one, and sees no comments."""
    made = encoder()
    assert events(made.start() + made.ping())[-1]["type"] == "response.in_progress"


def test_errors_say_what_clients_act_on() -> None:
    too_long = json.loads(error_body(ApiError(400, "prompt is too long: 2 tokens > 1 maximum"), "r"))["error"]
    assert too_long["code"] == "context_length_exceeded"
    limited = json.loads(error_body(ApiError(429, "limit", resets_at=5), "r"))["error"]
    assert (limited["type"], limited["resets_at"]) == ("usage_limit_reached", 5)


def test_thinking_without_a_signature_is_not_given_to_be_sent_back() -> None:
    assert reasoning.sealed({"type": "thinking", "thinking": "x", "signature": ""}) is None
    assert reasoning.opened(reasoning.sealed(BLOCKS[4])) == BLOCKS[4]
