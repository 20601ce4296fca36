"""A file that is open to be read a piece at a time: an answer to a client, or what the core has asked for."""

from __future__ import annotations

import io
import os

from relayd.runtime.system import FILE_FLAGS


class StoredFile:
    """From `offset` on, `size_bytes` at most: what is appended meanwhile does not count."""

    def __init__(self, path: str, offset: int = 0, size_bytes: int | None = None) -> None:
        """Open it. Raises OSError; EOFError if the file is shorter than `offset` and `size_bytes` say."""
        self._file = io.FileIO(os.open(path, os.O_RDONLY | FILE_FLAGS))
        there = os.fstat(self._file.fileno()).st_size - offset
        self.size_bytes = there if size_bytes is None else size_bytes
        self._left = self.size_bytes
        if self.size_bytes > there:
            self.close()
            raise EOFError
        self._file.seek(offset)

    def __repr__(self) -> str:
        return f"<StoredFile left={self._left} of {self.size_bytes}>"

    @property
    def left(self) -> int:
        """How many bytes are to come."""
        return self._left

    def read(self, most: int) -> bytes:
        """The next piece; nothing at the end. Raises OSError, and EOFError if the file has become shorter."""
        if not self._left:
            return b""
        data = self._file.read(min(most, self._left))
        if not data:
            raise EOFError
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close it."""
        self._file.close()
