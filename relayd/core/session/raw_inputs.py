"""The inputs of an answer's tool calls as the model wrote them. Pure.

Claude Code parses them: its transcript, its hooks and its tool calls have them through JavaScript, which rounds whole numbers
beyond 2^53, makes `1` of `1.0` and `0` of `-0.0`, and drops `__proto__`. Only the mod's pieces are the model's own text. They
count if none is missing and what they say is, for JavaScript, what the transcript says.

An answer may be cut within an input. Then the transcript has a note of Claude Code's own; the client gets what had arrived.

Owned by `turn.py`; unlike `live.py`, it serves answers that are not streamed as well.
"""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.anthropic.blocks import Block
from relayd.anthropic.partial_json import partial
from relayd.claude import unparsed_input
from relayd.claude.pieces import CallPiece, InputPiece, Pieces

CHARS_MAX = 16 * 1024 * 1024  # of all inputs of one answer


class RawInputs:
    """See the module's text. `step` is the number of the answer's request in its process."""

    def __init__(self, step: int, is_wanted: bool) -> None:
        self._step = step
        self.is_open = is_wanted
        self.is_used = False
        self.proven: set[str] = set()  # calls whose input is known to be the model's own
        self.cut: dict[str, str] = {}  # inputs that are no JSON, as far as they are known
        self.incomplete: set[str] = set()  # those of which only the beginning is
        self.is_lost = False  # Claude Code holds less of one than the model wrote, and would say so to the model
        self.told = self._chars = 0  # pieces so far, and characters of inputs
        self._call = ""
        self._texts: dict[str, list[str]] = {}

    def __repr__(self) -> str:
        return f"<RawInputs open={self.is_open} calls={len(self._texts)} chars={self._chars}>"

    def take(self, fact: Pieces) -> None:
        """Pieces that have come. At a gap, no more are used: the input at hand is then not whole, which shows."""
        if not self.is_open or fact.step != self._step or fact.first + len(fact.pieces) <= self.told:
            return
        if fact.is_end_alone and fact.first > self.told:
            return
        self.is_open = fact.first == self.told
        if not self.is_open:
            return
        self.is_used = True
        self.told += len(fact.pieces)
        for piece in fact.pieces:
            if isinstance(piece, CallPiece):
                self._call = piece.id
                self._texts[piece.id] = []
            elif isinstance(piece, InputPiece) and self._call in self._texts:  # else the transcript was faster
                self._texts[self._call].append(piece.json)
                self._chars += len(piece.json)
                self.is_open = self._chars <= CHARS_MAX

    def exact(self, block: Block) -> Block:
        """A block of the transcript, with the model's own input if it is a call and that is known."""
        if block["type"] != "tool_use":
            return block
        texts = self._texts.pop(block["id"], None)
        if texts is None:
            return self._cut(block, "")
        text = "".join(texts)
        try:
            found = codec.parse(text.encode() or b"{}")
        except ValueError:  # not whole
            return self._cut(block, text)
        held = as_javascript(block["input"])
        if not isinstance(found, dict) or codec.is_too_deep(found) or as_javascript(found) != held:
            return self._cut(block, text)
        self.is_lost = self.is_lost or as_javascript(found, dropped=None) != held
        self.proven.add(block["id"])
        return block | {"input": found}

    def _cut(self, block: Block, text: str) -> Block:
        """A call whose input is no JSON, as far as pieces have brought it; it may be that some of them are missing."""
        note = unparsed_input.find(block["input"])
        if note is None:
            return block
        known = text if note.is_length_of(text) else note.text
        self.cut[block["id"]] = known
        value = partial(known)
        (self.proven if note.is_length_of(known) and value is not None else self.incomplete).add(block["id"])
        return block | {"input": value or {}}


def as_javascript(value: Any, dropped: str | None = "__proto__") -> Any:
    """A value as JavaScript has it: numbers are floating point, and a key of this name is lost."""
    if isinstance(value, dict):
        return {name: as_javascript(item, dropped) for name, item in value.items() if name != dropped}
    if isinstance(value, list):
        return [as_javascript(item, dropped) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
