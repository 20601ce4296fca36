"""Runs relayd as Windows would show it: no FIFOs, users, process groups or SIGCHLD, and pywinpty for terminals.

What Windows lacks is taken out of the standard library before relayd is imported; pywinpty's place is
taken by a stand-in on a POSIX terminal, whose reads block as the real one's do. Run by `test_windows.py`.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import importlib
import os
import shlex
import signal
import socket
import sys
import types

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
    "jsonschema",
    "orjson",
    "wsproto",
):
    importlib.import_module(name)


class WinptyError(Exception):
    """As pywinpty's."""


class PTY:
    """What relayd uses of `winpty.PTY`."""

    def __init__(self, columns: int, rows: int) -> None:
        self._size = (rows, columns)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._status: int | None = None

    def spawn(self, program: str, cmdline: str, cwd: str, env: str) -> None:
        pairs = dict(item.split("=", 1) for item in env.removesuffix("\0").split("\0"))
        argv = [program, *shlex.split(cmdline)]
        self._process = ptyprocess.PtyProcess.spawn(argv, cwd=cwd, env=pairs, dimensions=self._size)
        self.pid = self._process.pid

    def read(self, blocking: bool = False) -> str:
        assert blocking
        try:
            data = os.read(self._process.fd, 65536)
        except OSError:
            data = b""
        if not data:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            raise WinptyError("end of file")
        return self._decoder.decode(data)

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
        return True


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
    sys.platform = "win32"


if __name__ == "__main__":
    become_windows()
    sys.exit(importlib.import_module("relayd.doctor.under_test").run())
