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
    """Events of one answer. Each method returns the bytes to send now."""

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
        data = b""
        if self.open != "text":
            data = self.stop_block() + self._start_block("text", {"type": "text", "text": ""})
        return data + self._delta({"type": "text_delta", "text": piece})

    def block(self, block: Block) -> bytes:
        """A whole block: started, filled and stopped."""
        kind = block["type"]
        data = self.stop_block()
        if kind == "text":
            return (
                data
                + self._start_block(kind, {"type": "text", "text": ""})
                + (self._delta({"type": "text_delta", "text": block["text"]}) if block["text"] else b"")
                + self.stop_block()
            )
        if kind == "thinking":
            data += self._start_block(kind, {"type": "thinking", "thinking": "", "signature": ""})
            if block.get("thinking"):
                data += self._delta({"type": "thinking_delta", "thinking": block["thinking"]})
            data += self._delta({"type": "signature_delta", "signature": block.get("signature", "")})
        elif kind == "tool_use":
            empty = {"caller": {"type": "direct"}, **block, "input": {}}
            data += self._start_block(kind, empty) + self._delta({"type": "input_json_delta", "partial_json": ""})
            if block["input"]:
                data += self._delta({"type": "input_json_delta", "partial_json": codec.dump(block["input"]).decode()})
        else:
            data += self._start_block(kind, block)
        return data + self.stop_block()

    def thinking(self, piece: str) -> bytes:
        """A piece of thinking, in the open thinking block or a new one."""
        data = b""
        if self.open != "thinking":
            data = self.stop_block() + self._start_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        return data + self._delta({"type": "thinking_delta", "thinking": piece})

    def signature(self, signature: str) -> bytes:
        """The end of the thinking block."""
        return self._delta({"type": "signature_delta", "signature": signature}) + self.stop_block()

    def call(self, call_id: str, name: str) -> bytes:
        """A tool call begins."""
        block = {"caller": {"type": "direct"}, "type": "tool_use", "id": call_id, "name": name, "input": {}}
        begun = self.stop_block() + self._start_block("tool_use", block)
        return begun + self._delta({"type": "input_json_delta", "partial_json": ""})

    def input(self, piece: str) -> bytes:
        """A piece of the open call's input."""
        return self._delta({"type": "input_json_delta", "partial_json": piece}) if piece else b""

    def stop_block(self) -> bytes:
        """`content_block_stop`, if a block is open."""
        if self.open is None:
            return b""
        self.open = None
        return event("content_block_stop", {"index": self.index})

    def finish(self, answer: Answer) -> bytes:
        """The end: reason, usage, `message_stop`."""
        delta = {"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence, "stop_details": answer.stop_details}
        data = self.stop_block()
        data += event("message_delta", {"delta": delta, "usage": answer.usage.as_json()})
        return data + event("message_stop", {})

    def error(self, error: ApiError, request_id: str) -> bytes:
        """An error after the stream has begun."""
        return b"event: error\ndata: " + codec.dump(error_json(error, request_id)) + b"\n\n"

    def ping(self) -> bytes:
        """Keeps a silent stream alive."""
        return event("ping", {})

    def _start_block(self, kind: str, block: Block) -> bytes:
        self.index += 1
        self.open = kind
        return event("content_block_start", {"index": self.index, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event("content_block_delta", {"index": self.index, "delta": delta})
