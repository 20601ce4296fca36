"""Files that only this user may read, and directories that must go. Used by the runtime."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from relayd.runtime.system import FILE_FLAGS


def write_private(path: str, data: bytes) -> None:
    """(Over)write a file that only this user may read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | FILE_FLAGS, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def replace_private(path: str, data: bytes) -> None:
    """The same, whatever has come to stand at that path: what cannot be written over is removed."""
    try:
        write_private(path, data)
    except OSError:
        os.unlink(path)
        write_private(path, data)


class Litter:
    """Directories that could not be removed yet: there were no fds left, or a process was still writing."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    def __repr__(self) -> str:
        return f"<Litter {len(self._paths)}>"

    def remove(self, paths: Iterable[str] = ()) -> bool:
        """Remove these and those of before; True if none is left."""
        self._paths += paths
        for path in self._paths:
            shutil.rmtree(path, ignore_errors=True)
        self._paths = [path for path in self._paths if os.path.lexists(path)]
        return not self._paths
