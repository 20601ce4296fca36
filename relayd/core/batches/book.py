"""All batches: which there are, whose, what runs next, and what of them is on its way to the disk. Pure; no request runs here.

Results are written in the order in which they come, one order at a time for each batch: those that come meanwhile go together,
and what could not be written is tried again. A batch has ended for its client when that is on disk, and its requests go then.
Made by `core/storeroom.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.batches.record import CANCELED, EXPIRED, Batch
from relayd.core.storage import BatchRequest, BatchResults, BatchState, requests_path, results_path, state_path
from relayd.errors import ApiError, final, invalid

ID_SHOWN_CHARS = 80
WAITING_MAX = 200_000  # requests that wait, of all batches together: what is known of each takes about 200 bytes
RETRY_S = 10.0  # after the disk has taken something not


class BatchBook:
    """See the module's text. `unix` is Unix seconds, `now` monotonic ones."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._batches: dict[str, Batch] = {}
        self._coming: dict[str, Batch] = {}  # being written
        self._open: dict[str, Batch] = {}  # not ended; the one whose turn is next comes first

    def __repr__(self) -> str:
        return f"<BatchBook {len(self._batches)} open={len(self._open)} bytes={self._size_bytes}>"

    @property
    def _size_bytes(self) -> int:
        return sum(batch.size_bytes for batch in (*self._batches.values(), *self._coming.values()))

    @property
    def is_idle(self) -> bool:
        """True if no batch has anything to do."""
        return not self._open

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def restore(self, found: Iterable[Batch]) -> None:
        """These were on disk at the start."""
        for batch in found:
            self._keep(batch)

    def start(self, unix: float) -> list[Action]:
        """What the last daemon has left undone."""
        orders: list[Action] = []
        for batch in list(self._batches.values()):
            if batch.ended:
                orders.append(do.EraseFile(requests_path(batch.id)))
            elif batch.canceled:
                batch.settle_waiting(CANCELED)
            orders += self.write(batch, unix)
        return orders

    def _keep(self, batch: Batch) -> None:
        self._batches[batch.id] = batch
        if not batch.ended:
            self._open[batch.id] = batch

    # Coming and going

    def begin(self, batch: Batch) -> None:
        """A batch is about to be written. Raises ApiError 413 or 429 if there is no room for it."""
        limits = self._config
        if self._size_bytes + batch.size_bytes > limits.stored_max_bytes:
            text = f"batches take up to {limits.stored_max_bytes} bytes in all (stored_max_bytes): delete some"
            raise final(413, text)
        if len(self._batches) + len(self._coming) >= limits.batches_max:
            raise final(429, f"there are {limits.batches_max} batches: delete some")
        waiting = sum(len(b.waiting) for b in (*self._open.values(), *self._coming.values()))
        if waiting + batch.total > WAITING_MAX:
            raise final(429, f"more than {WAITING_MAX} requests would wait")
        self._coming[batch.id] = batch

    def came(self, name: str) -> Batch:
        """It is written."""
        batch = self._coming[name]
        self._keep(batch)
        del self._coming[name]
        return batch

    def failed(self, name: str) -> None:
        """It could not be written, or its client could not be told."""
        for table in (self._coming, self._batches, self._open):
            table.pop(name, None)

    def find(self, name: str) -> Batch | None:
        """A batch by its id, whoever's it is."""
        return self._batches.get(name)

    def get(self, name: str, owner: str) -> Batch:
        """One of this owner's. Raises ApiError 404."""
        found = self._batches.get(name)
        if found is None or found.owner != owner:
            raise ApiError(404, f"Message Batch `{name[:ID_SHOWN_CHARS]}` not found.")
        return found

    def of(self, owner: str) -> list[Batch]:
        """All of an owner's, the newest first."""
        found = (batch for batch in self._batches.values() if batch.owner == owner)
        return sorted(found, key=lambda batch: batch.id, reverse=True)

    def cancel(self, batch: Batch, unix: float) -> list[Action]:
        """Start no request of it any more. Raises ApiError 400 if it has ended."""
        if batch.ended or batch.closing:
            raise invalid(f"Message Batch `{batch.id}` cannot be canceled: its processing has ended.")
        if batch.canceled:
            return []
        batch.canceled = int(unix)
        batch.settle_waiting(CANCELED)
        state = do.WriteFile(BatchState(batch.id), state_path(batch.id), batch.head())
        return [state, *self.write(batch, unix)]

    def delete(self, batch: Batch) -> list[Action]:
        """Forget it, and what is on disk of it. Raises ApiError 400 unless it has ended."""
        if not batch.ended:
            raise invalid(f"Message Batch `{batch.id}` cannot be deleted before its processing has ended: cancel it first.")
        del self._batches[batch.id]
        return [
            do.EraseFile(state_path(batch.id)),
            do.EraseFile(results_path(batch.id)),
        ]  # a start sweeps results without a batch

    # Running

    def next(self, now: float) -> tuple[BatchRequest, do.ReadFile] | None:
        """The next request that may run, and the order that reads it; batches take turns."""
        if self._open and self._size_bytes > self._config.stored_max_bytes:
            return None  # results have filled it: what waits goes on when some are deleted
        for batch in list(self._open.values()):
            if batch.waiting and not batch.unwritten and now >= batch.paused_until:  # else the disk takes no results
                del self._open[batch.id]
                self._open[batch.id] = batch
                return _read(batch)
        return None

    def write(self, batch: Batch, unix: float) -> list[Action]:
        """Write what is there to be written: results, or, if all of these are, that it has ended."""
        if batch.unwritten and not batch.writing:
            batch.writing, batch.unwritten = b"".join(batch.unwritten), []
            return [do.AppendFile(BatchResults(batch.id), results_path(batch.id), batch.writing)]
        if batch.is_settled and not batch.closing:
            batch.closing = int(unix)
            return [do.WriteFile(BatchState(batch.id), state_path(batch.id), batch.head(batch.closing))]
        return []

    def written(self, ticket: BatchResults | BatchState, unix: float) -> list[Action]:
        """Results, or its state, are on disk."""
        batch = self._batches.get(ticket.batch)
        if batch is None or batch.ended:
            return []
        if isinstance(ticket, BatchResults):
            batch.writing = b""
        elif batch.closing:
            return self._end(batch)
        return self.write(batch, unix)

    def _end(self, batch: Batch) -> list[Action]:
        batch.closing, batch.ended = 0, batch.closing
        batch.size_bytes -= batch.offsets[-1] if batch.offsets else 0
        batch.names, batch.offsets = [], batch.offsets[:0]
        self._open.pop(batch.id, None)
        return [do.EraseFile(requests_path(batch.id))]

    def not_written(self, ticket: BatchResults | BatchState, reason: str) -> list[Action]:
        """What was on its way is not on disk: it is tried again at the next look."""
        batch = self._batches.get(ticket.batch)
        if batch is None or batch.ended:
            return []
        if isinstance(ticket, BatchResults) and batch.writing:
            batch.unwritten, batch.writing = [batch.writing, *batch.unwritten], b""
        elif isinstance(ticket, BatchState):
            batch.closing = 0
        return [do.Log("warning", f"{batch.id}: what has become of it could not be written: {reason}")]

    # Time

    def look(self, unix: float) -> list[Action]:
        """Batches whose day is over run no more; ended ones go when they were kept for long enough; what waits is written."""
        orders: list[Action] = []
        for batch in list(self._batches.values()):
            if batch.ended and unix >= batch.ended + self._config.stored_kept_s:
                orders += self.delete(batch)
                continue
            if not batch.ended and unix >= batch.expires:
                batch.settle_waiting(EXPIRED)
            orders += self.write(batch, unix)
        return orders

    def next_look(self, now: float, unix: float) -> float | None:
        """In monotonic seconds, when `look` or `next` may find something that it does not find now."""
        times = [now + batch.expires - unix for batch in self._open.values() if batch.waiting]
        times += [batch.paused_until for batch in self._open.values() if batch.waiting and batch.paused_until > now]
        times += [now + RETRY_S for batch in self._open.values() if batch.is_stuck]
        times += [now + b.ended + self._config.stored_kept_s - unix for b in self._batches.values() if b.ended]
        return min(times, default=None)


def _read(batch: Batch) -> tuple[BatchRequest, do.ReadFile]:
    """The next request of a batch, which runs from now on."""
    index = batch.waiting[0]
    ticket, at = BatchRequest(batch.id, index), batch.offsets[index]
    order = do.ReadFile(ticket, requests_path(batch.id), at, batch.offsets[index + 1] - at)
    batch.take()
    return ticket, order
