"""The listening socket: accepts a bounded number per turn, and rests when the machine is out of fds."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable

from relayd.runtime.loop import READ, Loop
from relayd.runtime.timers import ListenerTimer

REST_S = 1.0
BACKLOG = 256  # connections that the kernel holds until they are accepted
# Windows lets a second process take a port that has SO_REUSEADDR, and has this against it. Elsewhere
# SO_REUSEADDR only means that a port in TIME_WAIT may be bound again.
ADDRESS_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
OUT_OF_FDS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def bind(host: str, port: int) -> socket.socket:
    """A listening, non-blocking socket. Raises OSError, as when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, ADDRESS_OPTION, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


class Listener:
    """Hands accepted sockets to `accepted`; `is_full` says when to leave them in the backlog."""

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        per_turn: int,
        accepted: Callable[[socket.socket, float], None],
        is_full: Callable[[], bool],
    ) -> None:
        self._socket = sock
        self._loop = loop
        self._per_turn = per_turn
        self._accepted = accepted
        self._is_full = is_full
        self._resting = False

    def __repr__(self) -> str:
        return f"<Listener fd={self.fileno()} resting={self._resting}>"

    def fileno(self) -> int:
        """The socket's fd."""
        return self._socket.fileno()

    def wants(self) -> int:
        """Read unless (1) resting or (2) there are enough connections."""
        return 0 if self._resting or self._is_full() else READ

    def ready(self, mask: int, now: float) -> bool:
        """Accept up to the cap."""
        for count in range(self._per_turn):
            if self._is_full():
                return True
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return count > 0
            except OSError as error:
                if error.errno in OUT_OF_FDS:
                    self._rest(now)
                    return True
                continue
            try:
                self._welcome(sock, now)
            except Exception as error:  # costs this connection; the listener has nothing to rest for
                sock.close()
                self._loop.report(self, error)
        return True

    def _welcome(self, sock: socket.socket, now: float) -> None:
        try:  # a peer that has already left makes setsockopt fail on some systems
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            return
        self._accepted(sock, now)

    def _rest(self, now: float) -> None:
        self._resting = True
        self._loop.set_timer(ListenerTimer.REST, now + REST_S)

    def wake(self) -> None:
        """Accept again."""
        self._resting = False
        self._loop.touch(self)

    def flush(self, now: float) -> None:
        """Nothing to write."""

    def failed(self) -> None:
        """A bug of ours: try again in a moment. A daemon that does not listen is of no use."""
        self._rest(time.monotonic())

    def close(self) -> None:
        """Close the socket. Called by the loop."""
        self._socket.close()
