"""Carries out the core's orders about stored files, and tells it what has become of them. Owned by `performer.py`.

Nothing here holds the loop: what is large is written and read a piece at a time, a piece of one file in each turn. Lines that
are appended are a result or two, and go at once. No sync is asked for: what the daemon has written outlives the daemon, and a
machine that loses its power may lose the last results, whose requests are then run again. One exception costs one order.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import assert_never

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.storage import Ticket
from relayd.runtime.files import PiecewiseFile, append_whole
from relayd.runtime.loop import Loop
from relayd.runtime.stored_file import StoredFile
from relayd.runtime.system import FILE_FLAGS
from relayd.runtime.timers import StoreTimer

StoreOrder = do.WriteFile | do.AppendFile | do.ReadFile | do.EraseFile
StoreFact = ev.Stored | ev.StoredRead | ev.StoreFailed
READ_BYTES = 1024 * 1024
APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | FILE_FLAGS


class _Write:
    """A file that is being written beside its place."""

    def __init__(self, order: do.WriteFile, path: str) -> None:
        self.ticket = order.ticket
        self._path, self._new = path, f"{path}.new"
        self._file = PiecewiseFile(self._new, order.data)

    def __repr__(self) -> str:
        return f"<_Write {self._file!r}>"

    def go_on(self) -> StoreFact | None:
        """The next piece; the fact, at the end. Raises OSError."""
        if not self._file.write_on():
            return None
        os.replace(self._new, self._path)
        return ev.Stored(self.ticket)

    def close(self) -> None:
        """It has ended; what is left beside the place goes."""
        self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._new)


class _Read:
    """A file that is being read."""

    def __init__(self, order: do.ReadFile, path: str) -> None:
        self.ticket = order.ticket
        self._file = StoredFile(path, order.offset, order.size_bytes)
        self._pieces: list[bytes] = []

    def __repr__(self) -> str:
        return f"<_Read {self._file!r}>"

    def go_on(self) -> StoreFact | None:
        """The next piece; the fact, at the end. Raises OSError and EOFError."""
        data = self._file.read(READ_BYTES)
        if data:
            self._pieces.append(data)
        if self._file.left:
            return None
        return ev.StoredRead(self.ticket, b"".join(self._pieces))

    def close(self) -> None:
        """It has ended."""
        self._file.close()


class Store:
    """See the module's text. `root` is the state directory; `emit` takes facts for the core."""

    def __init__(self, root: str, loop: Loop, emit: Callable[[StoreFact], None]) -> None:
        self._root = root
        self._loop = loop
        self._emit = emit
        self._jobs: deque[_Write | _Read] = deque()

    def __repr__(self) -> str:
        return f"<Store {len(self._jobs)}>"

    def path(self, stored: str) -> str:
        """Where a stored file is."""
        return os.path.join(self._root, *stored.split("/"))

    def perform(self, order: StoreOrder, now: float) -> None:
        """Never raises: what fails is told to the core."""
        try:
            self._begin(order, now)
        except Exception as error:
            if not isinstance(error, OSError):
                self._loop.report(order, error)
            self.broke(order, error)

    def broke(self, order: StoreOrder, error: Exception) -> None:
        """An order could not be carried out: nothing of it goes on, and the core is told."""
        if not isinstance(order, do.EraseFile):
            self._fail(order.ticket, error)

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        self._emit(ev.StoreFailed(ticket, _reason(error)))
        for job in [job for job in self._jobs if job.ticket == ticket]:
            self._jobs.remove(job)
            job.close()

    def _begin(self, order: StoreOrder, now: float) -> None:
        path = self.path(order.path)
        match order:
            case do.WriteFile():
                self._jobs.appendleft(_Write(order, path))
                self._step(now)
            case do.ReadFile():
                self._jobs.appendleft(_Read(order, path))
                self._step(now)
            case do.AppendFile():
                with os.fdopen(os.open(path, APPENDING, 0o600), "ab", buffering=0) as file:
                    append_whole(file, order.data)
                self._emit(ev.Stored(order.ticket))
            case do.EraseFile():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            case _:
                assert_never(order)

    def timer(self, now: float) -> None:
        """The next turn has come. Never raises: nobody would set the timer for the other files."""
        if not self._jobs:
            return
        ticket = self._jobs[0].ticket
        try:
            self._step(now)
        except Exception as error:
            self._loop.report(self, error)
            self._fail(ticket, error)

    def _step(self, now: float) -> None:
        """A piece of the first job, which is the newest, and short as a rule; those that take longer take turns."""
        self._loop.set_timer(StoreTimer.WORK, now, forgiven=False)
        job = self._jobs[0]
        try:
            fact = job.go_on()
        except (OSError, EOFError) as error:
            fact = ev.StoreFailed(job.ticket, _reason(error))
        self._jobs.popleft()
        if fact is None:
            self._jobs.append(job)
            return
        job.close()
        self._emit(fact)

    def close(self) -> None:
        """The daemon ends: what is not whole is none."""
        while self._jobs:
            self._jobs.pop().close()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
