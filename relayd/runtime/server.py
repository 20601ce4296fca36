"""Joins the fds with the core: facts are queued for it, and its orders go to the performer. The daemon's turn.

Facts wait in one queue, so that the core is never entered twice. A timer is given to its owner (`timer_owners`), a signal
ends the daemon, has it read its configuration anew, or says that a child has ended.

One exception costs one thing. A fact that the core cannot take is dropped, with the connection that it came from. An
exception in the loop itself costs the rest of that turn: what was ready is ready in the next. The log gets the type and the
place of the error, never its text, which may quote a request.
"""

from __future__ import annotations

import signal
import socket
import time
from collections import deque
from collections.abc import Callable

from relayd.config import Config
from relayd.core import events as ev
from relayd.core.relay import Relay
from relayd.faults import describe
from relayd.runtime.chores import Chores
from relayd.runtime.clients import Clients
from relayd.runtime.listener import Listener
from relayd.runtime.loop import Key, Loop
from relayd.runtime.notify import Notifier
from relayd.runtime.performer import Files, Logger, Performer
from relayd.runtime.slots import Slots
from relayd.runtime.timer_owners import TimerOwners

HANG_UP = getattr(signal, "SIGHUP", None)
SIGNALS = (signal.SIGTERM, signal.SIGINT, *(getattr(signal, n) for n in ("SIGCHLD", "SIGHUP") if hasattr(signal, n)))
ENDING = (signal.SIGTERM, signal.SIGINT)
CALL_PATHS = ("/v1/messages", "/v1/chat/completions")
GOODBYE_S = 1.0  # at the end, how long answers under way may still drain
BAD_TURNS_MAX = 100  # in a row: then the daemon ends with the error, so that the service manager starts another
LOG_REST_S = 1.0  # after an error of the log, until it is asked again


class Server:
    """One daemon: listener, loop, children, core."""

    def __init__(
        self,
        config: Config,
        relay: Relay,
        listener: socket.socket,
        files: Files,
        log: Logger,
        notifier: Notifier,
        reload: Callable[[], Config | None] | None,
        examine: Callable[[], ev.ClaudeChanged],  # the `claude` that is there now, as the core is told of it
        keys: Callable[[], ev.KeysChanged] | None = None,  # the keys that are there now
    ) -> None:
        self.relay = relay
        self.loop = Loop(self._timer, self._signal, self._write_down)
        self._log = log
        self._reload = reload
        self._facts: deque[ev.Event] = deque()
        self._slots = Slots(config, self.loop, self._facts.append)
        self._clients = Clients(config, self.loop, self._facts.append, relay.access)
        emit = self._facts.append
        self._performer = Performer(self.loop, self._clients, self._slots, files, config.recent_calls_max, log, emit)
        self._chores = Chores(config, self.loop, self._slots, notifier, files.prompt_history, examine, emit, keys)
        self._listener = Listener(listener, self.loop, config.accepts_per_turn, self._clients.accept, self._clients.is_full)
        upstreams, store = self._performer.upstreams, self._performer.store
        self._owners = TimerOwners(self.loop, self._clients, self._slots, self._listener, self._chores, upstreams, store, emit)
        self.loop.catch(SIGNALS)  # before anybody is told that it runs

    def __repr__(self) -> str:
        return f"<Server {self._clients!r} {self._slots!r} {self.loop!r}>"

    def run(self) -> None:
        """Serve until told to end. Returns when nothing is left; raises what has gone wrong in BAD_TURNS_MAX turns in a row."""
        self.loop.touch(self._listener)
        now = time.monotonic()
        self._performer.orders.extend(self.relay.start(now))
        self._performer.carry_on(now)
        self._chores.begin(now)
        bad_turns = 0
        try:
            while not self.loop.stopping:
                try:
                    self._turn()
                    bad_turns = 0
                except Exception as error:  # costs nobody but time: what was not done waits in a queue, or in its fd
                    bad_turns += 1
                    if bad_turns >= BAD_TURNS_MAX:
                        raise
                    self.loop.report(self.loop, error)
        finally:
            self._end()

    def _turn(self) -> None:
        self._work()
        if self._performer.has_starts and not self.loop.stopping:
            self._performer.start_next()
            self._work()
        if not self.loop.stopping:
            longest_s = self._write_log()
            self.loop.turn(0.0 if self._performer.has_starts else longest_s)

    def _write_log(self) -> float | None:
        """Write what waits. A bug costs lines of the log: it must not keep the loop from turning, however often it comes."""
        try:
            return self._log.drain()
        except Exception as error:
            self.loop.report(self._log, error)
            return LOG_REST_S

    def _work(self) -> None:
        """Let the core take all facts; performing its orders may bring new ones."""
        self._performer.carry_on(time.monotonic())  # what a turn that went wrong has left
        while self._facts:
            fact = self._facts.popleft()
            now = time.monotonic()
            try:
                self._performer.orders.extend(self.relay.handle(fact, now))
            except Exception as error:
                self._drop(fact, error)
            if isinstance(fact, ev.ClientLeft):
                self._clients.left(fact.client)
                self.loop.attempt(self._listener, self.loop.touch, self._listener)  # there is room for another
            self._performer.carry_on(now)
            if isinstance(fact, ev.RequestArrived) and fact.request.path in CALL_PATHS:
                self.relay.journal.worked(time.monotonic() - now)

    def _drop(self, fact: ev.Event, error: Exception) -> None:
        """The core guards itself; this is for what it could not. The client pays that the fact came from, with its connection."""
        self.loop.report(fact, error)
        if isinstance(fact, (ev.RequestArrived, ev.RequestRefused, ev.FrameArrived, ev.ViewerCaughtUp)):
            self._clients.end(fact.client)

    def _write_down(self, what: object, error: Exception) -> None:
        """An exception that was caught. `what` shows itself without content."""
        self.relay.journal.faults += 1
        self._log("error", f"{type(what).__name__}: {describe(error)}")

    def _end(self) -> None:
        """Give answers a moment to drain, then close without asking."""
        self.loop.forget(self._listener)
        deadline = time.monotonic() + GOODBYE_S
        while self._clients.have_output and time.monotonic() < deadline:
            self.loop.turn(0.05)
        self._clients.close()
        self._performer.upstreams.close()
        self._slots.close()
        self._performer.store.close()
        self.loop.close()

    # What the loop tells

    def _timer(self, key: Key, now: float) -> None:
        self._owners.fire(key, now)

    def _signal(self, number: int, now: float) -> None:
        if number in ENDING or (number == HANG_UP and self._reload is None):  # a terminal was closed
            self._facts.append(ev.ShutdownAsked())  # first: nothing shall keep the daemon from ending
            self._log("info", f"{signal.Signals(number).name}: no new calls; running ones may finish")
            self._chores.told_to_end()
            return
        if number == HANG_UP:
            self._reconfigure()
            return
        self._slots.reap()

    def _reconfigure(self) -> None:
        """Take up the configuration anew; what is bound to the start stays as it is."""
        config = self._reload() if self._reload else None
        if config is not None:
            self._clients.reconfigure(config)
            self._slots.reconfigure(config)
            self._chores.reconfigure(config)
            self.relay.reconfigure(config)
