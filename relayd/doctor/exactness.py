"""What reached the model against what the client sent: differences, apart from the documented envelope. Pure.

The envelope of a replayed call (Claude Code 2.1.330), which the README lists:
- two system blocks of Claude Code come before the client's, which arrive as one block, joined by a
  blank line;
- a reminder of today's date comes before the last user message's blocks, with a newline at its end
  if the next block is a text;
- `cache_control` marks are Claude Code's own.
"""

from __future__ import annotations

from typing import Any

OWN_SYSTEM_BLOCKS = 2
REMINDER = ("<system-reminder>\nToday's date is ", ".\n</system-reminder>")
UNSEEN = ("cache_control",)


def differences(sent: dict[str, Any], received: dict[str, Any]) -> list[str]:
    """In words, each difference between a client's request and the request that reached the model."""
    found = []
    system = [b["text"] for b in received.get("system", [])][OWN_SYSTEM_BLOCKS:]
    wanted = expected_system(sent.get("system"))
    if system != wanted:
        found.append(f"system: {_show(system)} instead of {_show(wanted)}")
    messages = [{"role": m["role"], "content": _blocks(m["content"])} for m in received["messages"]]
    reminder = messages[-1]["content"][:1]
    if not _is_reminder(messages[-1]["content"]):
        found.append(f"no date reminder before the last message, but {_show(reminder)}")
    else:
        messages[-1]["content"] = messages[-1]["content"][1:]
    expected = expected_messages(sent["messages"])
    if len(messages) != len(expected):
        found.append(f"{len(messages)} messages instead of {len(expected)}")
    for number, (got, want) in enumerate(zip(messages, expected, strict=False)):
        if got != want:
            found.append(f"messages.{number}: {_show(got)} instead of {_show(want)}")
    return found


def expected_system(system: Any) -> list[str]:
    """The client's system prompt as one text, if there is any."""
    texts = [system] if isinstance(system, str) else [b["text"] for b in system or []]
    joined = "\n\n".join(t for t in texts if t)
    return [joined] if joined else []


def expected_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The client's messages with content as blocks and neighbours of one role merged, as the API does."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        blocks = _blocks(message["content"])
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] += blocks
        else:
            merged.append({"role": message["role"], "content": blocks})
    return merged


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{k: v for k, v in b.items() if k not in UNSEEN} for b in content]


def _is_reminder(blocks: list[dict[str, Any]]) -> bool:
    text = blocks[0].get("text", "") if blocks else ""
    before_text = len(blocks) > 1 and blocks[1]["type"] == "text"
    return text.startswith(REMINDER[0]) and text.endswith(REMINDER[1] + ("\n" if before_text else ""))


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} … {text[-140:]}"
