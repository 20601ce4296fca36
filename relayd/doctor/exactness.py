"""What reached the model against what the client sent: differences, apart from the documented envelope. Pure.

The envelope of a call (Claude Code 2.1.330), which the README lists:
- two system blocks of Claude Code come before the client's, which arrive as one block, joined by a
  blank line;
- tool names carry a prefix, and the tools are sorted by name, before those that the API runs itself;
- `cache_control` marks are Claude Code's own;
- a tool result that is a string may arrive as one text block.

What the answer's `x-relayd-inexact` names may differ, but only as JavaScript differs (`inexact.py`).
"""

from __future__ import annotations

from typing import Any

from relayd.anthropic import blocks
from relayd.claude import mcp
from relayd.claude.bodies import IN_ORDER, OWN_SYSTEM_BLOCKS
from relayd.claude.reminders import is_reminder

UNSEEN = ("cache_control",)


def differences(sent: dict[str, Any], received: dict[str, Any], named: str = "") -> list[str]:
    """In words, each difference between a client's request and the request that reached the model.

    `named` is what the answer's header named as inexact.
    """
    found = []
    excused = _places(sent, named)
    system = [b["text"] for b in received.get("system", [])][OWN_SYSTEM_BLOCKS:]
    wanted = expected_system(sent.get("system"))
    if system != wanted:
        found.append(f"system: {_show(system)} instead of {_show(wanted)}")
    tools = [{k: v for k, v in tool.items() if k not in UNSEEN} for tool in received.get("tools", [])]
    wanted_tools = _expected_tools(sent.get("tools", []))
    if as_json(tools) != as_json(wanted_tools) and not (
        "tools" in excused and by_javascript(tools) == by_javascript(wanted_tools)
    ):
        found.append(f"tools: {_show(tools)} instead of {_show(wanted_tools)}")
    messages = [{"role": m["role"], "content": _blocks(m["content"])} for m in received["messages"]]
    expected = expected_messages(sent["messages"])
    if len(messages) != len(expected):
        found.append(f"{len(messages)} messages instead of {len(expected)}")
    for number, (got, want) in enumerate(zip(messages, expected, strict=False)):
        if as_json(got) == as_json(want):
            continue
        if number not in excused or by_javascript(got) != by_javascript(want):
            found.append(f"messages.{number}: {_show(got)} instead of {_show(want)}")
    return found


def without_reminders(sent: dict[str, Any], received: dict[str, Any]) -> dict[str, Any]:
    """The received request without the reminders that older versions of Claude Code put before the client's."""
    kept = []
    for number, message in enumerate(received["messages"]):
        mine = _blocks(expected_messages(sent["messages"])[number]["content"]) if number < len(sent["messages"]) else []
        content = _blocks(message["content"])
        while content and content[0] not in mine and is_reminder(str(content[0].get("text", ""))):
            content = content[1:]
        kept.append(message | {"content": content})
    return received | {"messages": kept}


def expected_system(system: Any) -> list[str]:
    """The client's system prompt as one text, if there is any."""
    texts = [system] if isinstance(system, str) else [b["text"] for b in system or []]
    joined = "\n\n".join(t for t in texts if t)
    return [joined] if joined else []


def _expected_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The client's tools with their prefix, by name; then those that the API runs itself."""
    own = [tool for tool in tools if tool.get("type", "custom") != "custom"]
    named = (tool | {"name": mcp.PREFIX + tool["name"]} for tool in tools if tool not in own)
    return [*sorted(named, key=lambda tool: str(tool["name"])), *own]


def expected_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The client's messages with content as blocks and neighbours of one role merged, as the API does."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        content = [mcp.to_wire(b) for b in _blocks(message["content"])]
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] += content
        else:
            merged.append({"role": message["role"], "content": content})
    return merged


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(b) for b in content]


def _block(block: dict[str, Any]) -> dict[str, Any]:
    found = blocks.cleaned(block)
    if isinstance(found.get("content"), str) and found["type"] == "tool_result":
        found["content"] = [{"type": "text", "text": found["content"]}]
    return found


def _places(sent: dict[str, Any], named: str) -> set[str | int]:
    """Where a difference was named: `tools`, or a message's number once neighbours of one role are merged."""
    found: set[str | int] = set()
    for path in filter(None, named.split(", ")):
        place, _, rest = path.partition(".")
        if place == "messages":
            before = sent["messages"][: int(rest.split(".")[0]) + 1]
            found.add(len(expected_messages(before)) - 1)
        else:
            found.add(place)
    return found


def as_json(value: Any, is_ordered: bool = False) -> Any:
    """A value that equals another only if their JSON does: numbers to the letter, keys in order inside inputs and schemas."""
    if isinstance(value, dict):
        items = [(k, as_json(v, is_ordered or k in IN_ORDER)) for k, v in value.items()]
        return items if is_ordered else dict(items)
    if isinstance(value, list):
        return [as_json(item, is_ordered) for item in value]
    return value if isinstance(value, str) else f"{type(value).__name__} {value!r}"


def by_javascript(value: Any) -> Any:
    """A value without what JavaScript changes: kinds of numbers, the order of keys, calls among the other blocks of an answer."""
    if isinstance(value, dict):
        return {k: by_javascript(v) for k, v in value.items()}
    if isinstance(value, list):
        inner = [by_javascript(item) for item in value]
        return sorted(inner, key=lambda b: isinstance(b, dict) and b.get("type") == "tool_use")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} … {text[-140:]}"
