"""What of a request's JSON cannot reach the model as it was written, or of an answer's the client: paths for a header. Pure.

Claude Code is JavaScript. It writes the JSON of tool inputs, schemas and block fields anew: whole numbers beyond 2^53 lose
digits, `1.0` becomes `1` and `-0.0` becomes `0`, keys that are whole numbers come first, in their own order. It also puts the
tool calls of an answer behind everything else that the answer says. Texts do not change.

Called by `request` and `core/session/answers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from relayd.anthropic.blocks import Block

SAFE_INTEGER = 2**53 - 1
INDEX_MAX = 2**32 - 2  # of a key that JavaScript keeps in its number's place


def paths(value: dict[str, Any]) -> tuple[str, ...]:
    """Paths of a request's parts that change on the way. The request has been checked."""
    return tuple(dict.fromkeys(_paths(value)))


def doubtful(content: tuple[Block, ...], proven: set[str], incomplete: set[str]) -> tuple[str, ...]:
    """Paths of an answer's tool inputs that JavaScript may have changed, as far as it shows: `proven` ones it has not. And of
    `incomplete` ones: the model wrote more than is known.

    A whole number may have been another, or `1.0`, and keys in JavaScript's order may have had another one. That `__proto__` was
    lost does not show.
    """
    calls = ((n, b) for n, b in enumerate(content) if b["type"] == "tool_use" and b["id"] not in proven)
    return tuple(
        f"content.{number}.input" for number, block in calls if block["id"] in incomplete or _may_have_changed(block["input"])
    )


def _may_have_changed(value: Any) -> bool:
    if isinstance(value, dict):
        return (len(value) > 1 and any(map(_is_index, value))) or any(map(_may_have_changed, value.values()))
    if isinstance(value, list):
        return any(map(_may_have_changed, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()


def _paths(value: dict[str, Any]) -> Iterator[str]:
    for number, message in enumerate(value["messages"]):
        blocks = message["content"] if isinstance(message["content"], list) else ()
        for index, block in enumerate(blocks):
            if _changes(block):
                yield f"messages.{number}.content.{index}{'.input' if block['type'] == 'tool_use' else ''}"
        kinds = [block["type"] == "tool_use" for block in blocks]
        if kinds != sorted(kinds):
            yield f"messages.{number}.content"
    for number, tool in enumerate(value.get("tools") or ()):
        if _changes(tool.get("input_schema", tool)):
            yield f"tools.{number}.input_schema" if "input_schema" in tool else f"tools.{number}"
    yield from (name for name in ("output_config", "output_format") if _changes(value.get(name)))


def _changes(value: Any) -> bool:
    """True for JSON that JavaScript would write otherwise."""
    if isinstance(value, dict):
        return _moves(list(value)) or any(map(_changes, value.values()))
    if isinstance(value, list):
        return any(map(_changes, value))
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and abs(value) > SAFE_INTEGER


def _moves(keys: list[str]) -> bool:
    """True for keys that JavaScript would bring into another order."""
    places = [int(key) if _is_index(key) else INDEX_MAX + 1 for key in keys]
    return any(first > second for first, second in pairwise(places))


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) <= 10 and (key == "0" or key[0] != "0") and int(key) <= INDEX_MAX
