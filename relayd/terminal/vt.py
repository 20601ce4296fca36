"""Terminal bytes to actions.

Pure and bounded: whatever a program writes, the parser keeps at most `PENDING_MAX` characters
of an unfinished sequence. Unknown sequences are actions too (the screen swallows and counts
them); none is ever printed. It knows no grid; `screen.py` does. The grammar is that of ECMA-48
and of Paul Williams' DEC parser; runs of text take a fast path, because a TUI that redraws
sends thousands of small pieces.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

PENDING_MAX = 8192

TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<prefix>[<=>?]?)(?P<params>[0-9:;]*)(?P<inter>[ -/]*)(?P<final>[@-~])"
    r"|\x1b\](?P<osc>[^\x07\x1b\x9c]*)(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[PX^_](?P<string>[^\x1b\x9c]*)(?:\x1b\\|\x9c)"
    r"|\x1b(?P<esc>[ -/]*[0-OQ-WYZ`-~])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f-\x9f])"
)
# An unfinished sequence at the end of what has arrived: wait for the rest.
UNFINISHED = re.compile(r"\x1b(?:\[[<=>?]?[0-9:;]*[ -/]*|\][^\x07\x1b\x9c]*\x1b?|[PX^_][^\x1b\x9c]*\x1b?|[ -/]*)?\Z")


@dataclass(frozen=True)
class Print:
    """Text to put at the cursor."""

    text: str


@dataclass(frozen=True)
class Control:
    """A C0 or C1 control character."""

    char: str


@dataclass(frozen=True)
class Csi:
    """`ESC [` sequence; `params` as sent ("1;2"), `prefix` one of `<=>?` or empty."""

    prefix: str
    params: str
    inter: str
    final: str


@dataclass(frozen=True)
class Osc:
    """`ESC ]` sequence without its terminator."""

    text: str


@dataclass(frozen=True)
class Esc:
    """`ESC` with optional intermediates and a final character."""

    text: str


@dataclass(frozen=True)
class Unknown:
    """Bytes that fit no rule, swallowed here; `size` characters."""

    size: int


Action = Print | Control | Csi | Osc | Esc | Unknown


class Parser:
    """Feed bytes, get the actions they complete. Splits may fall anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def __repr__(self) -> str:
        return f"<vt.Parser pending={len(self._pending)}>"

    def feed(self, data: bytes) -> list[Action]:
        """All actions that `data` completes, in order. Never raises."""
        text = self._pending + self._decoder.decode(data)
        actions: list[Action] = []
        position, end = 0, len(text)
        while position < end:
            match = TOKEN.match(text, position)
            if match is None:
                if UNFINISHED.match(text, position) and end - position <= PENDING_MAX:
                    break
                actions.append(Unknown(1))
                position += 1
                continue
            actions.append(_action(match))
            position = match.end()
        self._pending = text[position:]
        return actions


def _action(match: re.Match[str]) -> Action:
    group = match.lastgroup
    if group == "text":
        return Print(match[0])
    if group == "final":
        return Csi(match["prefix"], match["params"], match["inter"], match["final"])
    if group == "osc":
        return Osc(match["osc"])
    if group == "esc":
        return Esc(match["esc"])
    if group == "control":
        return Control(match[0])
    return Unknown(len(match[0]))
