"""The hub: facts from the runtime go in, orders come out. Pure: it opens nothing and reads no clock.

`Relay.handle(event, now)` can be replayed from a log. The hub makes the parts of the core, gives each event to the one
that it is for, and lets the scheduler look afterwards. It decides nothing itself: see `http_api.py` for requests,
`roads.py` for the way of a call, `driver.py` for sessions, `ending.py` for the end.

An exception that leaves a part is contained here: the client and the process that the event names pay for it, nobody
else. The parts contain most of them earlier, where it is known what must be put away.
"""

from __future__ import annotations

import dataclasses
from typing import assert_never

from relayd.claude.launch import LaunchKey
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.engine import Engine
from relayd.core.front import Front
from relayd.core.host import Host
from relayd.core.session.states import State
from relayd.core.timers import CallDue, CallTimer, RelayDue, RelayTimer, SlotDue, SlotTimer
from relayd.errors import overloaded
from relayd.faults import describe
from relayd.http.access import Access

RETRY_AFTER_S = 10
AGAIN_S = 1.0  # after a bug


class Relay:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, keys: list[LaunchKey], port: int) -> None:
        self._config = config
        self._can = host.capabilities
        self.engine = Engine(self._effective(), host, keys)
        self.front = Front(self._effective(), host, self.engine)
        origins = frozenset(o.strip() for o in config.allowed_origins.split(",") if o.strip())
        names = frozenset(name.strip().lower() for name in config.allowed_hosts.split(",") if name.strip())
        self.access = Access(port, origins, host.keys, names)  # applied by the runtime, before a body comes
        self.pool = self.engine.pool
        self.calls = self.engine.calls
        self.journal = self.engine.journal

    def __repr__(self) -> str:
        return f"<Relay {self.calls!r} {self.pool!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on; calls and processes that run keep theirs."""
        self._config = config
        self.engine.reconfigure(self._effective())
        self.front.reconfigure(self._effective())

    def _effective(self) -> Config:
        """What the user has set, less what this `claude` cannot do."""
        return self._config if self._can.typing else dataclasses.replace(self._config, typing=False)

    def start(self, now: float) -> list[Action]:
        """The first orders: warm the pool."""
        self.engine.scheduler.ask()
        return self.front.storeroom.start(now) + self._schedule(now)

    def handle(self, event: ev.Event, now: float) -> list[Action]:
        """The orders that a fact brings, in the order in which they must be carried out. Never raises."""
        try:
            orders = self._handle(event, now)
        except Exception as error:
            orders = self._contain(event, error, now)
        orders += self._schedule(now)
        orders = self._batches(orders, now)
        try:
            self.front.http.mark_pages(orders)
        except Exception as error:
            orders.append(do.Log("error", f"an answer to a page met a bug: {describe(error)}"))
        return orders

    def _schedule(self, now: float) -> list[Action]:
        """Let the calls go on that can, then the pool. After a bug there everything is looked at again a moment later."""
        orders: list[Action] = []
        scheduler = self.engine.scheduler
        try:
            orders += self.front.intake.take_ready(now)
            if scheduler.is_due:
                orders += scheduler.assign_calls(now)
                orders += scheduler.refill(now)
                orders += scheduler.look_again(now)
        except Exception as error:
            log = do.Log("error", f"the scheduler met a bug: {describe(error)}")
            orders += [log, do.SetTimer(RelayTimer(RelayDue.REFILL), now + AGAIN_S)]
        return orders

    def _batches(self, orders: list[Action], now: float) -> list[Action]:
        """Answers that belong to batches become results; requests of batches go on. After a bug that is looked at again."""
        try:
            orders = self.front.storeroom.catch(orders, now)
            orders += self.front.storeroom.go_on(now)
        except Exception as error:
            log = do.Log("error", f"a batch met a bug: {describe(error)}")
            orders += [log, do.SetTimer(RelayTimer(RelayDue.STORED), now + AGAIN_S)]
        return orders

    def _handle(self, event: ev.Event, now: float) -> list[Action]:
        match event:
            case ev.PtyOutput():
                return self._slot(event, now) + self._look_on(event)
            case ev.RequestArrived():
                return self.front.http.answer(event, now)
            case ev.RequestRefused():
                return self.front.http.refuse(event, now)
            case ev.ClientLeft():
                return self._client_left(event.client, now)
            case ev.FrameArrived():
                return self.front.viewers.told(event.client, event.text, now)
            case ev.ViewerCaughtUp():
                return self.front.viewers.caught_up(event.client)
            case ev.TimerFired():
                return self._timer(event, now)
            case ev.ClaudeChanged():
                return self._claude_changed(event, now)
            case ev.MemoryMeasured(slot, size_bytes):
                self.pool.measured(slot, size_bytes)
                return []
            case ev.KeysChanged(token, named):
                self.access.keys.replace(token, named)
                return [do.Log("info", f"keys have changed: {self.access.keys!r}")]
            case ev.Stored() | ev.StoredRead() | ev.StoreFailed():
                return self.front.storeroom.told(event, now)
            case ev.ShutdownAsked():
                self.engine.scheduler.ask()
                return self.front.ending.asked(now)
            case ev.UpstreamAnswered() | ev.UpstreamSent() | ev.UpstreamEnded() | ev.UpstreamFailed():
                return self._upstream(event, now)
            case (
                ev.SlotSpawned()
                | ev.SpawnFailed()
                | ev.SlotBroke()
                | ev.GateOpened()
                | ev.PtyClosed()
                | ev.ChildExited()
                | ev.TranscriptGrew()
                | ev.RequestTold()
                | ev.AnswerTold()
                | ev.BodiesRead()
                | ev.HookArrived()
                | ev.HandOverFailed()
            ):
                return self._slot(event, now)
            case _:
                assert_never(event)

    def _slot(self, event: ev.SlotEvent, now: float) -> list[Action]:
        """A fact about a process; one of a process that is gone, or of a conversation that is over, is late and means nothing."""
        session = self.pool.sessions.get(event.slot)
        if session is None or (isinstance(event, ev.TranscriptGrew) and event.conversation != session.conversation):
            return []
        return self.engine.driver.drive(session, event, now)

    def _look_on(self, event: ev.PtyOutput) -> list[Action]:
        """Dashboards see what the terminal shows; their bugs are not the process's."""
        try:
            return self.front.viewers.output(event.slot, event.data) if self.front.viewers else []
        except Exception as error:
            return [do.Log("error", f"a dashboard met a bug: {describe(error)}")]

    def _client_left(self, client: int, now: float) -> list[Action]:
        self.front.http.client_left(client)
        self.front.viewers.left(client)
        orders = self.front.intake.client_left(client)
        call = self.calls.by_client.get(client)
        return orders + (self.engine.driver.abandon(call, now) if call is not None else [])

    def _claude_changed(self, event: ev.ClaudeChanged, now: float) -> list[Action]:
        """Another binary, or another verdict of the doctor: what waits is outdated, and what can be done is another thing."""
        self._can = event.capabilities
        self.reconfigure(self._config)
        self.engine.limits.updated(event.capabilities)
        orders: list[Action] = [do.Log("info", "claude has changed: waiting processes are replaced")]
        self.pool.launcher.updated(event.capabilities)
        for session in self.pool.updated():
            orders += self.engine.driver.drive(session, ev.Retired("claude was updated"), now)
        return orders

    def _upstream(self, event: ev.UpstreamFact, now: float) -> list[Action]:
        """A fact about an answer from elsewhere. The daemon may be waiting for the last of them."""
        if self.calls.is_closed:
            self.engine.scheduler.ask()
        return self.engine.fallback.told(event, now)

    # Time

    def _timer(self, event: ev.TimerFired, now: float) -> list[Action]:
        match event.key:
            case SlotTimer(slot, due):
                session = self.pool.sessions.get(slot)
                return self.engine.driver.drive(session, _slot_due(due), now) if session is not None else []
            case CallTimer(number, due):
                return self._call_due(number, due, now)
            case RelayTimer(due):
                return self._relay_due(due, now)
            case _:
                assert_never(event.key)

    def _tick(self, now: float) -> list[Action]:
        status = self.front.status
        return self.front.viewers.tick(status.dashboard(now), status.earlier, now)

    def _call_due(self, number: int, due: CallDue, now: float) -> list[Action]:
        if due is CallDue.TURN:
            return self.front.intake.give_up_waiting(number, now)
        call = self.calls.by_number.get(number)
        if call is None:
            return []
        if due is CallDue.HOLD:
            return call.hold_due(now)
        if due is CallDue.PING:
            return call.ping_due(now)
        if due is CallDue.FALLBACK:
            return self.engine.fallback.silent(call, now)
        error = overloaded("Overloaded: no Claude Code process came free in time", RETRY_AFTER_S)
        return self.engine.driver.end_call(call, error, now)

    def _relay_due(self, due: RelayDue, now: float) -> list[Action]:
        match due:
            case RelayDue.REFILL:
                self.engine.scheduler.ask()
                return []
            case RelayDue.EXPIRE:
                return self.engine.scheduler.expire(now)
            case RelayDue.STORED:
                return self.front.storeroom.look(now)
            case RelayDue.VIEWERS:
                return self._tick(now) if self.front.viewers else []
            case RelayDue.FORCE:
                self.engine.scheduler.ask()
                return self.front.ending.force(now)
            case RelayDue.LEAVE:
                return self.front.ending.leave()
            case _:
                assert_never(due)

    # Bugs

    def _contain(self, event: ev.Event, error: Exception, now: float) -> list[Action]:
        """A bug that no part has contained: end the call and the session that the event names."""
        orders: list[Action] = [do.Log("error", f"{type(event).__name__} met a bug: {describe(error)}")]
        client, call = 0, None
        try:
            orders += self._ask_again(event, now)
            client, slot = _named(event)
            call = self.calls.by_number.get(_call_of(event)) or self.calls.by_client.get(client)
            if call is not None:
                orders += self.engine.driver.lose_call(call, error, now)
            session = self.pool.sessions.get(slot)
            if session is not None and session.state is not State.DEAD:
                orders += self.engine.driver.fail_session(session, error, now)
        except Exception as second:
            orders.append(do.Log("error", f"and another while it was put away: {describe(second)}"))
        if client and call is None:
            orders.append(do.CloseClient(client))
        return orders

    def _ask_again(self, event: ev.Event, now: float) -> list[Action]:
        """What must not be lost with a bug: a deadline passes once more a moment later, who waits for the disk is told, and the
        daemon ends, without haste.
        """
        match event:
            case ev.TimerFired(key):
                return [do.SetTimer(key, now + AGAIN_S)]
            case ev.Stored(ticket) | ev.StoredRead(ticket) | ev.StoreFailed(ticket):
                return self.front.storeroom.failed(ticket, "a bug", now)
            case ev.ShutdownAsked():
                self.calls.is_closed = True
                return [do.SetTimer(RelayTimer(RelayDue.FORCE), now + self._config.shutdown_limit_s)]
            case _:
                return []


def _slot_due(due: SlotDue) -> ev.SessionEvent:
    match due:
        case SlotDue.STATE | SlotDue.LAG:
            return ev.DeadlinePassed(due)
        case SlotDue.DIALOG:
            return ev.DialogSettled()
        case SlotDue.PROMPT:
            return ev.PromptSettled()
        case SlotDue.FORGET:
            return ev.ForgetDue()
        case SlotDue.RESULTS:
            return ev.ResultDue()
        case SlotDue.LINES:
            return ev.LinesOverdue()
        case SlotDue.WITNESS:
            return ev.WitnessOverdue()
        case _:
            assert_never(due)


def _named(event: ev.Event) -> tuple[int, str]:
    """The client and the slot that an event is about; 0 and empty if it is about none."""
    match event:
        case ev.RequestArrived(client) | ev.RequestRefused(client) | ev.ClientLeft(client):
            return client, ""
        case ev.FrameArrived(client) | ev.ViewerCaughtUp(client):
            return client, ""
        case ev.TimerFired(SlotTimer(slot)):
            return 0, slot
        case ev.TimerFired() | ev.ClaudeChanged() | ev.KeysChanged() | ev.ShutdownAsked():
            return 0, ""
        case ev.UpstreamAnswered() | ev.UpstreamSent() | ev.UpstreamEnded() | ev.UpstreamFailed():
            return 0, ""
        case ev.Stored() | ev.StoredRead() | ev.StoreFailed():
            return 0, ""
        case _:
            return 0, event.slot


def _call_of(event: ev.Event) -> int:
    match event:
        case ev.TimerFired(CallTimer(number)):
            return number
        case ev.UpstreamAnswered(number) | ev.UpstreamSent(number) | ev.UpstreamEnded(number) | ev.UpstreamFailed(number):
            return number
        case _:
            return 0
