"""Requests whose files are being read: a call that names files waits here, for moments, until their bytes are in it. Pure.

Made by `core/storeroom.py`; a call comes from the intake and goes back to it. What all requests hold here together is bounded,
and so is each one: with its files it is no larger than a request may be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.conversations import Waiting
from relayd.core.files import references
from relayd.core.files.record import StoredFile
from relayd.core.files.references import Reference
from relayd.core.files.shelf import Shelf
from relayd.core.storage import Load, file_path
from relayd.errors import ApiError, overloaded

LOADS_MAX_BYTES = 256 * 1024 * 1024  # as much as bodies that are still arriving may hold
RETRY_AFTER_S = 1


@dataclass
class Loading:
    """A call, its references, and what has come of the files."""

    asked: Waiting
    references: list[Reference]
    files: dict[str, StoredFile]
    size_bytes: int
    data: dict[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Loading {self.asked.number} files={len(self.files)} read={len(self.data)}>"

    def fill(self) -> None:
        """Put the bytes in their places. Raises ApiError 400."""
        for reference in self.references:
            references.fill(reference, self.files[reference.file], self.data[reference.file])


class FileLoader:
    """See the module's text."""

    def __init__(self, config: Config, shelf: Shelf) -> None:
        self._config = config
        self._shelf = shelf
        self._requests: dict[int, Loading] = {}  # by the call's number
        self._size_bytes = 0

    def __repr__(self) -> str:
        return f"<FileLoader {len(self._requests)} bytes={self._size_bytes}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def begin(self, asked: Waiting, unix: float) -> list[Action]:
        """The orders that read what a call names; none if it names no file. Raises ApiError."""
        found = references.found(asked.decoded.value)
        if not found:
            return []
        files = {reference.file: self._shelf.get(reference.file, asked.key_name, unix) for reference in found}
        if sum(files[reference.file].size_bytes for reference in found) > self._config.body_max_bytes:
            raise ApiError(413, "Request exceeds the maximum size")
        size_bytes = sum(file.size_bytes for file in files.values())
        if self._size_bytes + size_bytes > LOADS_MAX_BYTES:
            raise overloaded("Overloaded: too many files at once", RETRY_AFTER_S)
        asked = replace(asked, decoded=replace(asked.decoded, original=None))  # another API does not have these files
        self._requests[asked.number] = Loading(asked, found, files, size_bytes)
        self._size_bytes += size_bytes
        number = asked.number
        return [do.ReadFile(Load(number, f.id), file_path(f.id), f.offset, f.size_bytes) for f in files.values()]

    def came(self, ticket: Load, data: bytes) -> Loading | None:
        """A file was read; the call, once it has them all."""
        found = self._requests.get(ticket.call)
        if found is None:
            return None
        found.data[ticket.file] = data
        return found if len(found.data) == len(found.files) else None

    def waiting(self, ticket: Load) -> Waiting | None:
        """The call that a file is for, if it still waits."""
        found = self._requests.get(ticket.call)
        return found.asked if found is not None else None

    def client_left(self, client: int) -> None:
        """Nobody waits any more."""
        for number in [number for number, found in self._requests.items() if found.asked.client == client]:
            self.forget(number)

    def forget(self, number: int) -> None:
        """The call has its files, or its error."""
        self._size_bytes -= self._requests.pop(number).size_bytes
