"""The end of the daemon: running calls may finish, then they are ended, then everything is left. Pure.

Owned by `core/relay.py`. Each step has a limit of its own, so that neither a call nor a child that cannot be ended keeps
the daemon from ending: the first request to end starts `shutdown_limit_s`, the second one ends the calls at once, and
LEAVE_S after that the daemon goes, whatever is left, and says what.
"""

from __future__ import annotations

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.call import Call
from relayd.core.call_intake import CallIntake
from relayd.core.call_table import CallTable
from relayd.core.driver import Driver
from relayd.core.pool import Pool
from relayd.core.session.record import Session
from relayd.core.timers import RelayDue, RelayTimer
from relayd.errors import ApiError, internal, overloaded
from relayd.faults import describe

RETRY_AFTER_S = 5
LEAVE_S = 15.0  # TERM and 3 s, then two KILLs and 5 s each


class Ending:
    """See the module's text."""

    def __init__(self, config: Config, pool: Pool, calls: CallTable, intake: CallIntake, driver: Driver) -> None:
        self._config = config
        self._pool = pool
        self._calls = calls
        self._intake = intake
        self._driver = driver

    def __repr__(self) -> str:
        return f"<Ending begun={self._calls.is_closed}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def asked(self, now: float) -> list[Action]:
        """The daemon was told to end; told so again, it does not wait."""
        if self._calls.is_closed:
            return self.force(now)
        self._calls.is_closed = True
        error = overloaded("relayd is shutting down", RETRY_AFTER_S)
        orders: list[Action] = [do.SetTimer(RelayTimer(RelayDue.FORCE), now + self._config.shutdown_limit_s)]
        calls = [self._calls.by_number[number] for number in self._calls.queue]
        orders += self._end_all(calls, error, self._pool.without_call(), now)
        try:
            orders += self._intake.turn_away_waiting(error, now)
        except Exception as bug:  # costs those that wait for a session some patience, which ends them
            orders.append(do.Log("error", f"calls that wait met a bug: {describe(bug)}"))
        return orders

    def force(self, now: float) -> list[Action]:
        """End what still runs."""
        orders: list[Action] = [do.SetTimer(RelayTimer(RelayDue.LEAVE), now + LEAVE_S)]
        error = internal("relayd was stopped before the answer was complete")
        return orders + self._end_all(list(self._calls.by_number.values()), error, self._pool.live(), now)

    def _end_all(self, calls: list[Call], error: ApiError, sessions: list[Session], now: float) -> list[Action]:
        """A bug costs the call or the process that it meets a good end, and the others nothing."""
        orders: list[Action] = []
        for call in calls:
            try:
                orders += self._driver.end_call(call, error, now)
            except Exception as bug:
                orders += self._driver.fail_call(call, bug, now)
        for session in sessions:
            try:
                if session.is_live:  # else its call's end has ended it
                    orders += self._driver.drive(session, ev.Retired("shutdown"), now)
            except Exception as bug:
                orders += self._driver.fail_session(session, bug, now)
        return orders

    def leave(self) -> list[Action]:
        """Go, whatever is left."""
        left = ", ".join(f"process {s.pid} ({s.state.value})" for s in self._pool.sessions.values())
        return [do.Log("error", f"relayd ends although something is left: {left or 'nothing'}"), do.Finish()]
