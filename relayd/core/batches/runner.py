"""Runs the requests of batches, one like any other call, when nobody else waits. Pure; made by `core/storeroom.py`.

A request starts only while no other call waits for a process, and only so many run at a time that a process is left for the
next call of somebody who is waiting. Its client is nobody: a number below zero, whose answer is caught on its way out and
becomes a result. What says "not now" (the plan is used up, no process came free, the daemon ends) puts it back instead.
"""

from __future__ import annotations

from collections.abc import Callable

from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.batches import item, lines, reply
from relayd.core.batches.book import BatchBook
from relayd.core.entrance import Entrance
from relayd.core.replies import error_reply, new_request_id
from relayd.core.storage import BatchRequest
from relayd.errors import ApiError, internal
from relayd.faults import describe
from relayd.http.keys import Keys

AGAIN_S = 30.0  # after the disk did not give a request


class BatchRunner:
    """See the module's text. `unix_time` maps monotonic seconds to Unix time."""

    def __init__(
        self,
        config: Config,
        keys: Keys,
        unix_time: Callable[[float], float],
        entrance: Entrance,
        book: BatchBook,
    ) -> None:
        self._config = config
        self._keys = keys
        self._unix_time = unix_time
        self._entrance = entrance
        self._book = book
        self._reading: set[BatchRequest] = set()
        self._running: dict[int, BatchRequest] = {}  # by the number of the client who is nobody

    def __repr__(self) -> str:
        return f"<BatchRunner reading={len(self._reading)} running={len(self._running)}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    @property
    def _may_start(self) -> bool:
        """True while no call waits for a process, and one process more than is at work would be left after another start."""
        calls = self._entrance.calls
        if self._book.is_idle or calls.is_closed or calls.queue:
            return False
        most = max(1, self._config.max - 1)
        own, at_work = len(self._reading) + len(self._running), len(self._reading) + len(calls)
        return own < min(self._config.batch_processes, most) and at_work < most

    def start(self, now: float) -> list[Action]:
        """Requests that may run now are read."""
        orders: list[Action] = []
        while self._may_start and (found := self._book.next(now)) is not None:
            ticket, order = found
            self._reading.add(ticket)
            orders.append(order)
        return orders

    def read(self, ticket: BatchRequest, data: bytes, now: float) -> list[Action]:
        """A request was read: it becomes a call."""
        self._reading.discard(ticket)
        batch = self._book.find(ticket.batch)
        if batch is None:
            return []
        number, request_id = self._entrance.calls.next_number(), new_request_id()
        self._running[-number] = ticket
        try:
            asked = item.asked(batch, data, number, request_id, self._config, self._keys, now, self._unix_time(now))
        except ApiError as error:
            return [error_reply(-number, error, request_id)]
        except Exception as error:
            log = do.Log("error", f"{request_id} met a bug: {describe(error)}")
            return [log, error_reply(-number, internal("Internal server error"), request_id)]
        return self._entrance.enter(asked, now)

    def failed(self, ticket: BatchRequest, now: float) -> list[Action]:
        """A request could not be read, or met a bug before it was a call: it is tried again later."""
        self._reading.discard(ticket)
        batch = self._book.find(ticket.batch)
        if batch is not None:
            batch.give_back(ticket.index)
            batch.paused_until = now + AGAIN_S
        return []

    def catch(self, orders: list[Action], now: float) -> list[Action]:
        """The orders without those for nobody: these are results."""
        if not self._running:
            return orders
        kept: list[Action] = []
        for order in orders:
            match order:
                case do.Respond(client) | do.CloseClient(client) if client < 0:
                    kept += self._caught(order, now)
                case _:
                    kept.append(order)
        return kept

    def _caught(self, order: do.Respond | do.CloseClient, now: float) -> list[Action]:
        """An answer for nobody. A bug here costs the request another run."""
        ticket = self._running.pop(order.client, None)
        if ticket is None:
            return []
        try:
            if isinstance(order, do.CloseClient):
                order = error_reply(order.client, internal("Internal server error"), "")
            return self._replied(ticket, order, now)
        except Exception as error:
            log = do.Log("error", f"{ticket!r} met a bug: {describe(error)}")
            return [log, *self.failed(ticket, now)]

    def _replied(self, ticket: BatchRequest, order: do.Respond, now: float) -> list[Action]:
        batch = self._book.find(ticket.batch)
        if batch is None:
            return []
        tries = batch.tries.pop(ticket.index, 0) + 1
        match reply.judge(order, tries, self._entrance.calls.is_closed):
            case reply.Later(pause_s):
                batch.give_back(ticket.index)
                batch.paused_until = max(batch.paused_until, now + pause_s)
                if order.status >= 500:
                    batch.tries[ticket.index] = tries
            case reply.Result(has_succeeded, body, told):
                write = lines.succeeded if has_succeeded else lines.errored
                outcome = "succeeded" if has_succeeded else "errored"
                batch.settle(ticket.index, outcome, write(batch.names[ticket.index], body, told))
        return self._book.write(batch, self._unix_time(now))
