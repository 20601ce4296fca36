"""A process behind a Windows pseudo console: the only owner of pywinpty.

Its reads block and its handles cannot be polled, so a thread reads, and does nothing but feed one end of a
socket pair; the loop has the other. Windows has no SIGCHLD, and a pseudo console may stay open after its
process has ended: a second thread waits for the process, gives the reader a moment for what was written
last, and closes the socket pair. Its end is the end of the process, and `status` is the exit code. Same
interface as `pty_posix.py`. The tests put a fake pywinpty below it; `scripts/wine-test` runs it under Wine.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import winpty

from relayd.runtime.command import check
from relayd.runtime.loop import READ, Loop

_winapi: Any = importlib.import_module("_winapi")  # of CPython for Windows; no type checker elsewhere knows it

UNKNOWN_STATUS = 1
EMPTY_READ_S = 0.01  # a read that waits should not come back empty; if it does, it must not spin
LAST_WORDS_S = 0.2  # from the end of a process until its console is given up: what it wrote last is read meanwhile
READER_LIMIT_S = 2.0  # from then until the reader's thread must have ended; else it is left behind


class Pty:
    """`output` gets what the process writes, `closed` is called once at its end."""

    def __init__(self, loop: Loop, chunk: int, output: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self.pid = 0
        self._loop = loop
        self._chunk = chunk
        self._output = output
        self._closed = closed
        self._console: Any = None
        self._socket: socket.socket | None = None
        self._fd = -1
        self._is_open = False

    def __repr__(self) -> str:
        return f"<Pty pid={self.pid} fd={self._fd}>"

    @property
    def status(self) -> int | None:
        """The exit code; None while the process runs."""
        if self._console is None or self._console.isalive():
            return None
        code = self._console.get_exitstatus()
        return UNKNOWN_STATUS if code is None else int(code)

    def spawn(self, argv: list[str], env: dict[str, str], cwd: str, rows: int, columns: int) -> int:
        """Start the process and its reader. Raises OSError and ValueError, and pywinpty's own error."""
        check(argv, env)
        program = shutil.which(argv[0], path=env.get("PATH"))
        if program is None:
            raise FileNotFoundError(f"{argv[0]} cannot be run")
        console = winpty.PTY(columns, rows)
        block = "".join(f"{name}={value}\0" for name, value in env.items())
        console.spawn(program, cmdline=" " + subprocess.list2cmdline(argv[1:]), cwd=cwd, env=block)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._console, self._socket, self._fd, self._is_open = console, ours, ours.fileno(), True
        self.pid = int(console.pid or 0)
        reader = threading.Thread(target=_feed, args=(console, theirs), name=f"console-{self.pid}", daemon=True)
        reader.start()
        threading.Thread(target=_watch, args=(self.pid, console, theirs, reader), name=f"end-{self.pid}", daemon=True).start()
        self._loop.touch(self)
        return self.pid

    def fileno(self) -> int:
        """Our end of the socket pair."""
        return self._fd

    def wants(self) -> int:
        """Always read, so that a process never blocks on its screen."""
        return READ if self._is_open else 0

    def ready(self, mask: int, now: float) -> bool:
        """Read a bounded amount."""
        return self.drain()

    def drain(self) -> bool:
        """Read once; True if something came or the end was seen."""
        if self._socket is None or not self._is_open:
            return False
        try:
            data = self._socket.recv(self._chunk)
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
        """Write keys: a few bytes, for which the console always has room."""
        if self._is_open:
            with contextlib.suppress(OSError, winpty.WinptyError):
                self._console.write(data.decode("utf-8", "replace"))

    def flush(self, now: float) -> None:
        """Nothing is ever left over."""

    def hang_up(self) -> None:
        """Close our side, once."""
        if self._is_open:
            self._is_open = False
            self._loop.forget(self)
            self._closed()

    def failed(self) -> None:
        """The loop met an error while it drove this terminal: hang up."""
        self.hang_up()

    def close(self) -> None:
        """Close the socket. Called by the loop."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self._fd = None, -1


def _feed(console: Any, sink: socket.socket) -> None:
    """The reader's thread: from the console to the loop, until either ends. A full socket makes the process wait."""
    with contextlib.suppress(OSError, winpty.WinptyError):
        while True:
            text = console.read(blocking=True)
            if text:
                sink.sendall(text.encode("utf-8", "replace"))
            elif console.iseof() or not console.isalive():
                return
            else:
                time.sleep(EMPTY_READ_S)


def _watch(pid: int, console: Any, sink: socket.socket, reader: threading.Thread) -> None:
    """The other thread: when the process has ended, or the loop has closed its side, nothing more is read."""
    _wait_for_end(pid)
    reader.join(LAST_WORDS_S)
    if reader.is_alive():
        with contextlib.suppress(OSError, winpty.WinptyError):
            console.cancel_io()  # microsoft/terminal#4564: a pseudo console does not tell that its process has ended
        reader.join(READER_LIMIT_S)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)  # also under a reader that does not come back
    sink.close()


def _wait_for_end(pid: int) -> None:
    """Return when there is no such process any more."""
    try:
        handle = _winapi.OpenProcess(_winapi.SYNCHRONIZE, False, pid)
    except OSError:
        return  # it has ended already
    try:
        _winapi.WaitForSingleObject(handle, _winapi.INFINITE)
    finally:
        _winapi.CloseHandle(handle)
