"""What happened, in numbers: each call's record, counters, histograms. Metadata only, never a word of a call. Pure.

Owned by `core/relay.py`, read by `core/reports.py`. Times are seconds.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any

from relayd.core.timeline import Timeline

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
TOKEN_KINDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
KEYS_COUNTED_MAX = 200  # keys come and go while the daemon runs
TIMES = ("at", "queue_s", "first_s", "total_s")
CLIENT_LEFT = 499  # what web servers write for a client that did not wait for its answer


@dataclass(frozen=True)
class CallRecord:
    """One call, from its arrival to its end. `road` is how it reached Claude Code; `error` the error's type."""

    at: float  # unix seconds
    id: str
    route: str
    model: str = ""
    stream: bool = False
    status: int = 200
    error: str = ""
    road: str = ""
    queue_s: float = 0.0
    first_s: float = 0.0  # to the first part of the answer; 0 if there was none
    total_s: float = 0.0
    stop_reason: str = ""
    tokens: dict[str, int] = field(default_factory=dict)
    cost_usd: float = 0.0  # by Claude Code's table of prices, which a plan does not charge; 0 if it was not told
    key: str = ""  # the name of the key that the client has sent, if it has one

    def as_json(self) -> dict[str, Any]:
        """The record as it is kept and shown. No deep copy: `/v1/status` renders fifty of them each time it is asked."""
        return vars(self) | {name: round(getattr(self, name), 4) for name in TIMES} | {"cost_usd": round(self.cost_usd, 6)}

    def with_cost(self, usd: float) -> CallRecord:
        """The record of a call that has cost so much more."""
        return replace(self, cost_usd=self.cost_usd + usd)


@dataclass
class KeyTotals:
    """What the calls of one key have used. The calls are counted by HTTP status."""

    calls: Counter[int] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(TOKEN_KINDS, 0)))
    cost_usd: float = 0.0

    def add(self, record: CallRecord) -> None:
        """One call more."""
        self.calls[record.status] += 1
        self.tokens.update(record.tokens)
        self.cost_usd += record.cost_usd

    def as_json(self) -> dict[str, Any]:
        """For `/v1/usage`."""
        return {"calls": sum(self.calls.values()), "tokens": dict(self.tokens), "cost_usd": round(self.cost_usd, 6)}


class Histogram:
    """Counts by upper bound, with sum and count, as Prometheus has them."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def __repr__(self) -> str:
        return f"<Histogram n={self.count} sum={self.sum_s:.3f}>"

    @property
    def count(self) -> int:
        """How many samples."""
        return sum(self.counts)

    def add(self, seconds: float) -> None:
        """One sample."""
        place = next((n for n, bound in enumerate(BUCKETS_S) if seconds <= bound), len(BUCKETS_S))
        self.counts[place] += 1
        self.sum_s += seconds


class Journal:
    """See the module's text. `keep` is how many records are held."""

    def __init__(self, keep: int) -> None:
        self.recent: deque[CallRecord] = deque(maxlen=keep)
        self.calls: Counter[tuple[str, int]] = Counter()
        self.roads: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter(dict.fromkeys(TOKEN_KINDS, 0))
        self.queue = Histogram()
        self.first = Histogram()
        self.total = Histogram()
        self.own = Histogram()
        self.by_key: dict[str, KeyTotals] = {}  # the empty name is for calls without a named key
        self.cost_usd = 0.0
        self.timeline = Timeline()
        self.faults = 0  # exceptions that cost one connection, one process or one order

    def __repr__(self) -> str:
        return f"<Journal calls={sum(self.calls.values())}>"

    def ended(self, record: CallRecord) -> None:
        """A call has ended, or was refused at once."""
        self.recent.append(record)
        self.calls[(record.route, record.status)] += 1
        self.tokens.update(record.tokens)
        try:
            self.timeline.add(record.at, record.road, record.first_s, record.total_s, record.status != 200)
            if record.key in self.by_key or len(self.by_key) < KEYS_COUNTED_MAX:
                self.by_key.setdefault(record.key, KeyTotals()).add(record)
        except Exception:  # what is only shown costs no call its end
            self.faults += 1
        if not record.road:
            return
        self.roads[record.road] += 1
        self.queue.add(record.queue_s)
        self.total.add(record.total_s)
        if record.first_s:
            self.first.add(record.first_s)

    def corrected(self, record: CallRecord, better: CallRecord) -> None:
        """What has a call cost? That was told when it had ended, so that its record is among the last ones, if any are held."""
        for place in range(len(self.recent) - 1, -1, -1):
            if self.recent[place] is record:
                self.recent[place] = better
                break
        if record.key in self.by_key:
            self.by_key[record.key].cost_usd += better.cost_usd - record.cost_usd

    def worked(self, seconds: float) -> None:
        """The daemon has worked so long on a call's request: parsing, scheduling, the hand-over."""
        self.own.add(seconds)


def tokens_of(usage: dict[str, Any]) -> dict[str, int]:
    """The counts that are added up."""
    return {name: int(usage.get(name) or 0) for name in TOKEN_KINDS}
