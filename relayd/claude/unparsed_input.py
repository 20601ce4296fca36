"""What Claude Code keeps of a tool's input that is no JSON, as where an answer was cut within a call. Pure.

It puts the text under a name of its own, whole if it is short, else its beginning (2 KB) with its whole length (seen on 2.1.332).
Called by `core/session/raw_inputs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NAME = "__unparsedToolInput"


@dataclass(frozen=True)
class Unparsed:
    """The text, or its beginning. `units` is the length of all of it in JavaScript's units of 16 bits."""

    text: str
    units: int

    def is_length_of(self, text: str) -> bool:
        """True if a text is as long as the whole one."""
        return len(text.encode("utf-16-le", "surrogatepass")) // 2 == self.units


def find(value: Any) -> Unparsed | None:
    """What an input stands for, if it is Claude Code's own."""
    if not isinstance(value, dict) or value.keys() != {NAME}:
        return None
    match value[NAME]:
        case {"raw": str(text), "len": int(units)}:
            return Unparsed(text, units)
        case _:
            return None
