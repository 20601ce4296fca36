"""A message as the API's server-sent events: parts in, bytes out.

`StreamEncoder` is fed in order and keeps what SDK accumulators rely on: one message_start, block
indexes 0, 1, 2 … that never interleave, a stop for each block, a message_delta with usage, a
message_stop. It knows no sockets and no time. Source: api.md, section 5.
"""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.anthropic.answer import Answer, Usage, error_json
from relayd.anthropic.blocks import Block
from relayd.errors import ApiError

SSE_TYPE = "text/event-stream; charset=utf-8"


def event(kind: str, fields: dict[str, Any]) -> bytes:
    """One event with its name and data lines."""
    return b"event: " + kind.encode() + b"\ndata: " + codec.dump({"type": kind, **fields}) + b"\n\n"


class StreamEncoder:
    """Events of one answer. Each method returns the bytes to send now; one that raises has changed nothing."""

    route = "messages"

    def __init__(self, message_id: str, model: str) -> None:
        self.message_id, self.model = message_id, model
        self.index = -1
        self.open: str | None = None

    def __repr__(self) -> str:
        return f"<StreamEncoder {self.message_id} index={self.index} open={self.open}>"

    def whole(self, answer: Answer) -> bytes:
        """The answer as one object, for a call that does not stream."""
        return codec.dump(answer.as_json())

    def refusal(self, error: ApiError, request_id: str) -> bytes:
        """An error before anything was sent."""
        return codec.dump(error_json(error, request_id))

    def start(self) -> bytes:
        """`message_start`: the counts are not known yet, so they are zero here and whole in `message_delta`."""
        message = Answer(self.message_id, self.model, (), "", Usage()).as_json() | {"stop_reason": None}
        return event("message_start", {"message": message})

    def text(self, piece: str) -> bytes:
        """A piece of text, in the open text block or a new one."""
        return self._fill("text", {"type": "text", "text": ""}, {"type": "text_delta", "text": piece})

    def block(self, block: Block) -> bytes:
        """A whole block: started, filled and stopped."""
        index = self.index + 1
        empty, deltas = _unfilled(block)
        data = self._stop() + _start(index, empty) + b"".join(_delta(index, delta) for delta in deltas) + _stop(index)
        self.index, self.open = index, None
        return data

    def thinking(self, piece: str) -> bytes:
        """A piece of thinking, in the open thinking block or a new one."""
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        return self._fill("thinking", empty, {"type": "thinking_delta", "thinking": piece})

    def signature(self, signature: str) -> bytes:
        """The end of the thinking block."""
        data = _delta(self.index, {"type": "signature_delta", "signature": signature}) + self._stop()
        self.open = None
        return data

    def call(self, call_id: str, name: str) -> bytes:
        """A tool call begins."""
        index = self.index + 1
        block = {"caller": {"type": "direct"}, "type": "tool_use", "id": call_id, "name": name, "input": {}}
        data = self._stop() + _start(index, block) + _delta(index, {"type": "input_json_delta", "partial_json": ""})
        self.index, self.open = index, "tool_use"
        return data

    def input(self, piece: str) -> bytes:
        """A piece of the open call's input."""
        return _delta(self.index, {"type": "input_json_delta", "partial_json": piece}) if piece else b""

    def _fill(self, kind: str, empty: Block, delta: dict[str, Any]) -> bytes:
        """A piece in the open block of this kind, or in a new one. The state changes last, with bytes that are sent."""
        if self.open == kind:
            return _delta(self.index, delta)
        index = self.index + 1
        data = self._stop() + _start(index, empty) + _delta(index, delta)
        self.index, self.open = index, kind
        return data

    def stop_block(self) -> bytes:
        """`content_block_stop`, if a block is open."""
        data = self._stop()
        self.open = None
        return data

    def finish(self, answer: Answer) -> bytes:
        """The end: reason, usage, `message_stop`."""
        delta = {"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence, "stop_details": answer.stop_details}
        data = self._stop() + event("message_delta", {"delta": delta, "usage": answer.usage.as_json()})
        data += event("message_stop", {})
        self.open = None
        return data

    def error(self, error: ApiError, request_id: str) -> bytes:
        """An error after the stream has begun."""
        return b"event: error\ndata: " + codec.dump(error_json(error, request_id)) + b"\n\n"

    def ping(self) -> bytes:
        """Keeps a silent stream alive."""
        return event("ping", {})

    def stored(self, answer: Answer) -> None:
        """Answers of this shape are not stored."""

    def _stop(self) -> bytes:
        return _stop(self.index) if self.open is not None else b""


def _unfilled(block: Block) -> tuple[Block, list[dict[str, Any]]]:
    """How a block begins, and what fills it."""
    match block["type"]:
        case "text":
            cited = block.get("citations") or []
            filled = [{"type": "text_delta", "text": block["text"]}] if block["text"] else []
            filled += [{"type": "citations_delta", "citation": each} for each in cited]
            return {"type": "text", "text": ""} | ({"citations": []} if cited else {}), filled
        case "thinking":
            shown = [{"type": "thinking_delta", "thinking": block["thinking"]}] if block.get("thinking") else []
            signature = {"type": "signature_delta", "signature": block.get("signature", "")}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*shown, signature]
        case "tool_use" | "server_tool_use" as kind if isinstance(block.get("input"), dict):
            pieces = ["", codec.dump(block["input"]).decode()] if block["input"] else [""]
            empty = ({"caller": {"type": "direct"}} if kind == "tool_use" else {}) | block | {"input": {}}
            return empty, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        case _:
            return block, []


def _start(index: int, block: Block) -> bytes:
    return event("content_block_start", {"index": index, "content_block": block})


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return event("content_block_delta", {"index": index, "delta": delta})


def _stop(index: int) -> bytes:
    return event("content_block_stop", {"index": index})
