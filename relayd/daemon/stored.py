"""What the last daemon has left: launch keys, clients' files and batches; read once at the start, and tidied.

What was not whole when it ended goes: a file that was being written, the last line of results if it has no end, and what
belongs to nothing. Called by `assembly.py`.
"""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO

from relayd.claude.launch import LaunchKey
from relayd.core.batches import lines
from relayd.core.batches.recovery import BatchFiles
from relayd.core.files.record import HEAD_MAX_BYTES
from relayd.core.launch_keys import load_keys
from relayd.core.relay import Relay
from relayd.core.stored_at_start import StoredAtStart
from relayd.daemon.state import Places, read_small
from relayd.runtime.logs import Log
from relayd.runtime.system import FILE_FLAGS

NEW = ".new"


def launch_keys(places: Places) -> list[LaunchKey]:
    """Those that were used last."""
    return load_keys(read_small(places.keys))


def restore(relay: Relay, places: Places, log: Log) -> None:
    """Give the core its files and batches."""
    for name in relay.front.storeroom.restore(read(places)):
        log("warning", f"{name} in {places.state} is no file or batch of relayd: it is left alone")


def read(places: Places) -> StoredAtStart:
    """Everything that is there. Files that cannot be read are left out."""
    files = [found for name in _names(places.files) if (found := _file(places.files, name)) is not None]
    stems: dict[str, set[str]] = {}
    for name in _names(places.batches):
        stem, _, ending = name.rpartition(".")
        stems.setdefault(stem, set()).add(ending)
    batches = []
    for stem, endings in stems.items():
        if endings & {"requests", "state"}:
            batches.append(_batch(os.path.join(places.batches, stem), stem))
        else:
            _remove(os.path.join(places.batches, f"{stem}.results"))
    return StoredAtStart(tuple(files), tuple(batches))


def _names(directory: str) -> list[str]:
    """The regular files in a directory, without what was being written."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(NEW):
                _remove(entry.path)
            elif entry.is_file(follow_symlinks=False):
                found.append(entry.name)
    return found


def _file(directory: str, name: str) -> tuple[str, bytes, int] | None:
    try:
        with _opened(os.path.join(directory, name)) as file:
            line = file.readline(HEAD_MAX_BYTES)
            return name, line, os.fstat(file.fileno()).st_size - len(line)
    except OSError:
        return None


def _batch(path: str, stem: str) -> BatchFiles:
    state = _whole(f"{path}.state")
    has_ended = state is not None and b'"ended":0' not in state
    head, requests = (b"", ()) if has_ended else _requests(f"{path}.requests")
    results, size_bytes = _results(f"{path}.results", not has_ended)
    return BatchFiles(stem, head, requests, state, results, size_bytes)


def _requests(path: str) -> tuple[bytes, tuple[lines.Begun, ...]]:
    """The first line, and how the others begin. A batch may be large, and there may be many."""
    try:
        with _opened(path) as file:
            head = file.readline(HEAD_MAX_BYTES)
            return head, tuple((line[: lines.HEAD_BYTES], len(line)) for line in file if line.endswith(b"\n"))
    except OSError:
        return b"", ()


def _whole(path: str) -> bytes | None:
    try:
        with _opened(path) as file:
            return file.read()
    except OSError:
        return None


def _results(path: str, is_open: bool) -> tuple[tuple[bytes, ...], int]:
    """How the lines of a file of results begin, if its batch goes on, and its size; it is cut where the last whole line ends."""
    try:
        if not is_open:
            return (), os.stat(path).st_size
        begun, end = [], 0
        with open(os.open(path, os.O_RDWR | FILE_FLAGS), "r+b") as file:
            for line in file:
                if line.endswith(b"\n"):
                    begun.append(line[: lines.HEAD_BYTES])
                    end += len(line)
            file.truncate(end)
        return tuple(begun), end
    except OSError:
        return (), 0


def _opened(path: str) -> BinaryIO:
    """A file to be read. Raises OSError, also for a link."""
    return open(os.open(path, os.O_RDONLY | FILE_FLAGS), "rb")


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
