"""The files in which Claude Code tells what it sends and gets: each is read once, and deleted. Owned by `slot.py`.

They hold whole conversations, so none stays: requests and answers go when they are read, all others when they are seen.
"""

from __future__ import annotations

import os
import time
from enum import Enum

from relayd.core.actions import BodyFiles
from relayd.runtime.system import FILE_FLAGS

TICK_NS = 20_000_000  # the clock of a file system stands still for up to 10 ms: what comes in that time does not show


class Kind(Enum):
    """Which of the two a body is."""

    REQUEST = "request"
    ANSWER = "answer"


class Bodies:
    """The files of one process. Claude Code makes the directory."""

    def __init__(self, files: BodyFiles) -> None:
        self._files = files
        self._changed = 0  # when the directory had last changed, in nanoseconds
        self._is_growing = False  # a file is not whole yet, which the directory's time does not show

    def __repr__(self) -> str:
        return f"<Bodies changed={self._changed}>"

    def read(self) -> list[tuple[Kind, bytes]]:
        """Those that have come since, the oldest first; an empty one for each that is too large to be looked at."""
        found = []
        for path in self._new():
            kind = self._kind(path)
            body = self._take(path) if kind is not None else b""
            if body is None:
                continue
            self._delete(path)
            if kind is not None:
                found.append((kind, body))
        return found

    def _new(self) -> list[str]:
        try:
            changed = os.stat(self._files.directory).st_mtime_ns
            if changed == self._changed and not self._is_growing:
                return []
            is_recent = time.time_ns() - changed < TICK_NS
            with os.scandir(self._files.directory) as entries:
                found = sorted((self._order(entry), entry.path) for entry in entries)
        except OSError:  # it is not there yet
            return []
        self._changed, self._is_growing = 0 if is_recent else changed, False
        return [path for _, path in found]

    def _order(self, entry: os.DirEntry[str]) -> tuple[int, bool, int]:
        """By time. Within one tick of the clock requests come before answers, so that it is known to what these are; and of two
        requests the shorter is the first, since one goes on where the one before ended.
        """
        status = os.stat(entry)
        return status.st_mtime_ns, self._kind(entry.path) is Kind.ANSWER, status.st_size

    def _kind(self, path: str) -> Kind | None:
        if path.endswith(self._files.requests):
            return Kind.REQUEST
        return Kind.ANSWER if path.endswith(self._files.answers) else None

    def _take(self, path: str) -> bytes | None:
        """A body; None as long as it is not whole."""
        try:
            fd = os.open(path, os.O_RDONLY | FILE_FLAGS)
        except OSError:
            return None
        with open(fd, "rb", buffering=0) as file:
            if os.fstat(fd).st_size > self._files.max_bytes:
                return b""
            data = file.read() or b""
        if data.endswith(b"}"):
            return data
        self._is_growing = True
        return None

    def _delete(self, path: str) -> None:
        try:
            os.unlink(path)
        except OSError:  # Windows, while it is written: the next look finds it
            self._is_growing = True
