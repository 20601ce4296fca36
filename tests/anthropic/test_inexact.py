"""What JavaScript would write otherwise is named, whatever it is and wherever it stands; nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.anthropic.request import parse

CHANGES = (1234567890123456789, 9223372036854775807, -(2**53), 1.0, -0.0, 1e22, [1, [2.0]], {"b": {"a": 1.0}}, {"a": 1, "7": 2})
STAYS = (2**53 - 1, 0, 1.5, "1.0", True, None, {"1": 1, "2": 2, "a": 3}, {"01": 1, "1.5": 2}, {"a": 1, "b": 2}, 1e-7)


def named(value: Any, place: str) -> tuple[str, ...]:
    """What a request names, with a value in one of its places."""
    tool = {"name": "get", "input_schema": {"type": "object", **({"x": value} if place == "schema" else {})}}
    call = {"type": "tool_use", "id": "a", "name": "get", "input": {"x": value} if place == "input" else {}}
    output = {"format": {"type": "json_schema", "schema": {"type": "object", "default": value}}} if place == "output" else None
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "so"}, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ]
    body = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": messages, "tools": [tool], "output_config": output}
    return parse(body, "2023-06-01").inexact


@pytest.mark.parametrize(
    ("place", "path"),
    [("input", "messages.1.content.1.input"), ("schema", "tools.0.input_schema"), ("output", "output_config")],
)
def test_numbers_and_orders_that_change_are_named(place: str, path: str) -> None:
    """Ids of 64 bits lost digits in the schema and in the history, with 200 and without a word."""
    for value in CHANGES:
        assert named(value, place) == (path,), value
    for value in STAYS:
        assert named(value, place) == (), value


def test_what_is_said_after_a_call_is_named() -> None:
    """Seen on 2.1.330: the tool calls of an answer come last, whatever the client has behind them."""
    call = {"type": "tool_use", "id": "a", "name": "get", "input": {}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call, {"type": "text", "text": "so"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ]
    assert parse({"model": "m", "max_tokens": 9, "messages": messages}, "").inexact == ("messages.1.content",)
