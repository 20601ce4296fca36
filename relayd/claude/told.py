"""What Claude Code tells, one value at a time: any JSON in, a value of one type out, or ValueError. Pure.

A new version may change any field, and the core relies on every type that the parsers name: nothing malformed gets past
`hooks`, `mcp`, `telemetry` and `transcript`, the only callers. Each error names the field, never its content.
"""

from __future__ import annotations

from typing import Any

WORD_MAX_CHARS = 200
COUNT_MAX = 2**53  # JSON numbers that everybody reads alike


def mapping(value: Any, name: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise ValueError(f"{name}: not an object")
    return value


def listing(value: Any, name: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise ValueError(f"{name}: not a list")
    return value


def text(value: Any, name: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{name}: not a text")
    return value


def word(value: Any, name: str) -> str:
    """A text for logs and headers: short, nothing but ASCII that is printed."""
    found = text(value, name)
    if len(found) > WORD_MAX_CHARS or not found.isascii() or not found.isprintable():
        raise ValueError(f"{name}: not a word")
    return found


def text_or_none(value: Any, name: str) -> str | None:
    """A text that may be left out."""
    return None if value is None else text(value, name)


def any_text(value: Any) -> str:
    """A text that only people read, or that may be missing: what is none counts as empty."""
    return value if isinstance(value, str) else ""


def count(value: Any, name: str, maximum: int = COUNT_MAX) -> int:
    """A whole number from 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise ValueError(f"{name}: not a number from 0 to {maximum}")
    return value


def number(value: Any, name: str, maximum: float) -> float:
    """A number from 0, whole or not."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise ValueError(f"{name}: not a number from 0 to {maximum:g}")
    return float(value)
