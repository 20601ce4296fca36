"""Runs relayd as macOS would show it: no /proc and no netlink, events of kqueue, limits of its own. Run by `test_macos.py`.

Only what can be seen from manuals is here; macOS itself was never tried.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import importlib
import os
import resource
import selectors
import socket
import sys
from typing import Any

# These look at the system as they are imported, and have to work here.
for name in ("ptyprocess", "platform", "subprocess", "ctypes", "uuid", "tempfile"):
    importlib.import_module(name)
OPEN_MAX = 10_240  # setrlimit(2)
F_GETPATH = 50


class Kqueue(selectors.EpollSelector):
    """kqueue has a filter for each direction, and reports an fd once for each."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        return [(key, bit) for bit in (selectors.EVENT_WRITE, selectors.EVENT_READ) for key, mask in ready if mask & bit]


def become_macos() -> None:
    """Replace what is otherwise there."""
    really_open, really_isdir, really_killpg, really_fcntl = builtins.open, os.path.isdir, os.killpg, fcntl.fcntl
    really_setrlimit = resource.setrlimit

    def open_(file: Any, *args: Any, **options: Any) -> Any:
        if str(file).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", file)
        return really_open(file, *args, **options)

    def killpg(group: int, number: int) -> None:
        """Not permitted if one in it is dead and not reaped."""
        with really_open(f"/proc/{group}/stat", encoding="ascii", errors="replace") as file:
            if file.read().rpartition(")")[2].split()[0] == "Z":
                raise PermissionError(errno.EPERM, "Operation not permitted")
        really_killpg(group, number)

    def fcntl_(fd: int, command: int, argument: Any = 0) -> Any:
        if command == F_GETPATH:
            return os.fsencode(os.readlink(f"/proc/self/fd/{fd}")).ljust(len(argument), b"\0")
        return really_fcntl(fd, command, argument)

    def setrlimit(which: int, limits: tuple[int, int]) -> None:
        if which == resource.RLIMIT_NOFILE and limits[0] > OPEN_MAX:
            raise ValueError("current limit exceeds maximum limit")
        really_setrlimit(which, limits)

    builtins.open = open_
    os.path.isdir = lambda path: not str(path).startswith("/proc") and really_isdir(path)
    os.killpg, fcntl.fcntl, resource.setrlimit = killpg, fcntl_, setrlimit
    fcntl.F_GETPATH = F_GETPATH  # type: ignore[attr-defined]
    selectors.DefaultSelector = Kqueue  # type: ignore[misc,assignment]
    for module, lacking in ((socket, ("AF_NETLINK", "SOCK_CLOEXEC", "SOCK_NONBLOCK")), (os, ("pidfd_open", "memfd_create"))):
        for attribute in lacking:
            if hasattr(module, attribute):
                delattr(module, attribute)
    sys.platform = "darwin"


if __name__ == "__main__":
    become_macos()
    sys.exit(importlib.import_module("relayd.doctor.under_test").run())
