"""The FIFO a waiting process blocks on: found open by asking, written once, then closed.

A FIFO that opens for writing without blocking has a reader: that is the readiness signal. The write
end is kept open until the hand-over, because closing it would let the process go on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from relayd.runtime.fifo import ByteQueue
from relayd.runtime.loop import WRITE, Loop


class Gate:
    """`failed` is called if the process goes away while it is being written to."""

    def __init__(self, path: str, loop: Loop, failed: Callable[[str], None]) -> None:
        self._path = path
        self._loop = loop
        self._failed = failed
        self._out = ByteQueue()
        self._fd = -1
        self._writing = False

    @staticmethod
    def make(path: str) -> None:
        """Make the FIFO. Raises OSError."""
        os.mkfifo(path, 0o600)

    def __repr__(self) -> str:
        return f"<Gate fd={self._fd} left={self._out.size}>"

    def fileno(self) -> int:
        """The write end."""
        return self._fd

    def try_open(self) -> bool:
        """True once the process waits. Raises OSError if the FIFO is gone."""
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return False
            raise
        return True

    def send(self, data: bytes) -> None:
        """Write everything, then close: the process goes on at the end of file."""
        self._out.append(data)
        self._writing = True
        self._write()
        if self._writing:
            self._loop.touch(self)

    def wants(self) -> int:
        """Write until all is out. A waiting gate is not registered."""
        return WRITE if self._writing else 0

    def ready(self, mask: int, now: float) -> bool:
        """Write; True if something went out."""
        left = self._out.size
        self.flush(now)
        return self._out.size < left or not self._writing

    def flush(self, now: float) -> None:
        """Write what the pipe takes (64 KB at a time on Linux)."""
        if self._writing:
            self._write()

    def _write(self) -> None:
        try:
            self._out.drop(os.write(self._fd, self._out.head(256 * 1024)))
        except BlockingIOError:
            return
        except OSError as error:
            self._break(f"the system prompt's pipe broke: {error.strerror}")
            return
        if not self._out.size:
            self._writing = False
            self._loop.forget(self)

    def _break(self, reason: str) -> None:
        self._writing = False
        self._loop.forget(self)
        self._failed(reason)

    def shut(self) -> None:
        """Give up; only after the process has ended, or it would go on without its prompt."""
        if self._fd >= 0:
            self._writing = False
            self._loop.forget(self)

    def failed(self) -> None:
        """A bug of ours: report once that the hand-over failed. The fd stays open, or its process would go on promptless."""
        if self._writing:
            self._writing = False
            self._failed("relayd met an error while it wrote the system prompt")

    def close(self) -> None:
        """Close the fd. Called by the loop."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
