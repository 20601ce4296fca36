"""The measure of exactness can fail: what is changed in silence is a difference, and what is named only in its own way."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from relayd.doctor.exactness import differences
from relayd.doctor.script import plan_for
from tests import repairs
from tests.lab import answers, go_ons

INPUT: dict[str, Any] = {"id": 2**53 + 1, "9": 1.0, "8": True}
SENT: dict[str, Any] = {
    "tools": repairs.TOOLS,
    "messages": [
        repairs.user("a"),
        repairs.user("b"),
        repairs.said(repairs.call("c") | {"input": INPUT}),
        repairs.user(repairs.result("c", content="it")),
    ],
}
NAMED = "messages.2.content.0.input"
BY_JAVASCRIPT = {"8": True, "9": 1, "id": float(2**53)}


def received(value: Any) -> dict[str, Any]:
    """What reaches the model, with this input of the call."""
    call = repairs.call("c") | {"name": "mcp__client__get", "input": value}
    tools = [repairs.TOOLS[0] | {"name": "mcp__client__get"}]
    result = repairs.result("c", content=[repairs.text("it")])
    messages = [repairs.user("a", "b"), repairs.said(call), repairs.user(result)]
    return copy.deepcopy({"system": [], "tools": tools, "messages": messages})


def test_what_is_the_same_is_no_difference() -> None:
    assert differences(SENT, received(INPUT)) == []


def test_what_javascript_changes_must_be_named() -> None:
    assert differences(SENT, received(BY_JAVASCRIPT))
    assert differences(SENT, received(BY_JAVASCRIPT), "tools.0.input_schema, messages.0.content.0")
    assert differences(SENT, received(BY_JAVASCRIPT), NAMED) == []


@pytest.mark.parametrize(
    "value", [INPUT | {"9": 2}, INPUT | {"8": 1.5}, INPUT | {"8": "x"}, INPUT | {"more": 1}, {"id": 1}, INPUT | {"8": False}]
)
def test_a_name_excuses_nothing_else(value: dict[str, Any]) -> None:
    assert differences(SENT, received(value), NAMED)


@pytest.mark.parametrize("value", [INPUT | {"9": 1}, INPUT | {"8": 1}, dict(reversed(INPUT.items()))])
def test_kinds_of_numbers_and_the_order_of_keys_count(value: dict[str, Any]) -> None:
    assert differences(SENT, received(value))


@pytest.mark.parametrize("with_mod", [False, True])
def test_stories_are_the_same_for_the_same_seed_and_can_fail(with_mod: bool) -> None:
    for seed in range(60):
        told = answers.story(seed, with_mod)
        assert told == answers.story(seed, with_mod)
        right = [call | {"type": "tool_use"} for call in told.calls]
        assert answers.compared(right, told.calls, "", with_mod) == []
        assert answers.compared(right[:-1], told.calls, "", with_mod)
        wrong = [*right[:-1], right[-1] | {"input": {"x": 1, **right[-1]["input"]}}]
        assert answers.compared(wrong, told.calls, "content.0.input, content.1.input, content.2.input", with_mod)


def test_go_ons_are_the_same_for_the_same_seed_and_said_by_the_stand_in() -> None:
    """What the client should get is what the stand-in says first, and what Claude Code asks for next has an answer of its own."""
    for seed in range(4 * len(go_ons.KINDS)):
        made = go_ons.go_on(seed)
        assert made == go_ons.go_on(seed)
        messages = [repairs.user(f"case {seed} {made.told.script}[[then]]{made.second}")]
        first = plan_for(made.fields | {"messages": messages})
        bare = [{k: v for k, v in block.items() if k != "id"} for block in first.blocks]
        assert made.told.cut or bare == made.told.blocks
        assert first.stop_reason == made.told.stop_reason
        messages += [repairs.said({"type": "text", "text": "it"}), repairs.user("Output token limit hit.")]
        assert plan_for(made.fields | {"messages": messages}) != first


def test_what_is_lost_with_the_pieces_of_an_answer_must_be_named() -> None:
    """Seed 900187, once: the pieces of an answer did not come in time; its inputs were named, and one had lost a key."""
    told = [{"name": "get", "input": {"a": {"__proto__": 1, "b": 1.0}, "2": []}}]
    got = [{"type": "tool_use", "name": "get", "input": {"2": [], "a": {"b": 1}}}]
    assert answers.compared(got, told, "", with_mod=True)
    assert answers.compared(got, told, "content.0.input", with_mod=True) == []
    assert answers.compared([got[0] | {"input": {"2": [], "a": {}}}], told, "content.0.input", with_mod=True)
