"""The lines that Claude Code appends to a transcript: bytes in, entries out.

The transcript is the authority on content, usage and stop reasons; it is written about 0.1 s after
the end of a message. Lines of other kinds, and lines that are not JSON, are skipped and counted.
Pure; fed by the effects in `core/session/` with what the tail has read. Splits may fall anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.anthropic.blocks import Block
from relayd.claude import told
from relayd.claude.reminders import Machine

LINE_MAX_BYTES = 64 * 1024 * 1024
SYNTHETIC_MODEL = "<synthetic>"  # lines that Claude Code wrote itself, such as API errors
MEDIA_REMOVED = "media_removed"  # the API has refused a picture or a document: the next request has a note in its place
LATEST_S = 4_102_444_800  # the year 2100, in unix seconds
# Texts that a block of a kind must have.
TEXTS = {"text": ("text",), "thinking": ("thinking",), "redacted_thinking": ("data",), "tool_use": ("id", "name")}
SKIPPED = (b'{"type":"api-request', b'{"type":"file-history', b'{"type":"atis')


@dataclass(frozen=True)
class AssistantLine:
    """One finished content block of a message (or several), with the message's counts so far."""

    message_id: str
    model: str
    blocks: tuple[Block, ...]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: Any
    usage: dict[str, Any]
    request_id: str


@dataclass(frozen=True)
class Refusal:
    """What an error that Claude Code shows says of the answer behind it, which the API ended as a refusal.

    `message_id` and `model` are empty for versions that do not name them.
    """

    message_id: str
    model: str
    stop_details: Any


@dataclass(frozen=True)
class ErrorLine:
    """An API error, shown by Claude Code as a message of its own. `resets_at`: unix seconds, for a usage limit."""

    error: str
    text: str
    resets_at: int | None = None
    refusal: Refusal | None = None  # it is no error of the API, which has answered
    repaired: str = ""  # the API's error, if Claude Code has asked again without what the error was about


@dataclass(frozen=True)
class UserLine:
    """A user message: tool results, an interruption, or a hidden nudge of Claude Code."""

    results: tuple[str, ...] = ()  # ids of the tool calls whose results it holds


Entry = AssistantLine | ErrorLine | UserLine


class TranscriptReader:
    """Collects lines across reads. `machine` is what Claude Code has found its surroundings to be, if it told the model so."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []  # pieces of a line whose end has not come
        self._size = 0
        self.skipped = 0
        self.machine: Machine | None = None

    def __repr__(self) -> str:
        return f"<TranscriptReader pending={self._size} skipped={self.skipped}>"

    def feed(self, data: bytes) -> list[Entry]:
        """Entries of the lines that `data` completes, in order. Never raises."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            lines.append(b"".join((*self._pending, end)))
            self._pending, self._size = [], 0
        self._keep(rest)
        return [entry for line in lines if (entry := self._entry(line)) is not None]

    def _keep(self, piece: bytes) -> None:
        """The beginning of a line, joined once its end comes: a long one comes in many pieces."""
        self._pending.append(piece)
        self._size += len(piece)
        if self._size > LINE_MAX_BYTES:
            self._pending, self._size = [], 0
            self.skipped += 1

    def _entry(self, line: bytes) -> Entry | None:
        if not line or line.startswith(SKIPPED):
            return None
        try:
            value = told.mapping(codec.parse(line), "line")
            if value.get("type") == "attachment":
                self.machine = _machine(value.get("attachment")) or self.machine
                return None
            return _read(value)
        except ValueError:
            self.skipped += 1
            return None


def read_answer(body: bytes) -> AssistantLine:
    """An answer as the API gave it, which is a message as a line has it, all blocks at once; its thinking is redacted.
    Raises ValueError for anything else.
    """
    found = _assistant({}, told.mapping(codec.parse(body), "answer"))
    if not isinstance(found, AssistantLine):
        raise ValueError("answer: not the API's")
    return found


def _machine(attachment: Any) -> Machine | None:
    """What a reminder of the surroundings says; None for one of something else."""
    found = told.mapping(attachment, "attachment")
    if found.get("type") != "environment":
        return None
    seen = told.mapping(found.get("snapshot"), "snapshot")
    return Machine(*(told.text(seen.get(name), name) for name in ("platform", "shell", "osVersion")))


def _read(value: dict[str, Any]) -> Entry | None:
    if value.get("isSidechain"):
        return None
    kind = value.get("type")
    if kind == "assistant":
        return _assistant(value, told.mapping(value.get("message"), "message"))
    if kind == "user":
        content = told.mapping(value.get("message"), "message").get("content")
        blocks = [told.mapping(b, "block") for b in content] if isinstance(content, list) else []
        return UserLine(tuple(told.text(b.get("tool_use_id"), "id") for b in blocks if b.get("type") == "tool_result"))
    return None


def _assistant(value: dict[str, Any], message: dict[str, Any]) -> Entry:
    if codec.is_too_deep(message):
        raise ValueError("message: nested too deeply")
    blocks = tuple(_block(told.mapping(b, "block")) for b in told.listing(message.get("content"), "content"))
    if message.get("model") == SYNTHETIC_MODEL or value.get("isApiErrorMessage"):
        text = "".join(told.any_text(b.get("text")) for b in blocks)
        repaired = told.any_text(value.get("errorDetails")) if value.get("apiError") == MEDIA_REMOVED else ""
        resets_at = _resets_at(value.get("quotaLimits"))
        return ErrorLine(told.any_text(value.get("error")), text, resets_at, _refusal(value, message), repaired)
    usage = message.get("usage")
    return AssistantLine(
        message_id=told.word(message.get("id"), "id"),
        model=told.word(message.get("model"), "model"),
        blocks=blocks,
        stop_reason=None if message.get("stop_reason") is None else told.word(message["stop_reason"], "stop_reason"),
        stop_sequence=told.text_or_none(message.get("stop_sequence"), "stop_sequence"),
        stop_details=message.get("stop_details"),
        usage=usage if isinstance(usage, dict) else {},
        request_id=told.any_text(value.get("requestId")),
    )


def _refusal(value: dict[str, Any], message: dict[str, Any]) -> Refusal | None:
    """The answer behind an error, if it was a refusal. (Seen on 2.1.330: one without content has no line of its own.)"""
    if message.get("stop_reason") != "refusal":
        return None
    message_id, model = (told.word(value.get(name, ""), name) for name in ("refusedMessageId", "refusingModel"))
    return Refusal(message_id, model, message.get("stop_details"))


def _block(block: Block) -> Block:
    """A block in which everything is there that the core and the encoders look for."""
    kind = told.text(block.get("type"), "type")
    for name in TEXTS.get(kind, ()):
        told.text(block.get(name), name)
    if kind == "tool_use":
        told.mapping(block.get("input"), "input")
    if kind == "thinking":
        told.text(block.get("signature", ""), "signature")
    return block


def _resets_at(limits: Any) -> int | None:
    """The end of a usage limit, in unix seconds, if it is one of these years."""
    found = limits.get("resetsAt") if isinstance(limits, dict) else None
    return int(found) if isinstance(found, (int, float)) and 0 < found < LATEST_S else None
