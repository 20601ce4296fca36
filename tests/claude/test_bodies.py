"""What Claude Code tells of a request it sends, against what the client asked: each difference is found, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from relayd.anthropic import request as requests
from relayd.claude.bodies import Expected, read
from relayd.claude.launch import extra_body, key_of
from relayd.doctor.conversations import conversation
from relayd.doctor.exactness import expected_messages, expected_system

OWN = [{"type": "text", "text": "x-anthropic-billing-header: …"}, {"type": "text", "text": "You are Claude Code."}]
TOOL = {"name": "t", "description": "d", "input_schema": {"type": "object", "properties": {"b": {}, "a": {"maximum": 1.5}}}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"b": 1, "a": [True, 2.5, None], "c": {"z": "", "y": 0}}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
TALK: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 2048,
    "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "And kind."}],
    "tools": [TOOL, {**TOOL, "name": "s"}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "stop_sequences": ["END"],
    "messages": [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "two"}, CALL]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "three"}]},
        {"role": "assistant", "content": "four"},
        {"role": "user", "content": [{"type": "text", "text": "five"}, {"type": "text", "text": "six"}]},
    ],
}


def expected(sent: dict[str, Any]) -> Expected:
    request = requests.parse(copy.deepcopy(sent), "2023-06-01")
    return Expected(request, extra_body(key_of(request)))


def body_of(sent: dict[str, Any]) -> dict[str, Any]:
    """The body that reaches the model, made without the code under test."""
    messages = expected_messages(copy.deepcopy(sent["messages"]))
    for message in messages:
        for block in message["content"]:
            if block["type"] == "thinking":
                block["thinking"] = "<REDACTED>"
    last = messages[-1]["content"][-1]
    messages[-1]["content"][-1] = last | {"cache_control": {"type": "ephemeral"}}
    wire = [{**tool, "name": f"mcp__client__{tool['name']}"} for tool in copy.deepcopy(sent.get("tools", []))]
    return {
        "model": sent["model"],
        "system": [*OWN, *({"type": "text", "text": text} for text in expected_system(sent.get("system")))],
        "tools": sorted(wire, key=lambda tool: str(tool["name"])),
        "messages": messages,
        "stream": True,
        "metadata": {"user_id": "somebody"},
        **extra_body(key_of(requests.parse(copy.deepcopy(sent), "2023-06-01"))),
    }


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [found for key, each in items for found in leaves(each, (*path, key))]
    yield from inner or [path]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


OTHER = {str: "something else", bool: 1, int: 1.0, float: 1, type(None): False, dict: [], list: {}}


def test_an_exact_body_has_no_difference() -> None:
    assert expected(TALK).difference(body_of(TALK)) == ""


@pytest.mark.parametrize("seed", range(40))
def test_generated_conversations_have_none(seed: int) -> None:
    sent = {"model": "claude-sonnet-4-6", "max_tokens": 100, **conversation(seed)}
    assert expected(sent).difference(body_of(sent)) == ""


def test_every_leaf_counts() -> None:
    """Another value or kind of number at any place of what the client sent, a part less, a part more: each is named by place."""
    exact = body_of(TALK)
    passed = []
    for path in leaves(
        {name: exact[name] for name in ("system", "tools", "messages", "max_tokens", "stop_sequences", "thinking")}
    ):
        if path[:2] in (("system", 0), ("system", 1)) or path[-1] == "thinking" or "cache_control" in path:
            continue  # Claude Code's own, or redacted
        changed = copy.deepcopy(exact)
        found = at(changed, path)
        at(changed, path[:-1])[path[-1]] = OTHER[type(found)] if OTHER[type(found)] != found else 7
        place = expected(TALK).difference(changed)
        if not place or place.split(".")[0] != path[0]:
            passed.append((path, place))
        if isinstance(at(changed, path[:-1]), list):
            del at(changed, path[:-1])[path[-1]]
            if not expected(TALK).difference(changed):
                passed.append((path, "missing"))
    assert not passed


@pytest.mark.parametrize("name", ["system", "tools", "messages"])
def test_a_part_of_another_conversation_is_found(name: str) -> None:
    changed = body_of(TALK)
    changed[name].append(changed[name][-1])
    assert expected(TALK).difference(changed).split(".")[0] == name


def test_the_order_of_keys_counts_where_the_model_sees_it() -> None:
    changed = body_of(TALK)
    block = changed["messages"][1]["content"][-1]
    block["input"] = dict(reversed(block["input"].items()))
    assert expected(TALK).difference(changed) == "messages.1.content.2"
    changed = body_of(TALK)
    changed["messages"][0] = dict(reversed(changed["messages"][0].items()))
    assert expected(TALK).difference(changed) == ""


def test_what_was_named_as_inexact_may_differ_as_javascript_does() -> None:
    sent = copy.deepcopy(TALK)
    sent["messages"][1]["content"][-1]["input"] = {"n": 1.0, "10": 1, "9": 2}
    changed = body_of(sent)
    changed["messages"][1]["content"][-1]["input"] = {"9": 2, "10": 1, "n": 1}
    assert expected(sent).difference(changed) == ""
    changed["messages"][1]["content"][-1]["input"]["n"] = 2
    assert expected(sent).difference(changed) == "messages.1.content.2"


def test_claude_code_as_the_client_has_system_blocks_that_look_like_its_own() -> None:
    """They stay blocks of their own, instead of being one text with the rest: the model gets the same."""
    mine = ["x-anthropic-billing-header: cc_entrypoint=sdk-cli;", "You are a Claude agent.", "Do this."]
    sent = {**TALK, "system": [{"type": "text", "text": text} for text in mine]}
    changed = body_of(sent)
    changed["system"] = [{"type": "text", "text": text} for text in mine]
    assert expected(sent).difference(changed) == ""
    changed["system"].append({"type": "text", "text": "And that."})
    assert expected(sent).difference(changed) == "system"


def test_reminders_of_older_versions_are_their_own() -> None:
    changed = body_of(TALK)
    changed["messages"][0]["content"].insert(0, {"type": "text", "text": "<system-reminder>\nToday…\n</system-reminder>\n"})
    assert expected(TALK).difference(changed) == ""


def test_a_client_that_sends_a_reminder_gets_just_that() -> None:
    mine = {"type": "text", "text": "<system-reminder>\nmine\n</system-reminder>"}
    sent = {**TALK, "messages": [{"role": "user", "content": [mine, {"type": "text", "text": "go"}]}]}
    assert expected(sent).difference(body_of(sent)) == ""
    changed = body_of(sent)
    del changed["messages"][0]["content"][0]
    assert expected(sent).difference(changed) == "messages.0.content.0"


def test_a_continuation_is_told_from_a_change() -> None:
    exact, more = body_of(TALK), body_of(TALK)
    more["messages"] += [{"role": "assistant", "content": "cut"}, {"role": "user", "content": "go on"}]
    assert expected(TALK).is_continued_by(more)
    assert not expected(TALK).is_continued_by(exact)
    more["messages"][0]["content"][0]["text"] = "another"
    assert not expected(TALK).is_continued_by(more)


def test_a_request_after_an_answer_without_a_word_is_a_continuation() -> None:
    """Claude Code adds to the last message that nothing was said. The client's answer is the empty one."""
    more = body_of(TALK)
    more["messages"][-1]["content"][-1]["text"] += "\n"
    more["messages"][-1]["content"].append({"type": "text", "text": "Nothing was said: go on."})
    assert expected(TALK).is_continued_by(more)
    del more["messages"][-1]["content"][0]
    assert not expected(TALK).is_continued_by(more)
    del more["messages"][-1]
    assert not expected(TALK).is_continued_by(more)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a": 1} {'])
def test_what_is_no_body_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="JSON|object|unexpected|characters|zero-length|EOF"):
        read(data)


@pytest.mark.parametrize(
    "part", [{"system": 5}, {"messages": [5]}, {"tools": {"a": 1}}, {"messages": [{"role": "user", "content": [5]}]}]
)
def test_a_body_of_another_form_is_none(part: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no list|no object"):
        expected(TALK).difference(body_of(TALK) | part)


def test_bodies_are_json_with_its_numbers() -> None:
    assert expected(TALK).difference(read(json.dumps(body_of(TALK)).encode())) == ""
