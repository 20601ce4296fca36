"""A process behind a pseudo-terminal: the only owner of ptyprocess, which is used to spawn and for nothing else.

Its read, write, wait and close block; here the master fd is non-blocking and driven by the loop. An
error while reading means the other end is closed (Linux says EIO, others an empty read).
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import traceback
from collections.abc import Callable

import ptyprocess

from relayd.runtime.children import end
from relayd.runtime.fifo import ByteQueue
from relayd.runtime.loop import READ, WRITE, Loop

OUT_MAX_BYTES = 64 * 1024
# Between fork and exec a child has the daemon's handlers, which would tell the daemon's loop of the child's signals.
FENCED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Process(ptyprocess.PtyProcess):  # type: ignore[misc]
    """One that could not exec is known to nobody but its traceback; when that is cleared, it is ended and reaped."""

    def __del__(self) -> None:
        """The inherited one waits for a tenth of a second, and may leave a zombie."""
        if not self.closed:
            self.fileobj.close()
            end(self.pid)


def _leave_the_daemon() -> None:
    """In the child, before its exec: signals are its own from here on."""
    signal.set_wakeup_fd(-1)
    for number in FENCED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FENCED)


def _close(fds: tuple[int, int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


class Pty:
    """The master side. `output` gets what the process writes, `closed` is called once at its end."""

    status: int | None = None  # the reaper knows it here

    def __init__(self, loop: Loop, chunk: int, output: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self.pid = 0
        self._loop = loop
        self._chunk = chunk
        self._output = output
        self._closed = closed
        self._out = ByteQueue()
        self._process: ptyprocess.PtyProcess | None = None
        self._file: io.FileIO | None = None
        self._fd = -1

    def __repr__(self) -> str:
        return f"<Pty pid={self.pid} fd={self._fd} out={self._out.size}>"

    def spawn(self, argv: list[str], env: dict[str, str], cwd: str, rows: int, columns: int) -> int:
        """Start the process (a few milliseconds, until exec has succeeded). Raises OSError and ValueError."""
        pipe = os.pipe()  # ptyprocess will get the same numbers, and leave them open if it cannot fork
        _close(pipe)
        signal.pthread_sigmask(signal.SIG_BLOCK, FENCED)
        try:
            process = _Process.spawn(argv, cwd=cwd, env=env, dimensions=(rows, columns), preexec_fn=_leave_the_daemon)
        except Exception as error:
            _close(pipe)
            traceback.clear_frames(error.__traceback__)  # it is in a cycle with the process: not freed for minutes
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FENCED)
        self._process = process
        self.pid, self._fd = process.pid, process.fd
        os.set_blocking(self._fd, False)
        self._file = process.fileobj  # the owner of the fd; ptyprocess's own close would block
        process.fd, process.closed = -1, True
        self._loop.touch(self)
        return self.pid

    def fileno(self) -> int:
        """The master fd."""
        return self._fd

    def wants(self) -> int:
        """Always read, so that a process never blocks on its screen; write while keys are left."""
        return READ | (WRITE if self._out.size else 0) if self._process is not None else 0

    def ready(self, mask: int, now: float) -> bool:
        """Read a bounded amount, and write."""
        left = self._out.size
        if mask & WRITE:
            self.flush(now)
        moved = self._out.size < left
        return self.drain() or moved if mask & READ else moved

    def drain(self) -> bool:
        """Read once; True if something came or the end was seen."""
        if self._process is None:
            return False
        try:
            data = os.read(self._fd, self._chunk)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._output(data)
        else:
            self.hang_up()
        return True

    def write(self, data: bytes) -> None:
        """Queue keys. A process that never reads them loses the excess."""
        if self._process is not None and self._out.size + len(data) <= OUT_MAX_BYTES:
            self._out.append(data)
            self._loop.touch(self)

    def signalled(self) -> None:
        """The process was told to end. Nothing to do: its terminal closes."""

    def flush(self, now: float) -> None:
        """Write what the terminal takes."""
        if not self._out.size or self._process is None:
            return
        try:
            self._out.drop(os.write(self._fd, self._out.head(4096)))
        except BlockingIOError:
            return
        except OSError:
            self._out.clear()

    def hang_up(self) -> None:
        """Close our side, once."""
        if self._process is not None:
            self._process = None
            self._loop.forget(self)
            self._closed()

    def failed(self) -> None:
        """A bug of ours: the process loses its terminal."""
        self.hang_up()

    def close(self) -> None:
        """Close the fd. Called by the loop."""
        if self._file is not None:
            self._file.close()
            self._file, self._fd = None, -1
