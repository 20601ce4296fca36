"""A connection of another user of this machine: told no at once, then closed. Nothing of it is parsed.

The answer is written when the connection is accepted, before a byte of the request is read. Closing
with unread bytes resets the connection, which can overtake the answer; so a little is read and
thrown away, for a moment. A stranger takes no place of the user's own connections. Owned by `server`.
"""

from __future__ import annotations

import socket

from relayd.http.fixed import STRANGER, answer
from relayd.runtime.loop import READ, Loop
from relayd.runtime.timers import StrangerTimer

STRANGERS_MAX = 32  # drained at the same time; for a further one the oldest is closed
LINGER_S = 1.0
READ_BYTES = 4096
DRAINED_MAX_BYTES = 64 * 1024


class Stranger:
    """See the module's text."""

    def __init__(self, timer: StrangerTimer, sock: socket.socket, loop: Loop) -> None:
        self.timer = timer
        self.is_gone = False
        self._socket = sock
        self._loop = loop
        self._left = DRAINED_MAX_BYTES

    def __repr__(self) -> str:
        return f"<Stranger {self.timer.number} gone={self.is_gone}>"

    def refuse(self, date: str, now: float) -> None:
        """Answer, and close our side of it. At the timer's end `clients` drops it, whether it has left by then or not."""
        self._loop.set_timer(self.timer, now + LINGER_S)
        try:
            self._socket.send(answer(STRANGER, date))
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.leave()
            return
        self._loop.touch(self)

    def leave(self) -> None:
        """Close."""
        if not self.is_gone:
            self.is_gone = True
            self._loop.forget(self)

    def fileno(self) -> int:
        """The socket's fd."""
        return self._socket.fileno()

    def wants(self) -> int:
        """Read, to throw it away."""
        return 0 if self.is_gone else READ

    def ready(self, mask: int, now: float) -> bool:
        """Throw away what has come; leave at its end."""
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        self._left -= len(data)
        if not data or self._left <= 0:
            self.leave()
        return True

    def flush(self, now: float) -> None:
        """Nothing to write: the answer fits into the kernel's buffer."""

    def failed(self) -> None:
        """A bug of ours: the connection ends."""
        self.leave()

    def close(self) -> None:
        """Close the socket. Called by the loop."""
        self._socket.close()
