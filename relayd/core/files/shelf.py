"""Which files there are, and whose: a table with limits, its pages, and its end of time. Pure; owned by `file_api.py`.

All keys belong to one user, but each program sees its own: a file is found by the name of the key that it was sent with, and by
no other. Whoever sends no named key shares one shelf.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from relayd.config import Config
from relayd.core.files.record import StoredFile
from relayd.errors import ApiError, final

ID_SHOWN_CHARS = 80


class Shelf:
    """See the module's text. Times are Unix seconds."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._files: dict[str, StoredFile] = {}
        self._coming: dict[str, StoredFile] = {}  # being written
        self._size_bytes = 0

    def __repr__(self) -> str:
        return f"<Shelf {len(self._files)} coming={len(self._coming)} bytes={self._size_bytes}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def restore(self, found: Iterable[StoredFile]) -> None:
        """These were on disk at the start."""
        for file in found:
            self._files[file.id] = file
            self._size_bytes += file.size_bytes

    def begin(self, file: StoredFile) -> None:
        """A file is about to be written. Raises ApiError 413 or 429 if there is no room for it."""
        limits = self._config
        if self._size_bytes + file.size_bytes > limits.stored_max_bytes:
            text = f"files take up to {limits.stored_max_bytes} bytes in all (stored_max_bytes): delete some"
            raise final(413, text)
        if len(self._files) + len(self._coming) >= limits.files_max:
            raise final(429, f"there are {limits.files_max} files: delete some")
        self._coming[file.id] = file
        self._size_bytes += file.size_bytes

    def came(self, file: str) -> StoredFile:
        """It is written."""
        found = replace(self._coming[file], offset=len(self._coming[file].head()))
        self._files[file] = found
        del self._coming[file]
        return found

    def failed(self, file: str) -> None:
        """It could not be written, or its client could not be told."""
        found = self._coming.pop(file, None) or self._files.pop(file, None)
        self._size_bytes -= found.size_bytes if found else 0

    def get(self, file: str, owner: str, unix: float) -> StoredFile:
        """One of this owner's. Raises ApiError 404."""
        found = self._files.get(file)
        if found is None or found.owner != owner or found.expires <= unix:
            raise ApiError(404, f"File `{file[:ID_SHOWN_CHARS]}` not found.")
        return found

    def remove(self, file: str) -> None:
        """It is deleted."""
        self._size_bytes -= self._files.pop(file).size_bytes

    def of(self, owner: str, unix: float) -> list[StoredFile]:
        """All of an owner's, the newest first."""
        found = (file for file in self._files.values() if file.owner == owner and file.expires > unix)
        return sorted(found, key=lambda file: file.id, reverse=True)

    def expired(self, unix: float) -> list[str]:
        """Ids of those whose time is over."""
        return [file.id for file in self._files.values() if file.expires <= unix]

    def next_expiry(self) -> float | None:
        """When the next file's time is over, if there is one."""
        return min((file.expires for file in self._files.values()), default=None)
