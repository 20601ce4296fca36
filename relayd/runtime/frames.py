"""The WebSocket that a connection can become, a bounded amount of work at a time. Owned by `channel`.

A dashboard's frames may be a few bytes each, so that a full buffer holds thousands: what is left is worked on in the next
turn of the loop.
"""

from __future__ import annotations

from relayd.http.messages import HttpRequest
from relayd.http.websocket import WebSocket, is_upgrade

MESSAGE_MAX_BYTES = 64 * 1024  # of a dashboard; it sends a token or the name of a process
BYTES_PER_TURN = 4096  # at most 700 frames


class Frames:
    """See the module's text."""

    def __init__(self, request: HttpRequest) -> None:
        self._websocket = WebSocket(request.headers, request.path, MESSAGE_MAX_BYTES)
        self._unread = bytearray()

    def __repr__(self) -> str:
        return f"<Frames {self._websocket!r} unread={len(self._unread)}>"

    @property
    def is_open(self) -> bool:
        """False once either side has closed it."""
        return self._websocket.is_open

    @property
    def has_more(self) -> bool:
        """True if something is left for the next turn."""
        return bool(self._unread)

    def accept(self) -> bytes:
        """The answer to the upgrade. Raises ValueError for a request that is no proper one."""
        return self._websocket.accept()

    def take(self, data: bytes) -> None:
        """Bytes from the peer."""
        self._unread += data

    def read(self) -> tuple[list[str], bytes]:
        """The next messages, and bytes that must be sent back."""
        data = bytes(self._unread[:BYTES_PER_TURN])
        del self._unread[:BYTES_PER_TURN]
        return self._websocket.receive(data)

    def send(self, text: str) -> bytes:
        """A text message as bytes; nothing after the close."""
        return self._websocket.send(text)

    def drop(self) -> None:
        """The connection is over: what is left is of no use."""
        self._unread.clear()


def offered(request: HttpRequest) -> Frames | None:
    """The WebSocket that a request asks for, if it does."""
    return Frames(request) if is_upgrade(request.headers) else None
