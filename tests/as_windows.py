"""Runs relayd as Windows would show it: no FIFOs, users, process groups or SIGCHLD, and pywinpty for terminals.

What Windows lacks is taken out of the standard library before relayd is imported; pywinpty's place is
taken by a stand-in on a POSIX terminal, whose reads block as the real one's do, and which behaves as a pseudo console
does: its title is the program first, and it does not tell that its process has ended. Files that are open cannot be
deleted or renamed, `select` takes 512 sockets, and standard output knows few characters. Run by `test_windows.py`.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import importlib
import os
import select
import selectors
import shlex
import shutil
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import ptyprocess

# These look at the system as they are imported, and have to work here.
for name in (
    "glob",
    "platform",
    "selectors",
    "shutil",
    "subprocess",
    "tempfile",
    "uuid",
    "h11",
    "ssl",
    "orjson",
    "wsproto",
):
    importlib.import_module(name)


SOCKETS_MAX = 512  # that `select` takes: CPython's FD_SETSIZE there
READY_MS = 20  # how long a read may overlook that it was cancelled


class WinptyError(Exception):
    """As pywinpty's."""


class PTY:
    """What relayd uses of `winpty.PTY`."""

    def __init__(self, columns: int, rows: int) -> None:
        self._size = (rows, columns)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._status: int | None = None
        self._cancelled = threading.Event()
        self._title = ""

    def spawn(self, program: str, cmdline: str, cwd: str, env: str) -> None:
        pairs = dict(item.split("=", 1) for item in env.removesuffix("\0").split("\0"))
        argv = [program, *shlex.split(cmdline)]
        self._process = ptyprocess.PtyProcess.spawn(argv, cwd=cwd, env=pairs, dimensions=self._size)
        self.pid = self._process.pid
        self._title = f"\x1b]0;C:\\Users\\x y\\{os.path.basename(program)}.exe\x07"

    def read(self, blocking: bool = False) -> str:
        assert blocking
        title, self._title = self._title, ""
        return title or self._decoder.decode(self._read())

    def _read(self) -> bytes:
        """Output. The end of the process is not the end of it: that is what `cancel_io` is for."""
        with contextlib.suppress(OSError):
            while not self._cancelled.is_set():
                poller = select.poll()
                poller.register(self._process.fd, select.POLLIN)
                if poller.poll(READY_MS):
                    return os.read(self._process.fd, 65536)
        self._cancelled.wait()
        raise WinptyError("the operation was cancelled")

    def write(self, text: str) -> int:
        return os.write(self._process.fd, text.encode())

    def isalive(self) -> bool:
        if self._status is None:
            pid, raw = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(raw) if pid else None
        return self._status is None

    def get_exitstatus(self) -> int | None:
        return self._status

    def iseof(self) -> bool:
        return self._status is not None

    def cancel_io(self) -> bool:
        self._cancelled.set()
        return True


def winapi() -> types.ModuleType:
    """`_winapi`, as far as relayd waits for processes with it. Handles are those of Linux."""
    found = types.ModuleType("_winapi")

    def wait(handle: int, limit: int) -> int:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll()
        return 0

    vars(found).update(
        SYNCHRONIZE=0x100000,
        INFINITE=0xFFFFFFFF,
        OpenProcess=lambda access, inherit, pid: os.pidfd_open(pid),
        WaitForSingleObject=wait,
        CloseHandle=os.close,
    )
    return found


class FewSockets(selectors.SelectSelector):
    """`select` as CPython has it on Windows."""

    def select(self, timeout: float | None = None) -> Any:
        if len(self.get_map()) > SOCKETS_MAX:
            raise ValueError("too many file descriptors in select()")
        return super().select(timeout)


def refuse_open(work: Callable[..., Any], *places: int) -> Callable[..., Any]:
    """`os.unlink` and the like: a file that this process has open stays, under its name."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        for path in (os.path.realpath(args[place]) for place in places):
            for fd in os.listdir("/proc/self/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/self/fd/{fd}") == path:
                        raise PermissionError(errno.EACCES, "another program has this file open", path)
        return work(*args, **kwargs)

    return guarded


def lock(fd: int, mode: int, size: int) -> None:
    """`msvcrt.locking`."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def become_windows() -> None:
    """Take away what Windows lacks. Its socket pairs are made of TCP sockets."""
    local = socket.AF_UNIX
    made = socket.socketpair
    socket.socketpair = lambda: made(local)
    sys.modules["winpty"] = types.ModuleType("winpty")
    vars(sys.modules["winpty"]).update(PTY=PTY, WinptyError=WinptyError)
    sys.modules["_winapi"] = winapi()
    sys.modules["msvcrt"] = types.ModuleType("msvcrt")
    vars(sys.modules["msvcrt"]).update(locking=lock, LK_NBLCK=2)
    for gone in ("resource", "fcntl", "ptyprocess", "pwd", "grp", "termios"):
        sys.modules[gone] = None  # type: ignore[assignment]
    lacking = {
        os: ("mkfifo", "O_CLOEXEC", "O_NONBLOCK", "geteuid", "getuid", "killpg", "pread", "fork"),
        signal: ("SIGCHLD", "SIGHUP", "SIGKILL"),
        socket: ("AF_UNIX", "AF_NETLINK"),
    }
    for module, names in lacking.items():
        for attribute in names:
            with contextlib.suppress(AttributeError):
                delattr(module, attribute)
    os.unlink = os.remove = refuse_open(os.unlink, 0)
    os.replace, os.rename = refuse_open(os.replace, 0, 1), refuse_open(os.rename, 0, 1)
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    selectors.DefaultSelector = FewSockets  # type: ignore[misc]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="cp1252")  # type: ignore[union-attr]
    sys.platform = "win32"


if __name__ == "__main__":
    become_windows()
    sys.exit(importlib.import_module("relayd.doctor.under_test").run())
