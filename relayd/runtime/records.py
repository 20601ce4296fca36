"""The file of recent calls: lines are appended, and the older half goes when there are too many.

Metadata only, readable by this user alone. A failure to write (a full disk) is reported once, leaves the file as it was,
and is forgotten: calls matter more than their records. Lines are whole, and bounded. Owned by `performer.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from relayd.runtime.files import append_whole, write_whole
from relayd.runtime.system import FILE_FLAGS

LINES_PER_CALL = 2  # its record is written again when its cost is told; rarely more, if it was asked again
LINE_MAX_BYTES = 4 * 1024  # a record has 14 facts; the names in it are bounded where they come in


class Records:
    """`keep` lines at least, twice as many at most."""

    def __init__(self, path: str, keep: int, log: Callable[[str, str], None]) -> None:
        self._path = path
        self._keep = keep
        self._log = log
        self._lines = self._count()
        self._shorten_at = 2 * keep
        self._failing = False

    def __repr__(self) -> str:
        return f"<Records {self._path} lines={self._lines}>"

    def append(self, line: bytes) -> None:
        """One record, with its newline."""
        if len(line) > LINE_MAX_BYTES:
            self._log("warning", f"the record of a call is longer than {LINE_MAX_BYTES} bytes and was not kept")
            return
        try:
            self._write(line)
            self._lines += 1
            if self._lines > self._shorten_at:
                self._shorten_at += self._keep + 1  # if it fails, not again for each call
                self._shorten()
            self._failing = False
        except OSError as error:
            if not self._failing:
                self._log("warning", f"the record of a call could not be written: {error.strerror}")
            self._failing = True

    def _write(self, line: bytes) -> None:
        """All of it, or nothing: half a line would swallow the next one, too."""
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | FILE_FLAGS, 0o600)
        with os.fdopen(fd, "ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            torn = end > 0 and _last_byte(fd, end) != b"\n"  # by a crash
            append_whole(file, b"\n" + line if torn else line)

    def _count(self) -> int:
        try:
            with open(self._path, "rb") as file:
                return sum(1 for _ in file)
        except OSError:
            return 0

    def _shorten(self) -> None:
        with open(self._path, "rb") as file:
            kept = self._last_lines(file)
        write_whole(self._path, b"".join(kept))
        self._lines, self._shorten_at = len(kept), 2 * self._keep

    def _last_lines(self, file: BinaryIO) -> list[bytes]:
        """The newest lines, read within bounds, whatever has become of the file."""
        start = max(0, os.fstat(file.fileno()).st_size - self._keep * LINE_MAX_BYTES)
        file.seek(start)
        lines = file.readlines()[1 if start else 0 :]
        return lines[-self._keep :] if self._keep else []


def _last_byte(fd: int, end: int) -> bytes:
    os.lseek(fd, end - 1, os.SEEK_SET)
    return os.read(fd, 1)
