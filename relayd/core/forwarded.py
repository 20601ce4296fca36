"""The answer of another API to one call: what of it may be shown, when it is complete, what it says of itself. Pure.

What comes from there is passed on as it was sent, but only what proves to be an answer of the Messages API: a whole one is
collected and must be a message, a stream goes on event by event and must end as a stream does. So a client gets one right
answer or one error, whatever the other side does. Owned by its call, driven by `core/fallback.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.anthropic.answer import Answer, Usage
from relayd.anthropic.sse_events import EventCutter, told
from relayd.errors import KIND_BY_STATUS, ApiError

WHOLE_MAX_BYTES = 8 * 1024 * 1024  # of an answer that is not streamed
MESSAGE_MAX_CHARS = 1000  # of an error in another shape
JSON, SSE = "application/json", "text/event-stream"
WORD = re.compile(r"[a-z_]{1,40}")
RETRY_AFTER_MAX_S = 7 * 86_400
STATUS_BY_KIND = {"timeout_error": 504} | {kind: status for status, kind in reversed(KIND_BY_STATUS.items())}


class Unusable(Exception):
    """What came is no answer; the text says in what way, without any of it."""


@dataclass(frozen=True)
class Whole:
    """A complete answer that was not streamed, or an error: the body as it came, or the error that it means."""

    body: bytes
    answer: Answer


class Forwarded:
    """See the module's text. `original` is Claude Code's error, which the client gets if nothing comes of this."""

    def __init__(self, is_stream: bool, original: ApiError) -> None:
        self.original = original
        self.status = 0  # none as long as no head has come
        self.is_over = False  # the stream's last event has come
        self.error = ""  # the type of the error in which the stream has ended
        self._is_stream = is_stream
        self._retry_after_s: int | None = None
        self._cutter = EventCutter()
        self._body = bytearray()
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._stop_reason = ""

    def __repr__(self) -> str:
        return f"<Forwarded status={self.status} body={len(self._body)} over={self.is_over}>"

    @property
    def streams(self) -> bool:
        """True if what comes is a stream that may be shown as it comes."""
        return self._is_stream and self.status == 200

    def head(self, status: int, headers: dict[str, str]) -> None:
        """The head has come. Raises Unusable."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Unusable("its answer is compressed, which was not asked for")
        if status != 200 and not 400 <= status <= 599:
            raise Unusable(f"it answered with HTTP status {status}")
        if status == 200 and kind != (SSE if self._is_stream else JSON):
            raise Unusable("it answered with another type of content")
        self.status = status
        after = headers.get("retry-after", "")
        if after.isascii() and after.isdigit() and len(after) <= len(str(RETRY_AFTER_MAX_S)):
            self._retry_after_s = min(int(after), RETRY_AFTER_MAX_S)

    def data(self, data: bytes) -> bytes:
        """A piece of the body has come; what of a stream may be passed on now. Raises Unusable, or ApiError for a stream that
        begins with an error."""
        if not self.streams:
            self._body += data
            if len(self._body) > WHOLE_MAX_BYTES:
                raise Unusable("its answer is too large")
            return b""
        shown = []
        try:
            for event in self._cutter.feed(data):
                if not self.is_over:
                    self._note(told(event))
                    shown.append(event)
        except ValueError as error:
            raise Unusable("its stream is not one of the Messages API") from error
        return b"".join(shown)

    def _note(self, event: dict[str, Any]) -> None:
        """What an event says. Raises ValueError for one that has no place here, ApiError for an error before any content."""
        kind = event.get("type")
        if kind == "error":
            self._fail(event)
        elif kind == "message_start" and not self._message:
            self._message = _object(event, "message")
            self._usage |= _object(self._message, "usage")
        elif event and kind != "ping" and not self._message:
            raise ValueError("a stream begins with message_start")
        elif kind == "message_delta":
            self._usage |= {name: count for name, count in _object(event, "usage").items() if count is not None}
            self._stop_reason = _word(_object(event, "delta").get("stop_reason"))
        elif kind == "message_stop":
            self.is_over = True

    def _fail(self, event: dict[str, Any]) -> None:
        found = _object(event, "error")
        self.error = _word(found.get("type")) or "api_error"
        if not self._message:
            raise ApiError(STATUS_BY_KIND.get(self.error, 502), _text(found.get("message")) or "the stream failed")
        self.is_over = True

    def whole(self) -> Whole:
        """The answer, which has ended. Raises Unusable for one that is none, ApiError for an error."""
        if self.streams:
            raise Unusable("it ended its stream before the answer was complete")
        try:
            value = codec.parse(bytes(self._body))
        except ValueError:
            value = None
        if self.status != 200:
            raise self._error(value)
        if not isinstance(value, dict) or value.get("type") != "message" or not isinstance(value.get("content"), list):
            raise Unusable("its answer is no message")
        self._message, self._usage = value, _object(value, "usage")
        self._stop_reason = _word(value.get("stop_reason"))
        return Whole(bytes(self._body), self.answer())

    def _error(self, value: Any) -> ApiError:
        """The error that it has answered with, in the API's shape, whatever its own."""
        found = value.get("error") if isinstance(value, dict) else None
        text = _text(found.get("message") if isinstance(found, dict) else found)
        status = self.status if self.status in KIND_BY_STATUS else (400 if self.status < 500 else 502)
        return ApiError(status, text or f"it answered with HTTP status {self.status}", retry_after_s=self._retry_after_s)

    def answer(self) -> Answer:
        """What the record of the call tells of it."""
        model = str(self._message.get("model") or "")
        return Answer(str(self._message.get("id") or ""), model, (), self._stop_reason, Usage(dict(self._usage)))


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    """A field that is an object; an empty one if it is not."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _word(value: Any) -> str:
    """A word of the API, which records and logs may hold; nothing for anything else."""
    return value if isinstance(value, str) and WORD.fullmatch(value) else ""


def _text(value: Any) -> str:
    return value[:MESSAGE_MAX_CHARS] if isinstance(value, str) else ""
