"""Files that only this user may read, directories that must go, and what tells one file from another. Used by the runtime."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Sequence

from relayd.runtime.system import FILE_FLAGS

PIECE_BYTES = 1024 * 1024


def write_private(path: str, data: bytes) -> None:
    """(Over)write a file that only this user may read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | FILE_FLAGS, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def write_whole(path: str, data: bytes) -> None:
    """The same, so that a reader sees the old file or the new one, and a failure leaves the old one alone."""
    new = f"{path}.new"
    try:
        write_private(new, data)
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def append_whole(file: io.FileIO, data: bytes) -> None:
    """Write all of it at the end of an open file, or nothing. Raises OSError."""
    end, left = file.seek(0, os.SEEK_END), memoryview(data)
    try:
        while left:
            left = left[file.write(left) or 0 :]
    except OSError:
        file.truncate(end)
        raise


class PiecewiseFile:
    """A private file that is written a piece at a time, so that a conversation of 32 MB does not stop the loop.

    It is (over)written whatever has come to stand at that path: what cannot be written over is removed.
    """

    def __init__(self, path: str, data: bytes) -> None:
        """Open it. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | FILE_FLAGS
        try:
            fd = os.open(path, flags, 0o600)
        except OSError:
            os.unlink(path)
            fd = os.open(path, flags, 0o600)
        self._file = io.FileIO(fd, "w")  # which closes it if this is lost
        self._left = memoryview(data)

    def __repr__(self) -> str:
        return f"<PiecewiseFile left={len(self._left)}>"

    def write_on(self) -> bool:
        """Write the next piece; True when all is written and the file is closed. Raises OSError, and has closed it then, too."""
        try:
            self._left = self._left[os.write(self._file.fileno(), self._left[:PIECE_BYTES]) :]
        except OSError:
            self.close()
            raise
        if self._left:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Close it, whether all is written or not."""
        self._file.close()


def remove_in_order(paths: Sequence[str]) -> Sequence[str]:
    """Delete files and directories, each only after those before it; those that are left."""
    for number, path in enumerate(paths):
        _delete(path)
        if os.path.lexists(path):
            return paths[number:]
    return ()


def _delete(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        os.unlink(path)


class PendingRemovals:
    """What could not be removed yet: there were no fds left, or a process was still writing.

    What one process leaves is a group. Its last path is the slot's directory, which says whose the others are: it stays
    as long as any of them, so that the sweep after a crash finds them.
    """

    def __init__(self) -> None:
        self._groups: list[Sequence[str]] = []

    def __repr__(self) -> str:
        return f"<PendingRemovals {len(self._groups)}>"

    def add(self, paths: Sequence[str]) -> None:
        """These are to go, in this order."""
        self._groups.append(paths)

    def remove(self) -> bool:
        """Remove what is there; True if nothing is left. After a bug all of it is tried again."""
        self._groups = [left for group in self._groups if (left := remove_in_order(group))]
        return not self._groups


def fingerprint(path: str) -> str:
    """What tells one `claude` binary from another: the file behind the name, its size and time. Empty if it is gone."""
    try:
        real = os.path.realpath(path)
        info = os.stat(real)
    except OSError:
        return ""
    return f"{real}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"
