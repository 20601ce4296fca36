"""Messages as JSON and as events: what SDK accumulators rely on."""

from __future__ import annotations

import json

from relayd.anthropic.answer import Answer, Usage, error_headers, error_json, new_id
from relayd.anthropic.sse import StreamEncoder
from relayd.errors import ApiError, overloaded
from tests.helpers import events_of

TOOL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
USAGE = Usage({"input_tokens": 4, "output_tokens": 7, "cache_read_input_tokens": None, "unheard_of": 1})


def test_a_message_has_every_field_that_sdks_declare() -> None:
    """The API's published schema wants `citations` in a text block, and a popular client refuses null: so an empty list."""
    value = Answer("msg_01x", "m", ({"type": "text", "text": "a"}, TOOL), "tool_use", USAGE).as_json()
    assert value["content"][0] == {"type": "text", "text": "a", "citations": []}
    assert value["content"][1]["caller"] == {"type": "direct"}
    assert {"stop_sequence", "stop_details", "container"} <= set(value)
    assert value["usage"]["cache_read_input_tokens"] == 0
    assert value["usage"]["output_tokens"] == 7
    assert "unheard_of" not in value["usage"]


def test_a_stream_is_what_the_api_sends() -> None:
    encoder = StreamEncoder("msg_01x", "m")
    data = (
        encoder.start()
        + encoder.block(THINKING)
        + encoder.text("Hel")
        + encoder.ping()
        + encoder.text("lo")
        + encoder.block(TOOL)
    )
    data += encoder.finish(Answer("msg_01x", "m", (), "tool_use", USAGE))
    events = events_of(data)
    assert [e["type"] for e in events if e["type"] != "ping"] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert [e["index"] for e in events if e["type"] == "content_block_start"] == [0, 1, 2]
    pieces = [e["delta"]["partial_json"] for e in events if e.get("delta", {}).get("type") == "input_json_delta"]
    assert json.loads("".join(pieces)) == {"a": 1}
    assert sum(e.get("delta", {}).get("type") == "signature_delta" for e in events) == 1
    assert events[-2]["usage"]["output_tokens"] == 7
    assert events[0]["message"]["content"] == []


def test_a_late_error_is_an_event() -> None:
    data = StreamEncoder("msg_01x", "m").error(overloaded("Overloaded", 3), "req_1")
    assert events_of(data) == [
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
    ]


def test_errors_say_whether_to_retry() -> None:
    assert ("x-should-retry", "false") in error_headers(ApiError(400, "no"))
    assert ("x-should-retry", "false") not in error_headers(ApiError(429, "slow"))
    assert error_headers(overloaded("o", 7)) == [("retry-after", "7")]
    coded = error_json(ApiError(400, "m", details={"error_code": "c"}), "req_2")
    assert coded["error"]["details"] == {"error_code": "c"}


def test_ids_look_like_the_apis() -> None:
    assert new_id("req_01").startswith("req_01")
    assert len({new_id("msg_01") for _ in range(100)}) == 100
