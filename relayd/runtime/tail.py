"""Follows a file that another process appends to. Regular files cannot be polled, so a timer asks."""

from __future__ import annotations

import os

from relayd.runtime.system import FILE_FLAGS


class Tail:
    """Reads what is new, in bounded pieces."""

    def __init__(self, path: str, offset: int, chunk: int) -> None:
        self._path = path
        self._offset = offset
        self._chunk = chunk
        self._fd = -1
        self.was_cut = False  # it has become shorter than what was read: where new lines begin is not known any more

    def __repr__(self) -> str:
        return f"<Tail offset={self._offset}>"

    def read(self) -> bytes:
        """New bytes, or nothing. A file that is missing, unreadable or shorter than before gives nothing."""
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | FILE_FLAGS)
            os.lseek(self._fd, self._offset, os.SEEK_SET)
            data = os.read(self._fd, self._chunk)
            self.was_cut = not data and os.fstat(self._fd).st_size < self._offset
        except OSError:
            self.close()
            return b""
        self._offset += len(data)
        return data

    def start_anew(self) -> None:
        """The file was deleted: the next one is read from its start."""
        self.close()
        self._offset = 0

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
