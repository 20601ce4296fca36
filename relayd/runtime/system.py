"""What differs between operating systems: limits, the lock, users, flags of files, the terminal.

Elsewhere no module asks which system it runs on. What a system lacks is left out, never imitated.
Used by the daemon and the runtime.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

FDS_WANTED = 65536
FIRST_BUILD_OF_11 = 22000  # whose registry still says 10
# Windows would translate line ends, and knows no close-on-exec.
FILE_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
HAS_FIFOS = hasattr(os, "mkfifo")
# Windows has `select` only, and CPython builds it for so many sockets; more would end every turn of the loop with an error.
POLLED_MAX = 512 if sys.platform == "win32" else sys.maxsize
HAS_OWNERS = hasattr(os, "geteuid")  # files have an owner and modes that mean something


def terminal() -> Any:
    """The class that runs a process behind a terminal here."""
    name = "pty_windows" if sys.platform == "win32" else "pty_posix"
    return importlib.import_module(f"relayd.runtime.{name}").Pty


def product_name() -> str:
    """Windows's own name, as Node.js tells it: `Windows 11 Home`. Empty elsewhere, or if it does not say."""
    try:
        winreg: Any = importlib.import_module("winreg")
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Windows NT\CurrentVersion") as key:
            name, build = str(winreg.QueryValueEx(key, "ProductName")[0]), int(winreg.QueryValueEx(key, "CurrentBuild")[0])
    except (ImportError, OSError, ValueError):
        return ""
    return name.replace("Windows 10", "Windows 11") if build >= FIRST_BUILD_OF_11 else name


def set_limits() -> None:
    """No core dumps, since prompts are in memory, and as many fds as we may have."""
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FDS_WANTED) if hard > 0 else FDS_WANTED, hard))


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold a lock that ends with this process. Raises OSError if another process has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | FILE_FLAGS, 0o600)
    try:
        if sys.platform == "win32":
            msvcrt: Any = importlib.import_module("msvcrt")
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl: Any = importlib.import_module("fcntl")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def is_ours(uid: int | None) -> bool:
    """True for this user and for root, who could do anything anyway; and where the system does not say."""
    return uid is None or not HAS_OWNERS or uid in (0, os.geteuid())
