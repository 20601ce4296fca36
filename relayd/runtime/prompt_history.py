"""Takes relayd's lines out of Claude Code's list of typed prompts, under the lock that Claude Code uses itself.

The list is the user's, and others append to it at any time. So it is read from where it was last found clean, a bounded
piece at a time; lines of ours at its end, as nearly always, are cut off, which touches nothing else; for lines in the
middle the whole list is replaced, as databases do it: written beside it, synced, renamed, and only if nobody has changed it
meanwhile. A long list is replaced less often.

Called by `chores.py` a moment after the end of a turn that was typed, and by the daemon at both ends of a run.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from relayd.runtime.system import FILE_FLAGS, HAS_OWNERS

PIECE_BYTES = 1024 * 1024  # read at once, while the loop waits
REPLACED_BYTES_PER_S = 200 * 1024  # after a list of 20 MB was replaced, it is not replaced again for 100 s
STALE_LOCK_S = 60.0  # a lock that lives is touched every few seconds


class PromptHistory:
    """`path` is the list; `lock` a directory that its writers make and remove; `without` gives its bytes without ours."""

    def __init__(self, path: str, lock_suffix: str, without: Callable[[bytes], bytes]) -> None:
        self._path = os.path.realpath(path)
        self._lock = self._path + lock_suffix
        self._without = without
        self._file = (0, 0)  # device and inode of the list that was looked at last
        self._clean = 0  # so many of its bytes hold nothing of ours, and end with a line's end
        self._rests_until = 0.0

    def __repr__(self) -> str:
        return f"<PromptHistory {self._path} clean={self._clean}>"

    def forget(self) -> bool:
        """Look at the next piece. True if nothing of ours is left; False if there is more to do, or it cannot be done now."""
        return self._forget(PIECE_BYTES)

    def forget_all(self) -> bool:
        """The same for the whole list, however long it is. Not for the loop."""
        self._clean, self._rests_until = 0, 0.0
        return self._forget(None)

    def _forget(self, longest: int | None) -> bool:
        try:
            with open(self._path, "rb") as file:
                info = os.fstat(file.fileno())
                piece = self._next(file, info, longest)
            kept = self._without(piece)
            ends_here = self._clean + len(piece) >= info.st_size
            if kept == piece:
                self._clean += _whole_lines(piece)
                return ends_here
            with self._locked():
                if ends_here and piece.startswith(kept):
                    return self._cut(info, kept)
                return self._replace(info)
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _next(self, file: BinaryIO, info: os.stat_result, longest: int | None) -> bytes:
        """The next lines that nobody has looked at."""
        if (info.st_dev, info.st_ino) != self._file or info.st_size < self._clean:
            self._file, self._clean = (info.st_dev, info.st_ino), 0
        file.seek(self._clean)
        left = info.st_size - self._clean
        piece = file.read(left if longest is None else min(left, longest))
        if len(piece) == left:
            return piece
        return piece[: _whole_lines(piece)] or piece + file.readline()  # a line that is longer than the piece

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock. Raises OSError if somebody else has it."""
        try:
            os.mkdir(self._lock)
        except FileExistsError:
            if time.time() - os.stat(self._lock).st_mtime < STALE_LOCK_S:
                raise
            os.utime(self._lock)  # its owner has died: it is ours now
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(self._lock)

    def _is_as_read(self, info: os.stat_result) -> bool:
        now = os.stat(self._path)
        return all(getattr(now, name) == getattr(info, name) for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns"))

    def _cut(self, info: os.stat_result, kept: bytes) -> bool:
        """Ours are the last lines: cut them off. After a power cut they may be there again; the next start looks."""
        if not self._is_as_read(info):
            return False
        os.truncate(self._path, self._clean + len(kept))
        self._clean += _whole_lines(kept)
        return True

    def _replace(self, info: os.stat_result) -> bool:
        """Ours are among others': write the list anew, if it was not done lately."""
        if time.monotonic() < self._rests_until:
            return False
        self._rests_until = time.monotonic() + info.st_size / REPLACED_BYTES_PER_S
        with open(self._path, "rb") as file:
            data = self._without(file.read())
        new = f"{self._path}.relayd"
        try:
            self._write(new, data, info)
            if not self._is_as_read(info):
                return False
            os.replace(new, self._path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
        _sync_directory(os.path.dirname(self._path))
        found = os.stat(self._path)
        self._file, self._clean = (found.st_dev, found.st_ino), _whole_lines(data)
        return True

    def _write(self, new: str, data: bytes, info: os.stat_result) -> None:
        """The new list, on the disk, with the old one's mode and owner. Raises OSError if it cannot have them."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE_FLAGS, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            own = os.fstat(fd)
            if HAS_OWNERS and (own.st_uid, own.st_gid) != (info.st_uid, info.st_gid):
                os.chown(new, info.st_uid, info.st_gid)
            os.chmod(new, info.st_mode & 0o777)
            os.fsync(fd)


class PromptHistories:
    """The lists of several configuration directories, each as above."""

    def __init__(self, lists: tuple[PromptHistory, ...]) -> None:
        self._lists = lists

    def __repr__(self) -> str:
        return f"<PromptHistories {len(self._lists)}>"

    def forget(self) -> bool:
        """As for one list: True if nothing of ours is left in any."""
        return all([found.forget() for found in self._lists])

    def forget_all(self) -> bool:
        """The same for the whole lists. Not for the loop."""
        return all([found.forget_all() for found in self._lists])


def _whole_lines(data: bytes) -> int:
    """How many of these bytes are whole lines."""
    return data.rfind(b"\n") + 1


def _sync_directory(path: str) -> None:
    """So that the new name outlives a power cut. Windows cannot, and needs not."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
