"""What the last daemon has left of files and batches, as bytes, and what it is. Pure; read by `daemon/stored.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from relayd.core.batches.record import Batch
from relayd.core.batches.recovery import BatchFiles, restored
from relayd.core.files.record import StoredFile, read_head


@dataclass(frozen=True)
class StoredAtStart:
    """`files` are the first lines, by name, with the size of what follows."""

    files: tuple[tuple[str, bytes, int], ...] = field(default=(), repr=False)
    batches: tuple[BatchFiles, ...] = ()

    def read_files(self) -> tuple[list[StoredFile], list[str]]:
        """The files, and the names of what is none."""
        found, strange = [], []
        for name, line, size_bytes in self.files:
            try:
                file = read_head(line)
            except Exception:  # whatever is wrong with one costs the others nothing
                strange.append(name)
                continue
            if (file.id, file.size_bytes) == (name, size_bytes):
                found.append(file)
            else:
                strange.append(name)
        return found, strange

    def read_batches(self) -> tuple[list[Batch], list[str]]:
        """The batches, and the names of what is none."""
        found, strange = [], []
        for files in self.batches:
            try:
                found.append(restored(files))
            except Exception:
                strange.append(files.id)
        return found, strange
