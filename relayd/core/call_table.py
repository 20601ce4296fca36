"""The calls that run, by number and by client, and the queue of those that need a process. Pure.

A call is in the table from its admission until its last byte is ordered or its client has left; whoever takes it out
gives its conversation back and writes its record, in one place. Shared by the parts of the core that handle calls.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from relayd.anthropic.request import MessagesRequest
from relayd.config import Config
from relayd.core import call_log
from relayd.core.actions import Action
from relayd.core.call import Call
from relayd.core.conversations import Conversations, Waiting
from relayd.core.encoders import encoder_for
from relayd.core.host import Host
from relayd.core.journal import CallRecord, Journal
from relayd.core.original import Original
from relayd.errors import ApiError

BATCH = "batch"  # the route of a batch's request, in records and metrics
ENDED_MAX = 100  # calls that have ended and may hear of their cost: it comes within a second


class CallTable:
    """See the module's text. `is_closed`: the daemon ends, and no call is admitted any more."""

    def __init__(self, host: Host, conversations: Conversations, journal: Journal) -> None:
        self.by_number: dict[int, Call] = {}
        self.by_client: dict[int, Call] = {}
        self.originals: dict[int, Original] = {}  # of calls that another API may answer, as their clients have sent them
        self.queue: deque[int] = deque()
        self.served = 0
        self.is_closed = False
        self.has_new_need = False  # a call has come into the queue since the scheduler looked
        self._host = host
        self._conversations = conversations
        self._journal = journal
        self._numbers = 0
        self._ended: OrderedDict[int, CallRecord] = OrderedDict()

    def __repr__(self) -> str:
        return f"<CallTable {len(self.by_number)} queued={len(self.queue)}>"

    def __len__(self) -> int:
        return len(self.by_number)

    @property
    def forwarded(self) -> int:
        """So many calls are being answered by another API."""
        return sum(call.forwarded is not None for call in self.by_number.values())

    def longest_wait_s(self, now: float) -> float:
        """For how long the first call of the queue has been there, if somebody waits for its answer."""
        first = self.by_number[self.queue[0]] if self.queue else None
        return now - first.arrived if first is not None and not first.is_background else 0.0

    def next_number(self) -> int:
        """A number for a call, never used before."""
        self._numbers += 1
        return self._numbers

    def admit(self, asked: Waiting, request: MessagesRequest, config: Config) -> Call:
        """The call of a request that has been checked."""
        encoder = encoder_for(asked.decoded, request, asked.created)
        call = Call(asked.number, asked.client, asked.request_id, request, encoder, config, asked.arrived)
        call.key = asked.key_name
        if asked.decoded.original is not None:
            self.originals[call.number] = asked.decoded.original
        call.route = BATCH if call.is_background else call.route
        self.by_number[call.number] = call
        self.by_client[call.client] = call
        return call

    def enqueue(self, call: Call, now: float) -> list[Action]:
        """The call needs a process: it is new, or had one, and comes before those that came after it. Batches come behind
        everybody else.
        """
        if call.is_background:
            self.queue.append(call.number)
        else:
            self.queue.insert(self._place_of(call), call.number)
        self.has_new_need = True
        return call.queued(now)

    def _place_of(self, call: Call) -> int:
        """The place behind all calls that came before it and are no batch's."""
        place = len(self.queue)
        while place and self._gives_way(self.by_number[self.queue[place - 1]], call):
            place -= 1
        return place

    def _gives_way(self, other: Call, call: Call) -> bool:
        return other.is_background or other.number > call.number

    def remove(self, call: Call, now: float) -> list[Action]:
        """The call has ended: forget it, give its conversation back, write its record."""
        self.by_number.pop(call.number, None)
        self.by_client.pop(call.client, None)
        self.originals.pop(call.number, None)
        if call.number in self.queue:
            self.queue.remove(call.number)
        if call.lease is not None:
            self._conversations.release(call.lease)
            call.lease = None
        record = self._ended[call.number] = call_log.record_of(call, self._host.unix_time(call.arrived), now)
        while len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)
        return call_log.ended(self._journal, record)

    def answered(self, call: Call, now: float) -> list[Action]:
        """The call is done: it has its answer, or an error."""
        self.served += 1
        return self.remove(call, now)

    def refused(self, request_id: str, route: str, error: ApiError, now: float, key: str = "") -> list[Action]:
        """A request was turned away before it became a call: write that down."""
        return call_log.refused(self._journal, request_id, route, error, self._host.unix_time(now), key)

    def cost(self, number: int | None, usd: float) -> list[Action]:
        """An API request of this call has cost so much, by Claude Code's own table of prices. It may have ended."""
        self._journal.cost_usd += usd
        call, record = self.by_number.get(number or 0), self._ended.get(number or 0)
        if call is not None:
            call.cost_usd += usd
        if number is None or record is None or not usd:
            return []
        self._ended[number] = record.with_cost(usd)
        return call_log.corrected(self._journal, record, self._ended[number])

    def unix_time(self, now: float) -> int:
        """Unix seconds."""
        return int(self._host.unix_time(now))
