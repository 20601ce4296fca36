"""Answers of the Messages API: the message object, usage, errors, ids, as values and JSON bytes. Pure."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import Any

from relayd.anthropic.blocks import Block
from relayd.errors import ApiError

ALPHABET = string.digits + string.ascii_letters
JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"
COUNT_MAX = 2**53  # of tokens: what every client's numbers hold
# Fields of a message that SDK types declare as always present (api.md, section 4).
NULL_FIELDS = ("container", "diagnostics", "stop_details")


def new_id(prefix: str) -> str:
    """A fresh id in the API's form, such as `req_011C…` or `msg_01…`: unique, not secret, so a slight bias does no harm."""
    return prefix + "".join(ALPHABET[byte % len(ALPHABET)] for byte in secrets.token_bytes(22))


@dataclass(frozen=True)
class Usage:
    """Token counts of one message, Claude Code's own numbers.

    `fields` is the API's usage object as it was told. What of it is of another type than the API's own counts as not told:
    whoever reads `as_json` finds numbers where numbers belong.
    """

    fields: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The usage object with every field that SDKs rely on."""
        base: dict[str, Any] = {
            "input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"thinking_tokens": 0},
            "server_tool_use": None,
            "service_tier": "standard",
            "inference_geo": "not_available",
            "speed": "standard",
        }
        return base | {name: _as_told(self.fields[name], base[name]) for name in base if name in self.fields}


def _as_told(value: Any, default: Any) -> Any:
    """A field of a usage object, or the default if it is of another type; one without a default is an object of counts."""
    if isinstance(default, str):
        return value if isinstance(value, str) else default
    if isinstance(default, int):
        return value if _is_count(value) else default
    if not isinstance(value, dict):
        return default
    return (default or {}) | {name: count for name, count in value.items() if _is_count(count)}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX


@dataclass(frozen=True)
class Answer:
    """A finished message. `inexact` are the paths of what may not be as the API gave it."""

    id: str
    model: str
    content: tuple[Block, ...]
    stop_reason: str
    usage: Usage
    stop_sequence: str | None = None
    stop_details: Any = None
    inexact: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Answer {self.id} {self.stop_reason} blocks={len(self.content)}>"

    def as_json(self) -> dict[str, Any]:
        """The message object of the API."""
        message = {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [response_block(b) for b in self.content],
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "usage": self.usage.as_json(),
        }
        return message | dict.fromkeys(NULL_FIELDS) | {"stop_details": self.stop_details}


def response_block(block: Block) -> Block:
    """A block with the fields that responses always carry. No citations is an empty list: some clients refuse null."""
    if block["type"] == "text":
        return block | {"citations": block.get("citations") or []}
    if block["type"] == "tool_use":
        return {"caller": {"type": "direct"}} | block
    return block


def error_json(error: ApiError, request_id: str) -> dict[str, Any]:
    """The error object of the API; also the data of an SSE `error` event."""
    inner: dict[str, Any] = {"type": error.kind, "message": error.message}
    if error.details:
        inner["details"] = error.details
    return {"type": "error", "error": inner, "request_id": request_id}


def error_headers(error: ApiError) -> list[tuple[str, str]]:
    """Headers that go with an error. 4xx are final (`x-should-retry: false`), but for those made to be retried."""
    headers = list(error.headers.items())
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(error.retry_after_s)))
    if 400 <= error.status < 500 and error.status not in (408, 409, 429):
        headers.append(("x-should-retry", "false"))
    return headers
