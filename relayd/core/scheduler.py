"""Gives processes to the calls that wait for them, in order of arrival, then lets the pool refill. Pure.

Owned by `core/relay.py`, which asks after each event whether there is anything to do: only an event that frees a
process or needs one makes the scheduler look, so that the other events cost nothing here. Calls come before the pool's
wishes, and a start never takes the place that a call needs.
"""

from __future__ import annotations

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core import roads
from relayd.core.actions import Action, Mode
from relayd.core.call import Call
from relayd.core.call_table import CallTable
from relayd.core.conversations import Conversations
from relayd.core.driver import Driver
from relayd.core.launch_keys import Kind, dump_keys
from relayd.core.pool import Plan, Pool
from relayd.core.session.record import Session
from relayd.core.timers import RelayDue, RelayTimer
from relayd.faults import describe

REMEMBERED_KEYS = 4  # launch keys that a restart begins with


class Scheduler:
    """See the module's text."""

    def __init__(self, pool: Pool, calls: CallTable, conversations: Conversations, driver: Driver) -> None:
        self._pool = pool
        self._calls = calls
        self._conversations = conversations
        self._driver = driver
        self._was_asked = False
        self._look_at = 0.0
        self._remembered: set[object] = set()
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
        orders: list[Action] = []
        queue, promised = self._calls.queue, set[str]()
        while len(promised) < len(queue):
            call = self._calls.by_number[queue[len(promised)]]  # the first to which nothing is promised
            try:
                session, more = self._find(call, promised, now)
                orders += more
                if session is None:
                    break
                if session.slot in promised:
                    continue
                del queue[len(promised)]
                orders += self._assign(call, session, now)
            except Exception as error:  # the next in the queue shall not suffer from it
                orders += self._driver.fail_call(call, error, now)
        self._was_asked = self._calls.has_new_need = False
        return orders

    def refill(self, now: float) -> list[Action]:
        """Retire and start what the pool wants, if no call waits; or end, if the daemon ends and nothing is left."""
        if self._calls.is_closed:
            return self._finish(now)
        orders = self._carry_out(self._pool.plan(now), now) if not self._calls.queue else []
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

    def _find(self, call: Call, promised: set[str], now: float) -> tuple[Session | None, list[Action]]:
        """A process: one that waits, boots, is new, or will be there in a moment and is noted as promised to this call. Else
        None, and somebody may be told to make room.
        """
        key, mode = kind = roads.needed(call)
        self._pool.use(kind, call.request.stream, now)
        found = self._free(call, kind, now)
        if mode is Mode.PROMPT and (soon := self._pool.settling(call.request, key, now, found, promised)) is not None:
            promised.add(soon.slot)
            return soon, []
        if found is not None:
            return found, []
        if self._pool.has_room:
            return self._pool.spawn((key, Mode.GATE), call.request.stream, now)
        victim = self._pool.to_make_room(now)
        return None, self._driver.drive(victim, ev.Retired("room for a call"), now) if victim is not None else []

    def _free(self, call: Call, kind: Kind, now: float) -> Session | None:
        key, mode = kind
        if mode is not Mode.PROMPT:
            return self._pool.free(call.request, key, now, by_keys=False)
        self._pool.prefixes.use(call.request, key, now)
        found = self._pool.own_of_batches(call.request, key, now) if call.is_background else None
        return found or self._pool.free(call.request, key, now, by_keys=True)

    def _assign(self, call: Call, session: Session, now: float) -> list[Action]:
        self._pool.lend(session, call.is_background)
        road = roads.reached(session, call.request, now)
        orders = call.started(session.slot, road, now, roads.is_typed(session, road)) + self._remember(now)
        return orders + self._driver.drive(session, ev.TurnAssigned(call.number, call.request, call.draft), now)

    def _next_look(self, now: float) -> list[Action]:
        look = self._pool.next_look(now)
        if now < self._look_at <= look:
            return []
        self._look_at = look
        return [do.SetTimer(RelayTimer(RelayDue.REFILL), look)]

    def _remember(self, now: float) -> list[Action]:
        """Keep the launch keys used lately for the next start; no word of a call among them."""
        keys = [key for key in self._pool.keys(now) if key.is_plain][:REMEMBERED_KEYS]
        if set(keys) == self._remembered:
            return []
        self._remembered = set(keys)
        return [do.Remember(dump_keys(keys))]

    def _watch_expiry(self, now: float) -> list[Action]:
        return [] if self._expiry_is_set else self.expire(now)

    def expire(self, now: float) -> list[Action]:
        """Forget conversations that were not used for too long, and set the time of the next look."""
        look = self._conversations.expire(now)
        self._expiry_is_set = look is not None
        return [do.SetTimer(RelayTimer(RelayDue.EXPIRE), look)] if look is not None else []
