"""How a request becomes a call: checked against what is stored and known, given its road, started or queued. Pure.

Owned by `core/relay.py`. Everything that is refused here is refused before a process is touched. A call of a sticky
session waits for the one before it, for a bounded time.
"""

from __future__ import annotations

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core import roads
from relayd.core.actions import Action
from relayd.core.call import Call, Road
from relayd.core.call_limits import CallLimits
from relayd.core.call_table import CallTable
from relayd.core.conversations import Conversations, Waiting
from relayd.core.driver import Driver
from relayd.core.fallback import Fallback
from relayd.core.pool import Pool
from relayd.errors import ApiError, overloaded

RETRY_SOON_S = 5  # after a restart
RETRY_LATER_S = 10  # when processes come free


class Admission:
    """See the module's text."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        calls: CallTable,
        conversations: Conversations,
        limits: CallLimits,
        driver: Driver,
        fallback: Fallback,
    ) -> None:
        self._config = config
        self._pool = pool
        self._calls = calls
        self._conversations = conversations
        self.limits = limits
        self._driver = driver
        self._fallback = fallback

    def __repr__(self) -> str:
        return f"<Admission {self._calls!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def admit(self, asked: Waiting, now: float) -> list[Action]:
        """A request for an answer has come. Raises ApiError."""
        if self._calls.is_closed:
            raise overloaded("relayd is shutting down", RETRY_SOON_S)
        name = asked.decoded.name
        if name is not None and self._conversations.is_busy(name):
            self._conversations.wait(name, asked)
            return [do.SetTimer(asked.timer, now + self._config.queue_wait_s)]
        return self.start(asked, now)

    def start(self, asked: Waiting, now: float) -> list[Action]:
        """Nothing comes before it any more. Raises ApiError."""
        if self._calls.is_closed:
            raise overloaded("relayd is shutting down", RETRY_SOON_S)
        decoded = asked.decoded
        request = decoded.request(self._conversations.held(decoded.name, now), self._config, asked.profile)
        choice = roads.choose(request, self._pool, self._calls.longest_wait_s(now), now)
        try:
            self.limits.check(asked.key, request, now, self._calls.unix_time(now))
        except ApiError as error:
            if not self._may_forward(asked, choice, error):
                raise
            call = self._calls.admit(asked, request, self._config)
            return [do.CancelTimer(asked.timer), *self._fallback.take(call, error, now)]
        if isinstance(choice, roads.GetProcess) and len(self._calls.queue) >= self._config.queue_max:
            raise overloaded("Overloaded: too many calls are waiting for a Claude Code process", RETRY_LATER_S)
        call = self._calls.admit(asked, request, self._config)
        if decoded.name is not None:
            call.lease = self._conversations.begin(decoded.name, now)
        return [do.CancelTimer(asked.timer), *self._take(call, choice, now)]

    def _may_forward(self, asked: Waiting, choice: roads.Choice, error: ApiError) -> bool:
        """True if another API may answer it; results of tools go to the process that waits for them, or to none."""
        return not isinstance(choice, roads.Resume) and self._fallback.may_answer(asked.decoded.original, error)

    def _take(self, call: Call, choice: roads.Choice, now: float) -> list[Action]:
        match choice:
            case roads.Resume(session):
                self._pool.lend(session, call.is_background)
                results = ev.ResultsBrought(call.number, call.request)
                return call.started(session.slot, Road.PARKED, now) + self._driver.drive(session, results, now)
            case roads.TypeNext(session, draft):
                self._pool.lend(session, call.is_background)
                message = ev.MessageBrought(call.number, call.request, draft)
                return call.started(session.slot, Road.WARM, now) + self._driver.drive(session, message, now)
            case roads.GetProcess(draft, outdated):
                call.draft = draft
                orders = self._calls.enqueue(call, now)
                if outdated is not None:
                    orders += self._driver.drive(outdated, ev.Retired("its conversation went another way"), now)
                return orders
