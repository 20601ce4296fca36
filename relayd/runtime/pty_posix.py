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
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import ptyprocess

from relayd.runtime.children import end
from relayd.runtime.command import check
from relayd.runtime.fifo import ByteQueue
from relayd.runtime.loop import READ, WRITE, Loop

OUT_MAX_BYTES = 64 * 1024
# Between fork and exec a child has the daemon's handlers, which would tell the daemon's loop of the child's signals.
FENCED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# From fork to exec, for which ptyprocess waits with the whole loop: 3 ms when all is well. A child that is stopped between
# the two, or whose program lies on a disk that does not answer, would be waited for without an end.
EXEC_LIMIT_S = 2.0
LOOK_AGAIN_S = 0.1
EXIT_NOT_BECOME = 127  # of a child that could not even say why; as shells have it


def _leave_the_daemon() -> None:
    """In the child, before its exec: signals are its own from here on."""
    signal.set_wakeup_fd(-1)
    for number in FENCED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FENCED)


def _become(argv: list[str], env: dict[str, str], cwd: str) -> NoReturn:
    """In the child: be that program, or raise an OSError.

    It runs as ptyprocess's `preexec_fn`, whose errors come back to the parent; of its own `chdir` nothing comes back, of
    its own `exec` only an OSError does.
    """
    try:
        os.chdir(cwd)
        _leave_the_daemon()
        os.execvpe(argv[0], argv, env)
    except OSError:
        raise
    except BaseException as error:
        raise OSError(type(error).__name__) from None


def _fork(argv: list[str], become: Callable[[], None], dimensions: tuple[int, int]) -> ptyprocess.PtyProcess:
    """Fork behind a new terminal; the child calls `become`. Raises what went wrong there or here, with nothing left."""
    daemon = os.getpid()
    try:
        with _limited_exec():
            return ptyprocess.PtyProcess.spawn(argv, dimensions=dimensions, preexec_fn=become)
    except BaseException as error:
        if os.getpid() != daemon:  # the child: whatever went wrong, it must not go on as a second daemon
            os._exit(EXIT_NOT_BECOME)
        _clean_up(_locals_of_spawn(error))
        raise


@contextlib.contextmanager
def _limited_exec() -> Iterator[None]:
    """Raise TimeoutError when ptyprocess has waited for `EXEC_LIMIT_S`. The child inherits no such timer, and its exec puts the
    signal's handler back.
    """
    before = signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, EXEC_LIMIT_S, LOOK_AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _too_late(number: int, frame: FrameType | None) -> None:
    """Not before the child is in hand: nobody would know of it."""
    if frame is not None and _is_spawn(frame) and "inst" in frame.f_locals:
        raise TimeoutError("the program did not begin to run in time")


def _is_spawn(frame: FrameType) -> bool:
    return frame.f_code is ptyprocess.PtyProcess.spawn.__func__.__code__


def _locals_of_spawn(error: BaseException) -> Mapping[str, Any]:
    """What ptyprocess had in hand when it raised: it drops it as it is, and nobody else knows of it."""
    return next((frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__) if _is_spawn(frame)), {})


def _clean_up(left: Mapping[str, Any]) -> None:
    """End and reap the child, close the terminal, and the pipe for the child's errors if it is still open."""
    if process := left.get("inst"):
        process.fileobj.close()
        process.closed = True  # or its `__del__` sleeps for a tenth of a second and looks again
        if "exec_err_data" not in left and "exec_err_pipe_read" in left:  # it was not heard of in time
            os.close(left["exec_err_pipe_read"])
        end(process.pid)
    elif pid := left.get("pid"):  # it could not even be wrapped
        os.close(left["fd"])
        end(pid)
    else:
        _close_pipe(left)


def _close_pipe(left: Mapping[str, Any]) -> None:
    for name in ("exec_err_pipe_read", "exec_err_pipe_write"):
        if name in left:
            os.close(left[name])


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
        check(argv, env)
        signal.pthread_sigmask(signal.SIG_BLOCK, FENCED)
        try:
            process = _fork(argv, partial(_become, argv, env, cwd), (rows, columns))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FENCED)
        try:
            self._own(process)
        except Exception:  # costs this process: it has no driver
            _clean_up({"inst": process})
            self._process, self.pid, self._file, self._fd = None, 0, None, -1
            self._loop.forget(self)
            raise
        return self.pid

    def _own(self, process: ptyprocess.PtyProcess) -> None:
        self._process = process
        self.pid, self._fd = process.pid, process.fd
        os.set_blocking(self._fd, False)
        self._file = process.fileobj  # the owner of the fd; ptyprocess's own close would block
        process.fd, process.closed = -1, True
        self._loop.touch(self)

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
        """The loop met an error while it drove this terminal: hang up, which ends the process."""
        self.hang_up()

    def close(self) -> None:
        """Close the fd. Called by the loop."""
        if self._file is not None:
            self._file.close()
            self._file, self._fd = None, -1
