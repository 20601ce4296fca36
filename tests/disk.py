"""A disk in memory: carries out the core's orders about stored files, and says what the runtime would say."""

from __future__ import annotations

from relayd.core import actions as do
from relayd.core import events as ev

Fact = ev.Stored | ev.StoredRead | ev.StoreFailed


class Disk:
    """`files` by path. `is_full`: nothing more is taken."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.is_full = False

    def __repr__(self) -> str:
        return f"<Disk {len(self.files)}>"

    def perform(self, order: do.Action) -> Fact | None:
        """The fact that comes back; None if the order is none for a disk, or nothing comes back."""
        match order:
            case do.WriteFile(ticket, path, data):
                if self.is_full:
                    return ev.StoreFailed(ticket, "No space left on device")
                self.files[path] = data
                return ev.Stored(ticket)
            case do.AppendFile(ticket, path, data):
                if self.is_full:
                    return ev.StoreFailed(ticket, "No space left on device")
                self.files[path] = self.files.get(path, b"") + data
                return ev.Stored(ticket)
            case do.ReadFile(ticket, path, offset, size_bytes):
                data = self.files.get(path, b"")[offset : offset + size_bytes]
                if len(data) < size_bytes:
                    return ev.StoreFailed(ticket, "EOFError")
                return ev.StoredRead(ticket, data)
            case do.EraseFile(path):
                self.files.pop(path, None)
        return None
