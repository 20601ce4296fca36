"""The one door to a session: an event goes in, and everything that follows from it for its call comes out. Pure.

Whoever wants something of a session (the runtime by its facts, the scheduler, admission, shutdown) comes here, so
that no part of an answer is ever left behind. An exception costs the session that it happened in and the call that this
session works for; the client gets one well-formed error. Owned by `core/relay.py`.
"""

from __future__ import annotations

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.call import Call, Stage
from relayd.core.call_table import CallTable
from relayd.core.delivery import Delivery
from relayd.core.pool import Pool
from relayd.core.session import table
from relayd.core.session.parts import Failed, Part
from relayd.core.session.record import Session
from relayd.core.session.states import State
from relayd.errors import ApiError, internal
from relayd.faults import describe


class Driver:
    """See the module's text. `has_changes`: a session's state or call has changed since the scheduler looked."""

    def __init__(self, pool: Pool, calls: CallTable, delivery: Delivery) -> None:
        self.has_changes = False
        self._pool = pool
        self._calls = calls
        self._delivery = delivery

    def __repr__(self) -> str:
        return f"<Driver {self._pool!r} {self._calls!r}>"

    def drive(self, session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
        """Apply an event to a session; the orders for the runtime. Never raises."""
        call = self._calls.by_number.get(_call_of(session, event))
        before: object = None
        try:
            before = (session.state, session.call, session.is_settled)
            orders = table.drive(session, event, now)
        except Exception as error:
            orders = self._fail(session, error, now)
        parts, session.parts = session.parts, []
        if call is not None and call.slot == session.slot:
            try:
                self._deliver(call, parts, orders, now)
            except Exception as error:
                orders += self.fail_call(call, error, now)
        try:
            orders += self._keep_books(session, parts, now)
            if call is not None and call.is_background and call.stage is Stage.DONE and session.state is State.PARKED:
                orders += self.drive(session, ev.Retired("nobody brings the results of a batch's tools"), now)
            self.has_changes = self.has_changes or before != (session.state, session.call, session.is_settled)
        except Exception as error:  # costs the pool what it would have learned, not the place, nor what the event has led to
            if session.state is State.DEAD:
                self._pool.sessions.pop(session.slot, None)
                self._pool.by_secret.pop(session.spec.secret, None)
            orders.append(do.Log("error", f"the pool met a bug: {describe(error)}"))
            self.has_changes = True
        return orders

    def _deliver(self, call: Call, parts: list[Part], orders: list[Action], now: float) -> None:
        """Add the orders that bring these parts to the client, one by one: a bug takes none of those before it."""
        for part in parts:
            orders += self._delivery.deliver(call, part, now)
        if call.stage is Stage.DONE:
            orders += self._calls.answered(call, now)

    def _keep_books(self, session: Session, parts: list[Part], now: float) -> list[Action]:
        """What the pool learns from the session, and the place that comes free."""
        if session.state is State.DEAD:
            self._pool.gone(session)
        orders = self._pool.learn(session, now)
        has_failed = any(isinstance(part, Failed) and part.lost and part.unseen for part in parts)
        self._pool.launcher.mod_trial.saw(session, has_failed)
        self._pool.launcher.witness_trial.saw(session, parts)
        self._pool.differed += sum(isinstance(part, Failed) and part.differs for part in parts)
        failures = [part for part in parts if isinstance(part, Failed)] if session.handed_over is None else []
        return orders + [self._pool.failed_unused(session.spec.key, part.error.message, now) for part in failures]

    def abandon(self, call: Call, now: float) -> list[Action]:
        """The call's client has left: its process need not go on. Never raises."""
        try:
            orders = call.close()
            orders += self._calls.remove(call, now)
        except Exception as bug:
            return self.fail_call(call, bug, now)
        return orders + self._abandon_process(call, now)

    def end_call(self, call: Call, error: ApiError, now: float) -> list[Action]:
        """End a call with an error, and its process, if it has one. Never raises."""
        orders: list[Action] = []
        try:
            orders += call.fail(error, now)
            orders += self._calls.remove(call, now)
        except Exception as bug:
            return orders + self.fail_call(call, bug, now)
        try:
            orders += self._abandon_process(call, now)
        except Exception as bug:  # costs the process its time to tidy up; the client has its error in any case
            orders += self._break_process(call, bug, now)
        return orders

    def lose_call(self, call: Call, error: Exception, now: float) -> list[Action]:
        """A bug met the call, and has taken the orders that were made for it: if these were its end, nobody has got it."""
        lost: list[Action] = [do.CloseClient(call.client)] if call.stage is Stage.DONE else []
        return lost + self.fail_call(call, error, now)

    def fail_call(self, call: Call, error: Exception, now: float) -> list[Action]:
        """A bug met the call: its client gets an error, as far as that is still possible, and its process is given up.

        Never raises. What a second bug takes from the client is a well-formed end; then the connection is closed.
        """
        orders: list[Action] = [do.Log("error", f"{call.request_id} met a bug: {describe(error)}")]
        try:
            orders += call.fail(internal("Internal server error"), now)
        except Exception:
            orders += [do.CloseClient(call.client), *call.close()]
        try:
            orders += self._calls.remove(call, now)
        except Exception as second:
            orders.append(do.Log("error", f"{call.request_id} could not be written down: {describe(second)}"))
        return orders + self._abandon_process(call, now)

    def _abandon_process(self, call: Call, now: float) -> list[Action]:
        session = self._pool.sessions.get(call.slot or "")
        if session is None or session.call != call.number:
            return []
        return self.drive(session, ev.TurnAbandoned(), now)

    def _break_process(self, call: Call, error: Exception, now: float) -> list[Action]:
        session = self._pool.sessions.get(call.slot or "")
        return self.fail_session(session, error, now) if session is not None and session.call == call.number else []

    def fail_session(self, session: Session, error: Exception, now: float) -> list[Action]:
        """A bug was met elsewhere on behalf of the session: it ends, and its call with it. Never raises."""
        return self.drive(session, ev.SlotBroke(session.slot, describe(error)), now)

    def _fail(self, session: Session, error: Exception, now: float) -> list[Action]:
        """A bug met the session, which may be half-updated: it ends here, and its call with it."""
        log = do.Log("error", f"the session {session.slot} met a bug: {describe(error)}")
        session.parts = [Failed(internal("Internal server error"))]
        return [log, *table.fail(session, now)]


def _call_of(session: Session, event: ev.SessionEvent) -> int:
    """The call that pays for a bug: the one that the event brings, before the session has noted it; 0 for none."""
    match event:
        case ev.TurnAssigned(call) | ev.ResultsBrought(call) | ev.MessageBrought(call):
            return call
        case _:
            return session.call or 0
