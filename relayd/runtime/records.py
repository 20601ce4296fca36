"""The file of recent calls: lines are appended, and the older half goes when there are too many.

Metadata only, readable by this user alone. A failure to write is reported once and then forgotten:
calls matter more than their records.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from relayd.runtime.files import write_private
from relayd.runtime.system import FILE_FLAGS


class Records:
    """`keep` lines at least, twice as many at most."""

    def __init__(self, path: str, keep: int, log: Callable[[str, str], None]) -> None:
        self._path = path
        self._keep = keep
        self._log = log
        self._lines = self._count()
        self._failing = False

    def __repr__(self) -> str:
        return f"<Records {self._path} lines={self._lines}>"

    def append(self, line: bytes) -> None:
        """One record, with its newline."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | FILE_FLAGS, 0o600)
            with os.fdopen(fd, "ab") as file:
                file.write(line)
            self._lines += 1
            if self._lines > 2 * self._keep:
                self._shorten()
            self._failing = False
        except OSError as error:
            if not self._failing:
                self._log("warning", f"the record of a call could not be written: {error.strerror}")
            self._failing = True

    def _count(self) -> int:
        try:
            with open(self._path, "rb") as file:
                return sum(1 for _ in file)
        except OSError:
            return 0

    def _shorten(self) -> None:
        with open(self._path, "rb") as file:
            kept = file.readlines()[-self._keep :] if self._keep else []
        write_private(f"{self._path}.new", b"".join(kept))
        os.replace(f"{self._path}.new", self._path)
        self._lines = len(kept)
