"""Gives processes to the calls that wait for them, in order of arrival. Pure; owned by `core/scheduler.py`.

A call that finds no process gets a start, if there are processors for it, or waits for a process that will be free in a moment.
Waiting for a start, or for a place that is about to come free, holds up no call of another kind. As long as nobody gives way,
the calls behind it wait too: else programs that call back to back would keep all processes to themselves. A bug costs the call
that it is met for.
"""

from __future__ import annotations

from enum import Enum

from relayd.claude.launch import LaunchKey
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core import roads
from relayd.core.actions import Action, Mode
from relayd.core.call import Call
from relayd.core.call_table import CallTable
from relayd.core.driver import Driver
from relayd.core.launch_keys import Kind, dump_keys
from relayd.core.pool import Pool
from relayd.core.session.record import Session
from relayd.faults import describe

REMEMBERED_KEYS = 4  # launch keys that a restart begins with


class Waits(Enum):
    """Who waits with a call for which there is no process."""

    WITH_ITS_KIND = "its kind"  # a process or a place is on its way
    WITH_ALL = "all"  # nobody gives way


class Dispatcher:
    """See the module's text."""

    def __init__(self, pool: Pool, calls: CallTable, driver: Driver) -> None:
        self._pool = pool
        self._calls = calls
        self._driver = driver
        self._remembered: set[object] = set()

    def __repr__(self) -> str:
        return f"<Dispatcher {self._calls!r} {self._pool!r}>"

    def assign_calls(self, now: float) -> list[Action]:
        """Give each call in the queue its process, as long as there is one. Never raises."""
        orders: list[Action] = []
        promised = set[str]()
        self._calls.has_new_need = False
        try:
            orders += self._serve_queue(promised, now)
            orders += self._recall(promised, now)
            if self._calls.has_new_need:
                orders += self._serve_queue(set(), now)
        except Exception as error:  # it takes nothing that was ordered before; the queue is looked at again in a moment
            orders.append(do.Log("error", f"the queue met a bug: {describe(error)}"))
        self._calls.has_new_need = False
        return orders

    def _serve_queue(self, promised: set[str], now: float) -> list[Action]:
        """`promised`: slots of processes that will be there in a moment, each for one call of the queue."""
        orders: list[Action] = []
        held = set[Kind]()  # for which a process or a place is on its way, or would come too early
        for number in list(self._calls.queue):
            call = self._calls.by_number[number]
            try:
                kind = roads.needed(call)
                if kind in held:
                    continue
                found, more = self._find(call, kind, promised, now)
                orders += more
                if found is Waits.WITH_ALL:
                    break
                if found is Waits.WITH_ITS_KIND:
                    held.add(kind)
                elif found.slot not in promised:
                    self._calls.queue.remove(number)
                    orders += self._assign(call, found, now)
            except Exception as error:  # the next in the queue shall not suffer from it
                orders += self._driver.fail_call(call, error, now)
        return orders

    def _recall(self, promised: set[str], now: float) -> list[Action]:
        """Calls whose process still boots wait in the queue again, if another one will be there sooner that is promised to
        nobody. What has booted for them serves the next.
        """
        orders: list[Action] = []
        for session in self._pool.booting_for_calls():
            call = self._calls.by_number[session.call or 0]
            try:
                sooner = self._pool.sooner(session, now, promised)
                if sooner is not None:
                    promised.add(sooner.slot)
                    orders += self._driver.drive(session, ev.TurnAbandoned(), now)
                    orders += self._calls.enqueue(call, now)
            except Exception as error:
                orders += self._driver.fail_call(call, error, now)
        return orders

    def _find(self, call: Call, kind: Kind, promised: set[str], now: float) -> tuple[Session | Waits, list[Action]]:
        """A process: one that waits, boots, is new, or will be there in a moment and is noted as promised to this call. Else who
        waits, and the orders that make room.
        """
        key, mode = kind
        self._pool.use(kind, call.request.stream, now)
        found, waited_s = self._free(call, kind, promised, now), now - call.arrived
        if mode is Mode.PROMPT and (soon := self._soon(call, key, found, promised, now)) is not None:
            promised.add(soon.slot)
            return soon, []
        if found is not None:
            is_too_soon = mode is Mode.PROMPT and self._pool.is_too_soon(found, waited_s, now)
            return (Waits.WITH_ITS_KIND if is_too_soon else found), []
        if self._pool.has_room:
            may_start = self._pool.may_start(waited_s, now)
            return self._pool.spawn((key, Mode.GATE), call.request.stream, now) if may_start else (Waits.WITH_ITS_KIND, [])
        victim = self._pool.to_make_room(now)
        orders = self._driver.drive(victim, ev.Retired("room for a call"), now) if victim is not None else []
        return (Waits.WITH_ITS_KIND if self._pool.is_making_room else Waits.WITH_ALL), orders

    def _free(self, call: Call, kind: Kind, promised: set[str], now: float) -> Session | None:
        """A process that waits; for a request of a batch also its own that will wait in a moment."""
        key, mode = kind
        if call.needs_new_process:
            return None
        if mode is not Mode.PROMPT:
            return self._pool.free(call.request, key, now, by_keys=False)
        self._pool.prefixes.use(call.request, key, now)
        found = self._pool.own_of_batches(call.request, key, now, promised) if call.is_background else None
        return found or self._pool.free(call.request, key, now, by_keys=True)

    def _soon(self, call: Call, key: LaunchKey, found: Session | None, promised: set[str], now: float) -> Session | None:
        """The process that will be there in a moment and is better than what was found."""
        if found is not None and self._pool.is_settling(found, now):
            return found
        return self._pool.settling(call.request, key, now, found, promised)

    def _assign(self, call: Call, session: Session, now: float) -> list[Action]:
        self._pool.lend(session, call.is_background)
        road = roads.reached(session, call.request, now)
        orders = call.started(session.slot, road, now, roads.is_typed(session, road)) + self._remember(now)
        return orders + self._driver.drive(session, ev.TurnAssigned(call.number, call.request, call.draft), now)

    def _remember(self, now: float) -> list[Action]:
        """Keep the launch keys used lately for the next start; no word of a call among them."""
        keys = [key for key in self._pool.keys(now) if key.is_plain][:REMEMBERED_KEYS]
        if set(keys) == self._remembered:
            return []
        self._remembered = set(keys)
        return [do.Remember(dump_keys(keys))]
