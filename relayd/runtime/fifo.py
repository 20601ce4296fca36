"""Bytes waiting to be written: appended in pieces, taken from the front, memory given back when empty."""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Source(Protocol):
    """What an answer is read from, a piece at a time: `stored_file.py`."""

    size_bytes: int

    def read(self, most: int) -> bytes: ...
    def close(self) -> None: ...


class ByteQueue:
    """A queue of chunks; `size` is what is left in bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._chunks: deque[bytes] = deque()
        self._offset = 0

    def __repr__(self) -> str:
        return f"<ByteQueue {self.size}>"

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        if data:
            self._chunks.append(data)
            self.size += len(data)

    def head(self, limit: int) -> bytes | memoryview:
        """Up to `limit` bytes from the front, without removing them."""
        if len(self._chunks) > 1 and len(self._chunks[0]) - self._offset < 4096:
            self._merge(limit)
        if not self._chunks:
            return b""
        return memoryview(self._chunks[0])[self._offset : self._offset + limit]

    def _merge(self, limit: int) -> None:
        """Join small pieces, so that many events cost one write."""
        pieces = [self._chunks.popleft()[self._offset :]]
        self._offset = 0
        total = len(pieces[0])
        while self._chunks and total + len(self._chunks[0]) <= limit:
            pieces.append(self._chunks.popleft())
            total += len(pieces[-1])
        self._chunks.appendleft(b"".join(pieces))

    def drop(self, count: int) -> None:
        """Remove `count` bytes from the front."""
        self.size -= count
        self._offset += count
        while self._chunks and self._offset >= len(self._chunks[0]):
            self._offset -= len(self._chunks.popleft())

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._offset = self.size = 0
