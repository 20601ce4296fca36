"""The lines that Claude Code appends to a transcript: bytes in, entries out.

The transcript is the authority on content, usage and stop reasons; it is written about 0.1 s after
the end of a message. Lines of other kinds, and lines that are not JSON, are skipped and counted.
Pure; fed by `core/session.py` with what the tail has read. Splits may fall anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.anthropic.blocks import Block

LINE_MAX_BYTES = 64 * 1024 * 1024
SYNTHETIC_MODEL = "<synthetic>"  # lines that Claude Code wrote itself, such as API errors
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
class ErrorLine:
    """An API error, shown by Claude Code as a message of its own. `resets_at`: unix seconds, for a usage limit."""

    error: str
    text: str
    resets_at: int | None = None


@dataclass(frozen=True)
class UserLine:
    """A user message: tool results, an interruption, or a hidden nudge of Claude Code."""

    results: tuple[str, ...] = ()  # ids of the tool calls whose results it holds


Entry = AssistantLine | ErrorLine | UserLine


class TranscriptReader:
    """Collects lines across reads."""

    def __init__(self) -> None:
        self._pending = b""
        self.skipped = 0

    def __repr__(self) -> str:
        return f"<TranscriptReader pending={len(self._pending)} skipped={self.skipped}>"

    def feed(self, data: bytes) -> list[Entry]:
        """Entries of the lines that `data` completes, in order. Never raises."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > LINE_MAX_BYTES:
            self._pending = b""
            self.skipped += 1
        return [entry for line in lines if (entry := self._entry(line)) is not None]

    def _entry(self, line: bytes) -> Entry | None:
        if not line or line.startswith(SKIPPED):
            return None
        try:
            return _read(codec.parse(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.skipped += 1
            return None


def _read(value: dict[str, Any]) -> Entry | None:
    if value.get("isSidechain"):
        return None
    kind = value.get("type")
    if kind == "assistant":
        return _assistant(value, value["message"])
    if kind == "user":
        content = value["message"]["content"]
        blocks = content if isinstance(content, list) else []
        return UserLine(tuple(b["tool_use_id"] for b in blocks if b.get("type") == "tool_result"))
    return None


def _assistant(value: dict[str, Any], message: dict[str, Any]) -> Entry:
    blocks = tuple(message["content"])
    if message.get("model") == SYNTHETIC_MODEL or value.get("isApiErrorMessage"):
        resets_at = (value.get("quotaLimits") or {}).get("resetsAt")
        text = "".join(b.get("text", "") for b in blocks)
        return ErrorLine(str(value.get("error") or ""), text, int(resets_at) if resets_at else None)
    return AssistantLine(
        message_id=message["id"],
        model=message["model"],
        blocks=blocks,
        stop_reason=message.get("stop_reason"),
        stop_sequence=message.get("stop_sequence"),
        stop_details=message.get("stop_details"),
        usage=message.get("usage") or {},
        request_id=str(value.get("requestId") or ""),
    )
