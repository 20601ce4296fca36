"""The shapes that answers can have, and what in a shape shows a part of the answer. Pure; used by `core/call.py`."""

from __future__ import annotations

from typing import Any, Protocol, assert_never

from relayd.anthropic.answer import Answer
from relayd.anthropic.blocks import Block
from relayd.core.session.live import BlockEnded, CallShown, InputShown, TextShown, ThinkingShown, ThinkingSigned
from relayd.core.session.parts import BlockShown, Shown
from relayd.errors import ApiError

OPENAI_REQUEST_ID = "x-request-id"  # the header in which OpenAI's clients look for it
# What is kept of an answer under its id, and the items that it was an answer to.
Stored = tuple[dict[str, Any], tuple[Any, ...]]


class Encoder(Protocol):
    """A shape that answers can have: `anthropic/sse.py`, `openai/encode.py` and `openai/response_encode.py`.

    `stored` is None for a shape, or a request, whose answers are not stored.
    """

    message_id: str
    route: str

    def whole(self, answer: Answer) -> bytes: ...
    def refusal(self, error: ApiError, request_id: str) -> bytes: ...
    def start(self) -> bytes: ...
    def text(self, piece: str) -> bytes: ...
    def block(self, block: Block) -> bytes: ...
    def thinking(self, piece: str) -> bytes: ...
    def signature(self, signature: str) -> bytes: ...
    def call(self, call_id: str, name: str) -> bytes: ...
    def input(self, piece: str) -> bytes: ...
    def stop_block(self) -> bytes: ...
    def finish(self, answer: Answer) -> bytes: ...
    def error(self, error: ApiError, request_id: str) -> bytes: ...
    def ping(self) -> bytes: ...
    def stored(self, answer: Answer) -> Stored | None: ...


def encoded(encoder: Encoder, part: Shown) -> bytes:
    """What a stream shows of a part; nothing if the shape does not have it."""
    match part:
        case TextShown(text):
            return encoder.text(text)
        case BlockShown(block):
            return encoder.block(block)
        case ThinkingShown(text):
            return encoder.thinking(text)
        case ThinkingSigned(signature):
            return encoder.signature(signature)
        case CallShown(call_id, name):
            return encoder.call(call_id, name)
        case InputShown(text):
            return encoder.input(text)
        case BlockEnded():
            return encoder.stop_block()
        case _:
            assert_never(part)
