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

# As many fds as we may have, or less: a kernel may refuse more than its own limit for one process. macOS has OPEN_MAX,
# 10,240 (setrlimit(2)), and between fork and exec closes one by one what there could be.
FDS_WANTED = (10_240, 4096, 1024) if sys.platform == "darwin" else (65_536, 10_240, 4096, 1024)
PATH_MAX_BYTES = 1024  # on macOS
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


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_limits() -> None:
    """No core dumps, since prompts are in memory, and as many fds as we may have."""
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _set_fds(resource)


def _set_fds(resource: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for step, wanted in enumerate(FDS_WANTED):
        number = min(hard, wanted) if hard > 0 else wanted
        if step and number <= soft > 0:
            return
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
            return


def real_path(path: str) -> str:
    """The path without links; on macOS also in upper and lower case as the file system has it, which is what a process
    finds as its working directory. What is not there yet stays as it is given."""
    known, rest = os.path.realpath(path), ""
    try:
        get_path: Any = importlib.import_module("fcntl").F_GETPATH
    except (ImportError, AttributeError):
        return known
    while True:
        try:
            return os.path.join(_path_of(known, get_path), rest) if rest else _path_of(known, get_path)
        except OSError:
            parent, name = os.path.split(known)
            if parent == known:
                return os.path.join(known, rest)
            known, rest = parent, os.path.join(name, rest) if rest else name


def _path_of(path: str, get_path: int) -> str:
    """Raises OSError."""
    fcntl: Any = importlib.import_module("fcntl")
    fd = os.open(path, os.O_RDONLY | FILE_FLAGS)
    try:
        found: bytes = fcntl.fcntl(fd, get_path, bytes(PATH_MAX_BYTES))
        return os.fsdecode(found.rstrip(b"\0"))
    finally:
        os.close(fd)


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
