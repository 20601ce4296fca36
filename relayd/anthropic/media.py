"""Pictures and documents in a conversation: how many there are, and how large. Pure.

Called by `request` and by `claude/compose.py`, which refuses more than Claude Code hands over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from relayd.anthropic.blocks import Block

KINDS = ("image", "document")


def within(content: Iterable[Block]) -> Iterator[Block]:
    """The pictures and documents of a message, those in tool results included."""
    for block in content:
        if block["type"] in KINDS:
            yield block
        elif block["type"] == "tool_result" and isinstance(block.get("content"), list):
            yield from (inner for inner in block["content"] if inner["type"] in KINDS)


def counted(content: Iterable[Block]) -> int:
    """How many there are."""
    return sum(1 for _ in within(content))


def base64_chars(content: Iterable[Block]) -> int:
    """How many characters of base64 they have."""
    return sum(len(block["source"]["data"]) for block in within(content) if block["source"]["type"] == "base64")
