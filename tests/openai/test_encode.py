"""An answer in the Chat Completions shape: whole, and as the chunks that an SDK puts together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.anthropic.answer import Answer, Usage
from relayd.errors import ApiError
from relayd.openai.encode import DONE, FINISH, ChatEncoder

CALL: Any = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}}
USAGE = Usage({"input_tokens": 4, "output_tokens": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1})
COUNTS = {"prompt_tokens": 7, "completion_tokens": 7, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 2}}


def encoder(with_usage: bool = False) -> ChatEncoder:
    return ChatEncoder("msg_01x", "m", 1000, with_usage)


def answer(*content: Any, reason: str = "end_turn") -> Answer:
    return Answer("msg_01x", "m2", content, reason, USAGE)


def chunks(data: bytes) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in data.decode().split("\n\n") if line.startswith("data: {")]


def test_a_whole_answer() -> None:
    value = json.loads(encoder().whole(answer({"type": "text", "text": "a"}, {"type": "text", "text": "b"})))
    assert (value["id"], value["object"], value["created"], value["model"]) == ("chatcmpl-01x", "chat.completion", 1000, "m2")
    (choice,) = value["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("ab", "stop")
    assert "tool_calls" not in choice["message"]
    assert value["usage"] == COUNTS


def test_calls_alone_have_no_content_and_nothing_at_all_is_an_empty_text() -> None:
    message = json.loads(encoder().whole(answer(CALL, reason="tool_use")))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [{"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}]
    assert json.loads(encoder().whole(answer()))["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(("reason", "finish"), [*FINISH.items(), ("pause_turn", "stop")])
def test_reasons(reason: str, finish: str) -> None:
    assert json.loads(encoder().whole(answer(reason=reason)))["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("with_usage", [False, True])
def test_a_stream_names_the_role_then_pieces_then_calls_by_number_then_the_end(with_usage: bool) -> None:
    chat = encoder(with_usage)
    thinking: Any = {"type": "thinking", "thinking": "hm", "signature": "s"}
    parts = (
        chat.start(),
        chat.text("a"),
        chat.stop_block(),
        chat.ping(),
        chat.block(thinking),
        chat.block(CALL),
        chat.block(CALL),
    )
    data = b"".join(parts) + chat.finish(answer(reason="tool_use"))
    assert data.endswith(DONE)
    found = chunks(data)
    counts = [found.pop()] if with_usage else []
    assert [(c["choices"], c["usage"]) for c in counts] == [([], COUNTS)] * with_usage
    assert all(("usage" in c) is with_usage for c in found)
    deltas = [c["choices"][0]["delta"] for c in found]
    assert deltas[:2] == [{"role": "assistant", "content": "", "refusal": None}, {"content": "a"}]
    calls = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
    assert [(c["index"], c.get("id"), c["function"]["arguments"]) for c in calls] == [
        (0, "toolu_1", ""),
        (0, None, '{"a":1}'),
        (1, "toolu_1", ""),
        (1, None, '{"a":1}'),
    ]
    assert [c["choices"][0]["finish_reason"] for c in found[-2:]] == [None, "tool_calls"]


def test_errors_have_the_shape_that_these_clients_read() -> None:
    error = ApiError(413, "too much", details={"error_code": "request_too_large"})
    value = json.loads(encoder().refusal(error, "req_1"))["error"]
    assert value == {"message": "too much", "type": error.kind, "param": None, "code": "request_too_large"}
    assert chunks(encoder().error(ApiError(500, "x"), "req_1"))[0]["error"]["code"] is None
