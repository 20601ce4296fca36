"""Terminal bytes to actions.

Pure and bounded: whatever a program writes, the parser keeps at most `SEQUENCE_MAX_CHARS` of an unfinished sequence. It
knows no grid; `screen.py` does, and calls this.

The grammar is that of ECMA-48 and of Paul Williams' DEC parser, a state for each kind of sequence:

    GROUND   text is printed, controls are executed
    ESCAPE   after ESC: intermediates, then a final character; `[`, `]`, `P` and their like open the states below
    CSI      parameters and intermediates, then a final character; controls inside are executed at once
    OSC      a string that is kept, up to BEL or ST (`ESC \\`)
    STRING   DCS, SOS, PM, APC: a string that is swallowed, up to ST
    OSC_END, STRING_END   after an ESC in a string: `\\` ends it, anything else abandons it and is a sequence of its own

CAN and SUB abandon any sequence, ESC begins a new one. The C1 controls U+0080 to U+009F are the same as ESC and the letter
that stands 64 below. What is too long or fits no rule is swallowed up to its end and is one `Unknown`; none of it is ever
printed. So the actions do not depend on how the bytes were split.

Whole sequences take a fast path, a regular expression, because a TUI that redraws sends thousands of them; the states
take the rest. Both must say the same of the same bytes: `tests/terminal/test_vt.py` compares them.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from enum import Enum, auto

SEQUENCE_MAX_CHARS = 8192  # longer ones are swallowed: of a title, a link or parameters nobody needs more

TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<prefix>[<=>?]?)(?P<params>[0-9:;]{0,64})(?P<inter>[ -/]{0,8})(?P<final>[@-~])"
    r"|\x1b\](?P<osc>[^\x00-\x1f\x7f-\x9f]{0,8192})(?:\x07|\x1b\\|\x9c)"
    r"|\x1b(?P<esc>[ -/]{0,8}[0-OQ-WYZ`-~])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
)
CSI = re.compile(r"([<=>?]?)([0-9:;]*)([ -/]*)([@-~])")


class State(Enum):
    """Where in a sequence the parser is; see the module's text."""

    GROUND = auto()
    ESCAPE = auto()
    CSI = auto()
    OSC = auto()
    OSC_END = auto()
    STRING = auto()
    STRING_END = auto()


STRING = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")
NOTHING = re.compile(r"(?!)")
# What is taken at once in a state: whole sequences, or a run of characters that only make the sequence longer.
FAST = {
    State.GROUND: TOKEN,
    State.ESCAPE: re.compile(r"[ -/]+"),
    State.CSI: re.compile(r"[ -?\xa0-\U0010ffff]+"),
    State.OSC: STRING,
    State.STRING: STRING,
    State.OSC_END: NOTHING,
    State.STRING_END: NOTHING,
}
OPENERS = {"[": State.CSI, "]": State.OSC, "P": State.STRING, "X": State.STRING, "^": State.STRING, "_": State.STRING}
ESC, BEL, ABANDON = "\x1b", "\x07", "\x18\x1a"


@dataclass(frozen=True)
class Print:
    """Text to put at the cursor."""

    text: str


@dataclass(frozen=True)
class Control:
    """A C0 control character, or DEL."""

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
    """`ESC` with optional intermediates and a final character; or the C1 control that means the same."""

    text: str


@dataclass(frozen=True)
class Unknown:
    """A sequence that fits no rule, is too long, or was abandoned: swallowed; `size` characters."""

    size: int


Action = Print | Control | Csi | Osc | Esc | Unknown


class Parser:
    """Feed bytes, get the actions they complete. Splits may fall anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._state = State.GROUND
        self._kept = ""  # of the unfinished sequence, without what opened it
        self._size = 0  # of all of it

    def __repr__(self) -> str:
        return f"<vt.Parser {self._state.name} size={self._size}>"

    def feed(self, data: bytes) -> list[Action]:
        """All actions that `data` completes, in order. Never raises."""
        text = self._decoder.decode(data)
        actions: list[Action] = []
        position = 0
        while position < len(text):
            match = FAST[self._state].match(text, position)
            if match is None:
                self._take(text[position], actions)
                position += 1
                continue
            position = match.end()
            if self._state is State.GROUND:
                actions.append(_action(match))
            else:
                self._keep(match[0])
        return actions

    def _take(self, char: str, actions: list[Action]) -> None:
        """One character that the fast path left: it begins, ends, abandons or interrupts a sequence."""
        if "\x80" <= char <= "\x9f":
            self._c1(char, actions)
        elif char in ABANDON:
            self._abandon(actions)
            actions.append(Control(char))
        elif char == ESC:
            self._escape(actions)
        elif self._state in (State.OSC_END, State.STRING_END):
            self._after_string(char, actions)
        elif not _is_text(char):
            self._control(char, actions)
        elif self._state is State.ESCAPE and char in OPENERS and not self._kept:
            self._state = OPENERS[char]
            self._size += 1
        else:  # the final character of an escape or control sequence
            self._keep(char)
            self._end(actions)

    def _control(self, char: str, actions: list[Action]) -> None:
        """A control inside of a sequence: a string swallows it, or ends with BEL; in others it is executed at once."""
        if self._state in (State.ESCAPE, State.CSI):
            actions.append(Control(char))
            return
        self._size += 1
        if char == BEL and self._state is State.OSC:
            self._end(actions)

    def _escape(self, actions: list[Action]) -> None:
        """ESC: perhaps the first half of a string's end, else the start of a sequence."""
        if self._state is State.OSC:
            self._state = State.OSC_END
        elif self._state is State.STRING:
            self._state = State.STRING_END
        else:
            self._open(State.ESCAPE, 1, actions)
            return
        self._size += 1

    def _after_string(self, char: str, actions: list[Action]) -> None:
        if char == "\\":
            self._size += 1
            self._end(actions)
            return
        self._size -= 1  # the ESC is not the string's
        self._open(State.ESCAPE, 1, actions)
        self._take(char, actions)

    def _c1(self, char: str, actions: list[Action]) -> None:
        """A C1 control: as ESC and its letter; ST ends a string."""
        letter = chr(ord(char) - 0x40)
        if letter == "\\" and self._state in (State.OSC, State.STRING):
            self._size += 1
            self._end(actions)
        elif letter in OPENERS:
            self._open(OPENERS[letter], 1, actions)
        else:
            self._abandon(actions)
            actions.append(Esc(letter))

    def _open(self, state: State, size: int, actions: list[Action]) -> None:
        self._abandon(actions)
        self._state, self._size = state, size

    def _keep(self, text: str) -> None:
        """More of the sequence. One character more than allowed is kept, which says that it is too long."""
        self._size += len(text)
        self._kept += text[: SEQUENCE_MAX_CHARS + 1 - len(self._kept)]

    def _abandon(self, actions: list[Action]) -> None:
        if self._state is not State.GROUND:
            actions.append(Unknown(self._size))
        self._state, self._kept, self._size = State.GROUND, "", 0

    def _end(self, actions: list[Action]) -> None:
        """The sequence is complete."""
        action = self._whole(self._kept) if len(self._kept) <= SEQUENCE_MAX_CHARS else None
        actions.append(action or Unknown(self._size))
        self._state, self._kept, self._size = State.GROUND, "", 0

    def _whole(self, text: str) -> Action | None:
        """What the sequence means; None if it fits no rule."""
        match self._state:
            case State.CSI:
                csi = CSI.fullmatch(text)
                return Csi(*csi.groups()) if csi else None
            case State.OSC | State.OSC_END:
                return Osc(text)
            case State.ESCAPE:
                return Esc(text) if text.isascii() else None
        return None


def _is_text(char: str) -> bool:
    return char >= " " and char != "\x7f"


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
    return Control(match[0])
