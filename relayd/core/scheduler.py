"""Says when processes are given to calls (`dispatcher.py`), and lets the pool refill then (`pool_plan.py`). Pure.

Owned by `core/relay.py`, which asks after each event whether there is anything to do: only an event that frees a
process or needs one makes the scheduler look, so that the other events cost nothing here. Calls come before the pool's
wishes, and a start never takes the place that a call needs.
"""

from __future__ import annotations

import math

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.call_table import CallTable
from relayd.core.conversations import Conversations
from relayd.core.dispatcher import Dispatcher
from relayd.core.driver import Driver
from relayd.core.pool import Pool
from relayd.core.pool_plan import LOOK_SOON_S, Plan, Planner
from relayd.core.timers import RelayDue, RelayTimer
from relayd.faults import describe


class Scheduler:
    """See the module's text."""

    def __init__(self, pool: Pool, calls: CallTable, conversations: Conversations, driver: Driver) -> None:
        self._pool = pool
        self.planner = Planner(pool)
        self._dispatcher = Dispatcher(pool, calls, driver)
        self._calls = calls
        self._conversations = conversations
        self._driver = driver
        self._was_asked = False
        self._look_at = 0.0
        self._expiry_is_set = False

    def __repr__(self) -> str:
        return f"<Scheduler {self._calls!r} {self._pool!r}>"

    def ask(self) -> None:
        """Look again after this event, whatever has changed."""
        self._was_asked = True

    @property
    def is_due(self) -> bool:
        """True if anything has changed since `assign_calls` and `refill` have looked."""
        return self._was_asked or self._driver.has_changes or self._calls.has_new_need

    def assign_calls(self, now: float) -> list[Action]:
        """Give each call in the queue its process, as long as there is one. Never raises."""
        orders = self._dispatcher.assign_calls(now)
        self._was_asked = False
        return orders

    def refill(self, now: float) -> list[Action]:
        """Retire and start what the pool wants, or end, if the daemon ends and nothing is left."""
        if self._calls.is_closed:
            return self._finish(now)
        orders = self._carry_out(self.planner.plan(now), now)
        self._driver.has_changes = False  # what it has done itself needs no second look
        return orders

    def look_again(self, now: float) -> list[Action]:
        """When to look again, at the pool and at what is kept for clients. Apart: a bug here takes nothing that `refill` made."""
        return [] if self._calls.is_closed else self._next_look(now) + self._watch_expiry(now)

    def _finish(self, now: float) -> list[Action]:
        """Whose call has ended since is kept for no other; with the last process the daemon ends."""
        orders: list[Action] = []
        for session in self._pool.without_call():
            orders += self._driver.drive(session, ev.Retired("shutdown"), now)
        self._driver.has_changes = False
        return orders if self._pool.sessions or self._calls.forwarded else [*orders, do.Finish()]

    def _carry_out(self, plan: Plan, now: float) -> list[Action]:
        orders: list[Action] = []
        for session, reason in plan.retire:
            orders += self._driver.drive(session, ev.Retired(reason), now)
        for session, prefix in plan.prime:
            orders += self._driver.drive(session, ev.PrefixAssigned(prefix), now)
        for kind in plan.spawn:
            try:
                orders += self._pool.prepare(kind, now)
            except Exception as error:
                orders.append(self._pool.failed_unused(kind[0], describe(error), now))
        return orders

    def _next_look(self, now: float) -> list[Action]:
        look = min(self.planner.next_look(now), now + LOOK_SOON_S if self._calls.queue else math.inf)
        if now < self._look_at <= look:
            return []
        self._look_at = look
        return [do.SetTimer(RelayTimer(RelayDue.REFILL), look)]

    def _watch_expiry(self, now: float) -> list[Action]:
        return [] if self._expiry_is_set else self.expire(now)

    def expire(self, now: float) -> list[Action]:
        """Forget conversations that were not used for too long, and set the time of the next look."""
        look = self._conversations.expire(now)
        self._expiry_is_set = look is not None
        return [do.SetTimer(RelayTimer(RelayDue.EXPIRE), look)] if look is not None else []
