"""What the mod tells: one POST body to the pieces of an answer that it holds. Pure; called by `core/callbacks.py`.

A piece belongs to a block of the API's answer, named by its index there. Blocks that the mod cannot look into (redacted
thinking, say) have no pieces, so that an index may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relayd import codec
from relayd.claude import hooks, mcp, mod, told

STEP_MAX = 1_000_000  # requests of one process
NUMBER_MAX = 100_000_000  # pieces of one answer
TOKENS_MAX = 1_000_000_000
COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
BLOCK_MAX = 100_000  # blocks of one answer


@dataclass(frozen=True)
class TextPiece:
    """Some text, raw."""

    block: int
    text: str


@dataclass(frozen=True)
class ThinkingPiece:
    """Some thinking. Its signature is not told."""

    block: int
    text: str


@dataclass(frozen=True)
class CallPiece:
    """A tool call begins; `name` is the client's own."""

    block: int
    id: str
    name: str


@dataclass(frozen=True)
class InputPiece:
    """Some of a tool call's input, raw JSON that may end anywhere."""

    block: int
    json: str


@dataclass(frozen=True)
class StopPiece:
    """The answer is whole. `usage` has the API's counts, or nothing."""

    reason: str
    model: str = ""
    usage: dict[str, int] = field(default_factory=dict)


BlockPiece = TextPiece | ThinkingPiece | CallPiece | InputPiece
Piece = BlockPiece | StopPiece


@dataclass(frozen=True)
class Pieces:
    """Pieces that follow each other. `step` counts the requests of the process, `first` is the number of the first piece."""

    step: int
    first: int
    pieces: tuple[Piece, ...]

    @property
    def end_the_answer(self) -> bool:
        """True if the last piece of an answer is among them."""
        return any(isinstance(piece, StopPiece) for piece in self.pieces)

    @property
    def is_end_alone(self) -> bool:
        """True for the last piece alone, which does not wait for those before it."""
        return len(self.pieces) == 1 and self.end_the_answer


def reply(are_wanted: bool) -> bytes:
    """The answer to a post: whether the mod shall tell more of this answer."""
    return hooks.PASS if are_wanted else mod.STOP


def read(body: bytes) -> Pieces:
    """The pieces in a body. Raises ValueError if it is malformed, or holds a kind that is not known."""
    value = told.mapping(codec.parse(body), "body")
    found = told.listing(value.get("pieces"), "pieces")
    if len(found) > mod.POSTED_MAX:
        raise ValueError("pieces: too many")
    step, first = told.count(value.get("step"), "step", STEP_MAX), told.count(value.get("from"), "from", NUMBER_MAX)
    return Pieces(step, first, tuple(_piece(told.mapping(each, "piece")) for each in found))


def _piece(value: dict[str, Any]) -> Piece:
    kind = told.word(value.get("kind"), "kind")
    if kind == "stop":
        return _stop(value)
    block = told.count(value.get("index"), "index", BLOCK_MAX)
    if kind == "text":
        return TextPiece(block, told.text(value.get("text"), "text"))
    if kind == "thinking":
        return ThinkingPiece(block, told.text(value.get("text"), "text"))
    if kind == "tool":
        name = told.word(value.get("name"), "name").removeprefix(mcp.PREFIX)
        return CallPiece(block, told.word(value.get("id"), "id"), name)
    if kind == "input":
        return InputPiece(block, told.text(value.get("json"), "json"))
    raise ValueError("kind: not known")


def _stop(value: dict[str, Any]) -> StopPiece:
    usage = told.mapping(value.get("usage", {}), "usage")
    counts = {name: told.count(usage[name], name, TOKENS_MAX) for name in COUNTS if name in usage}
    is_whole = len(counts) == len(COUNTS)
    return StopPiece(told.any_text(value.get("stopReason")), told.any_text(usage.get("model")), counts if is_whole else {})
