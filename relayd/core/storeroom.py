"""What is kept on disk for clients, joined: files and batches, what comes back from the disk, what is due. Pure.

Owned by `core/front.py`. A bug while something comes back from the disk costs the request that it is for.
"""

from __future__ import annotations

from typing import assert_never

from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.batches.batch_api import BatchApi
from relayd.core.batches.runner import BatchRunner
from relayd.core.entrance import Entrance
from relayd.core.files.file_api import FileApi
from relayd.core.host import Host
from relayd.core.storage import (
    BatchRequest,
    BatchResults,
    BatchState,
    Load,
    NewBatch,
    Stored,
    StoredRead,
    StoreFact,
    StoreFailed,
    Ticket,
    Upload,
)
from relayd.core.stored_api import StoredApi
from relayd.core.stored_at_start import StoredAtStart
from relayd.core.timers import RelayDue, RelayTimer
from relayd.faults import describe

LOOK_MAX_S = 3600.0  # the machine may sleep, and its clock be set


class Storeroom:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, entrance: Entrance, files: FileApi) -> None:
        self._host = host
        self._entrance = entrance
        self._files = files
        self._batches = BatchApi(config)
        self._runner = BatchRunner(config, host.keys, host.unix_time, entrance, self._batches.book)
        self._answered = 0  # requests, when the next look was set
        self._has_changed = True  # since the time of the next look was set
        self._look_at = 0.0  # when the timer fires, in monotonic seconds; 0: never
        self.api = StoredApi(config, host, files, self._batches)

    def __repr__(self) -> str:
        return f"<Storeroom {self._files!r} {self._batches!r} {self._runner!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self.api.reconfigure(config)
        self._files.reconfigure(config)
        self._batches.book.reconfigure(config)
        self._runner.reconfigure(config)

    def restore(self, found: StoredAtStart) -> list[str]:
        """What the last daemon has left; the names of what was none of it. Before `start`."""
        files, strange = found.read_files()
        batches, others = found.read_batches()
        self._files.shelf.restore(files)
        self._batches.book.restore(batches)
        return strange + others

    def start(self, now: float) -> list[Action]:
        """What was left undone, and what is over."""
        return self._batches.book.start(self._host.unix_time(now)) + self.look(now)

    def look(self, now: float) -> list[Action]:
        """The timer has fired: what is over goes, what could not be written is tried again."""
        unix = self._host.unix_time(now)
        self._look_at, self._has_changed = 0.0, True
        return self._files.expire(unix) + self._batches.book.look(unix)

    def go_on(self, now: float) -> list[Action]:
        """After each event: requests of batches that may run now, and the time of the next look."""
        orders = self._runner.start(now)
        if not self._has_changed and self._answered == self.api.answered:
            return orders
        answered = self.api.answered
        unix = self._host.unix_time(now)
        expiry = self._files.shelf.next_expiry()
        times = [self._batches.book.next_look(now, unix), None if expiry is None else now + expiry - unix]
        look_at = min((min(at, now + LOOK_MAX_S) for at in times if at is not None), default=0.0)
        if look_at and look_at != self._look_at:
            orders.append(do.SetTimer(RelayTimer(RelayDue.STORED), look_at))
            self._look_at = look_at
        self._has_changed, self._answered = False, answered
        return orders

    def catch(self, orders: list[Action], now: float) -> list[Action]:
        """The orders without the answers that belong to batches."""
        kept = self._runner.catch(orders, now)
        self._has_changed = self._has_changed or len(kept) != len(orders)
        return kept

    # What comes back from the disk

    def told(self, fact: StoreFact, now: float) -> list[Action]:
        """Never raises."""
        self._has_changed = True
        try:
            return self._told(fact, now)
        except Exception as error:
            log = do.Log("error", f"{fact.ticket!r} met a bug: {describe(error)}")
            return [log, *self.failed(fact.ticket, "a bug", now)]

    def _told(self, fact: StoreFact, now: float) -> list[Action]:
        match fact:
            case Stored(ticket):
                return self._stored(ticket, now)
            case StoredRead(Load() as ticket, data):
                return self._entrance.file_came(ticket, data, now)
            case StoredRead(BatchRequest() as ticket, data):
                return self._runner.read(ticket, data, now)
            case StoreFailed(ticket, reason):
                return self.failed(ticket, reason, now)
            case _:
                return []  # nothing else is read

    def _stored(self, ticket: Ticket, now: float) -> list[Action]:
        match ticket:
            case Upload():
                return self._files.written(ticket)
            case NewBatch():
                return self._batches.written(ticket)
            case BatchResults() | BatchState():
                return self._batches.book.written(ticket, self._host.unix_time(now))
            case _:
                return []  # nothing else is written

    def failed(self, ticket: Ticket, reason: str, now: float) -> list[Action]:
        """What this is about was not done: whoever waits is told, or it is tried again."""
        match ticket:
            case Upload():
                return self._files.failed(ticket, reason)
            case NewBatch():
                return self._batches.failed(ticket, reason)
            case Load():
                return self._entrance.file_failed(ticket, now)
            case BatchRequest():
                return self._runner.failed(ticket, now)
            case BatchResults() | BatchState():
                return self._batches.book.not_written(ticket, reason)
            case _:
                assert_never(ticket)
