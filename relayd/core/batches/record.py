"""One batch and the states of its requests. Pure: a state machine in which every request ends with exactly one result.

    waiting -> running -> done        its result is written
    running -> waiting                it could not be run now: the plan is used up, no process came free, the daemon ends
    waiting -> done                   canceled, or expired

The batch is in progress, then perhaps canceling, and has ended once every result is on disk and its end is, too.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from relayd import codec
from relayd.core.batches import lines
from relayd.core.files.record import rfc3339

OUTCOMES = ("succeeded", "errored", "canceled", "expired")
CANCELED, EXPIRED = "canceled", "expired"


@dataclass
class Batch:
    """See the module's text. Times are Unix seconds, 0 for what has not happened; `paused_until` is monotonic."""

    id: str
    owner: str
    version: str
    created: int
    expires: int
    total: int
    canceled: int = 0
    ended: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)  # custom ids, until it has ended
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    waiting: deque[int] = field(default_factory=deque)
    running: set[int] = field(default_factory=set)
    tries: dict[int, int] = field(default_factory=dict)  # how often a waiting request has failed
    unwritten: list[bytes] = field(default_factory=list)  # results that wait for the ones before them
    writing: bytes = b""  # results on their way to the disk
    closing: int = 0  # when it has ended, while that is on its way to the disk
    paused_until: float = 0.0
    size_bytes: int = 0  # of its files

    def __repr__(self) -> str:
        done = sum(self.counts.values())
        return f"<Batch {self.id} {self.status} waiting={len(self.waiting)} running={len(self.running)} done={done}>"

    @property
    def status(self) -> str:
        """`processing_status`."""
        if self.ended:
            return "ended"
        return "canceling" if self.canceled else "in_progress"

    @property
    def is_settled(self) -> bool:
        """True if every request has its result on disk, and only the word that it has ended is missing."""
        return not (self.ended or self.waiting or self.running or self.unwritten or self.writing)

    @property
    def is_stuck(self) -> bool:
        """True if something must be written and is not on its way."""
        return bool(self.unwritten and not self.writing) or (self.is_settled and not self.closing)

    def take(self) -> int:
        """The next request, which runs from now on."""
        index = self.waiting.popleft()
        self.running.add(index)
        return index

    def give_back(self, index: int) -> None:
        """It could not be run now."""
        if index in self.running:
            self.running.remove(index)
            self.waiting.appendleft(index)

    def settle(self, index: int, outcome: str, line: bytes) -> None:
        """A running request has its result."""
        if index in self.running:
            self.running.remove(index)
            self._add(outcome, line)

    def settle_waiting(self, outcome: str) -> None:
        """No request is started any more."""
        while self.waiting:
            self._add(outcome, lines.not_run(self.names[self.waiting.popleft()], outcome))

    def _add(self, outcome: str, line: bytes) -> None:
        self.counts[outcome] += 1
        self.unwritten.append(line)
        self.size_bytes += len(line)

    def as_json(self, base: str) -> dict[str, Any]:
        """The API's object; `base` is the URL by which its client reached the daemon. As in the API, counts move at the end."""
        counts = {name: self.counts[name] if self.ended else 0 for name in OUTCOMES}
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": {"processing": 0 if self.ended else self.total, **counts},
            "created_at": rfc3339(self.created),
            "expires_at": rfc3339(self.expires),
            "ended_at": rfc3339(self.ended) if self.ended else None,
            "cancel_initiated_at": rfc3339(self.canceled) if self.canceled else None,
            "archived_at": None,
            "results_url": f"{base}/v1/messages/batches/{self.id}/results" if self.ended else None,
        }

    def head(self, ended: int = 0) -> bytes:
        """What is written about it: the first line of its requests, and its state."""
        value = {
            "id": self.id,
            "owner": self.owner,
            "version": self.version,
            "created": self.created,
            "expires": self.expires,
            "total": self.total,
            "canceled": self.canceled,
            "ended": ended,
            "counts": dict(self.counts) if ended else {},
        }
        return codec.dump(value) + b"\n"


TYPES: dict[str, type] = {
    "id": str,
    "owner": str,
    "version": str,
    "created": int,
    "expires": int,
    "total": int,
    "canceled": int,
    "ended": int,
    "counts": dict,
}


def read_head(line: bytes) -> Batch:
    """The batch that such a line is about. Raises ValueError for what no relayd has written."""
    value = codec.parse(line)
    if not isinstance(value, dict) or {name: type(found) for name, found in value.items()} != TYPES:
        raise ValueError("not the head of a batch")
    counts = value.pop("counts")
    if not all(name in OUTCOMES and type(count) is int for name, count in counts.items()):
        raise ValueError("not the counts of a batch")
    return Batch(**value, counts=Counter(counts))
