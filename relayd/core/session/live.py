"""The pieces of one answer, in order, as parts for the client: text, thinking and tool input as they are made. Pure.

Rules. A piece counts if its number is the next one; at the first gap no more are used, and the turn goes on with whole
lines from where it is. Blocks keep the API's order: what comes behind a block that pieces do not tell in full (thinking,
whose signature only the transcript has; kinds that the mod cannot see) waits until the transcript has that block. The
transcript is the authority: each block that was given out is compared with it.

Owned by `turn.py`, which knows what text the other channels have given out already. It knows no processes and no clients.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.anthropic.blocks import Block
from relayd.claude.pieces import BlockPiece, CallPiece, InputPiece, Pieces, StopPiece, TextPiece, ThinkingPiece
from relayd.core.session.raw_inputs import RawInputs, as_javascript

WAITING_MAX = 50_000  # pieces behind a block that the transcript does not bring
EMPTY = "{}"  # the input of a call that has none
STYLES: tuple[dict[str, Any], ...] = (
    {"ensure_ascii": False},
    {"ensure_ascii": False, "separators": (",", ":")},
    {},
    {"separators": (",", ":")},
)


@dataclass(frozen=True)
class TextShown:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True)
class ThinkingShown:
    """A piece of thinking, in the open thinking block or a new one."""

    text: str


@dataclass(frozen=True)
class ThinkingSigned:
    """The open thinking block is whole."""

    signature: str


@dataclass(frozen=True)
class CallShown:
    """A tool call begins, by its id and the client's name for the tool."""

    id: str
    name: str


@dataclass(frozen=True)
class InputShown:
    """A piece of the open tool call's input, raw JSON."""

    json: str


@dataclass(frozen=True)
class BlockEnded:
    """The open block is whole."""


LivePart = TextShown | ThinkingShown | ThinkingSigned | CallShown | InputShown | BlockEnded


class Differs(Exception):
    """What was given out is not what the transcript has."""


class LivePieces:
    """See the module's text. `step` is the number of the answer's request in its process.

    `raw` has the inputs of calls, of an answer that is not streamed, too.
    """

    def __init__(self, step: int, is_wanted: bool, may_call: bool) -> None:
        self.step = step
        self.raw = RawInputs(step, may_call)
        self.is_open = is_wanted  # more pieces may be used
        self.told_chars = self.given_chars = 0  # of text, in all pieces so far, and in those that need not wait any more
        self._next = 0
        self._waiting: list[BlockPiece] = []
        self._block = -1  # the API's index of the block at hand
        self._kind: type[BlockPiece] | None = None  # what that block is, as long as it is not whole
        self.in_transcript = 0  # blocks that the transcript has
        self._thought = ""  # of the open thinking block
        self._thoughts: dict[int, list[str]] = {}  # of each thinking block, by its index
        self._stop: StopPiece | None = None  # the last piece, which may come before others
        self._count: int | None = None  # of pieces, with the last
        self._is_plain = True  # all pieces are of one text, the first block
        self._call = ""  # the id of the open call
        self._inputs: dict[str, str] = {}  # input that was given out, of calls that the transcript does not have yet

    def __repr__(self) -> str:
        return f"<LivePieces step={self.step} open={self.is_open} next={self._next} waiting={len(self._waiting)}>"

    @property
    def is_used(self) -> bool:
        """True if pieces have come that count."""
        return self._next > 0 or self.raw.is_used

    @property
    def wants_more(self) -> bool:
        """True if more pieces are of use."""
        return self.is_open or self.raw.is_open

    @property
    def is_amid_block(self) -> bool:
        """True if no text may follow yet: thinking or a call has begun and is not whole, or text waits behind a block."""
        return self._kind is ThinkingPiece or self._kind is CallPiece or bool(self._waiting)

    @property
    def is_amid_answer(self) -> bool:
        """True if more pieces are on their way."""
        return self.is_used and self.wants_more and not self._is_whole

    def with_thought(self, index: int, block: Block) -> Block | None:
        """A block of the answer with the text of its thinking; None if that was not told."""
        if block["type"] != "thinking":
            return block
        is_known = self._is_whole and self.is_open and index in self._thoughts
        return block | {"thinking": "".join(self._thoughts[index])} if is_known else None

    @property
    def has_end(self) -> bool:
        """True if the last piece has come."""
        return self._count is not None

    @property
    def end_of_text(self) -> StopPiece | None:
        """The last piece, with its counts, of an answer that is one text and has ended of itself, if all its pieces have come."""
        has_all = self.is_open and self._is_whole and self._is_plain and not self._waiting
        return self._stop if has_all and self._stop and self._stop.reason == "end_turn" and self._stop.usage else None

    @property
    def _is_whole(self) -> bool:
        """True if the last piece has come, and those before it that are of use."""
        if self._count is None:
            return False
        lacks_some = self.is_open and self._next < self._count - 1
        return not lacks_some and not (self.raw.is_open and self.raw.told < self._count - 1)

    @property
    def is_settled(self) -> bool:
        """True if the transcript has had everything that was given out but text."""
        return self._kind is not ThinkingPiece and not self._inputs

    def stop(self) -> None:
        """Use no more pieces."""
        self.is_open = False
        self._waiting.clear()

    def take(self, fact: Pieces, sent_chars: int) -> list[LivePart]:
        """Pieces that have come, when so much text was sent already."""
        self.raw.take(fact)
        if fact.step == self.step and fact.end_the_answer:
            self._end(fact)
        if not self.is_open or fact.step != self.step or fact.first + len(fact.pieces) <= self._next:
            return []
        if fact.is_end_alone and fact.first > self._next:
            return []
        if fact.first != self._next or len(self._waiting) + len(fact.pieces) > WAITING_MAX:
            self.stop()
            return []
        self._next += len(fact.pieces)
        for piece in fact.pieces:
            if isinstance(piece, TextPiece):
                self.told_chars += len(piece.text)
            if isinstance(piece, ThinkingPiece):
                self._thoughts.setdefault(piece.block, []).append(piece.text)
            if not isinstance(piece, StopPiece):
                self._is_plain = self._is_plain and isinstance(piece, TextPiece) and piece.block == 0
                self._waiting.append(piece)
        return self.flow(sent_chars)

    def _end(self, fact: Pieces) -> None:
        self._count = fact.first + len(fact.pieces)
        self._stop = next(piece for piece in fact.pieces if isinstance(piece, StopPiece))

    def flow(self, sent_chars: int) -> list[LivePart]:
        """Give out what need not wait any more. Text that was sent already is among it."""
        parts: list[LivePart] = []
        count = 0
        for piece in self._waiting:
            if self._must_wait(piece):
                break
            if not self._fits(piece, sent_chars):
                self.stop()
                return parts
            count += 1
            parts += self._give(piece)
        del self._waiting[:count]
        return parts

    def unsent(self, parts: list[LivePart], sent_chars: int) -> list[LivePart]:
        """Parts that were just given out, without the text that was sent already."""
        found: list[LivePart] = []
        begin = self.given_chars - sum(len(part.text) for part in parts if isinstance(part, TextShown))
        for part in parts:
            if isinstance(part, TextShown):
                begin += len(part.text)
                late = max(0, begin - sent_chars)
                sent_chars += late
                part = TextShown(part.text[len(part.text) - late :])
            if part != TextShown(""):
                found.append(part)
        return found

    def exact(self, block: Block) -> list[LivePart] | None:
        """The transcript has the next block: its rest; None if nothing of it was given out. Raises Differs."""
        self.in_transcript += 1
        if block["type"] == "thinking" and self._kind is ThinkingPiece:
            return self._sign(block)
        if block["type"] == "tool_use" and block["id"] in self._inputs:
            return self._settle(block)
        if block["type"] == "tool_use" and (text := self.raw.cut.get(block["id"])) is not None:
            return [CallShown(block["id"], block["name"]), *([InputShown(text)] if text else []), BlockEnded()]
        return None

    def _must_wait(self, piece: BlockPiece) -> bool:
        """True if a block before the piece's own is not whole, as far as it is known."""
        if piece.block <= self._block or piece.block <= self.in_transcript:
            return False
        return self._kind is ThinkingPiece or piece.block > self._block + 1

    def _fits(self, piece: BlockPiece, sent_chars: int) -> bool:
        """False for a piece that cannot come here, or for thinking that text of a later block has overtaken."""
        if piece.block < self.in_transcript:
            return True  # the transcript was faster
        if piece.block == self._block:
            return self._continues(piece)
        is_overtaken = isinstance(piece, ThinkingPiece) and self.given_chars < sent_chars
        return piece.block > self._block and not isinstance(piece, InputPiece) and not is_overtaken

    def _continues(self, piece: BlockPiece) -> bool:
        kind = CallPiece if isinstance(piece, InputPiece) else type(piece)
        return not isinstance(piece, CallPiece) and self._kind is kind

    def _give(self, piece: BlockPiece) -> list[LivePart]:
        if piece.block < self.in_transcript and not isinstance(piece, TextPiece):
            return []  # the transcript was faster
        parts: list[LivePart] = []
        if piece.block > self._block:
            parts += self._end_block()
            self._block = piece.block
        match piece:
            case TextPiece():
                self._kind = TextPiece
                self.given_chars += len(piece.text)
                parts.append(TextShown(piece.text))
            case ThinkingPiece():
                self._kind = ThinkingPiece
                self._thought += piece.text
                parts.append(ThinkingShown(piece.text))
            case CallPiece():
                self._kind, self._call = CallPiece, piece.id
                self._inputs[piece.id] = ""
                parts.append(CallShown(piece.id, piece.name))
            case InputPiece():
                self._inputs[self._call] += piece.json
                parts.append(InputShown(piece.json))
        return parts

    def _end_block(self) -> list[LivePart]:
        ends: list[LivePart] = [BlockEnded()] if self._kind is not None else []
        if self._kind is CallPiece and self._inputs.get(self._call) == "":
            self._inputs[self._call] = EMPTY
            ends.insert(0, InputShown(EMPTY))
        self._kind = None
        return ends

    def _sign(self, block: Block) -> list[LivePart]:
        text = block.get("thinking", "")
        if not text.startswith(self._thought):
            raise Differs("the thinking that was streamed differs from the transcript")
        rest, self._thought, self._kind = text[len(self._thought) :], "", None
        shown: list[LivePart] = [ThinkingShown(rest)] if rest else []
        return [*shown, ThinkingSigned(block.get("signature", ""))]

    def _settle(self, block: Block) -> list[LivePart]:
        raw = self._inputs.pop(block["id"])
        is_at_hand = self._kind is CallPiece and self._call == block["id"]
        cut = self.raw.cut.get(block["id"])
        rest = _rest(raw, block["input"]) if cut is None else _rest_of_text(raw, cut)
        if rest is None or (rest and not is_at_hand):
            raise Differs("the tool input that was streamed differs from the transcript")
        if not is_at_hand:
            return []
        shown: list[LivePart] = [InputShown(rest)] if rest else []
        return [*shown, *self._end_block()]


def _rest_of_text(given: str, text: str) -> str | None:
    """What is missing of a text; None if it does not begin with what was given out, which may be more than is known of it."""
    return text[len(given) :] if text.startswith(given) or given.startswith(text) else None


def _rest(raw: str, value: Any) -> str | None:
    """What is missing of a value's JSON; None if it is not the beginning of that value's JSON."""
    try:
        return "" if as_javascript(json.loads(raw, parse_int=float)) == as_javascript(value) else None
    except (ValueError, RecursionError):
        pass
    if not raw:
        return codec.dump(value).decode()
    texts = (json.dumps(value, **style) for style in STYLES)
    return next((text[len(raw) :] for text in texts if text.startswith(raw)), None)
