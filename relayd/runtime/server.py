"""Joins the fds with the core: facts are queued for it, its orders are performed. The only module that does.

Facts wait in one queue, so that the core is never entered twice; orders are carried out in the order
they come. A timer is given to its owner by the type of its key (`timers`); keys that are not the
runtime's own belong to the core.

One exception costs one thing. An order that fails ends what it is about: the client's connection, so
that the core hears `ClientLeft`, or the process, of which it hears `SlotBroke`; any other order fails
alone. A fact that the core cannot take is dropped, with the connection that it came from. An exception
in the loop itself costs the rest of that turn: what was ready is ready in the next. The log gets the
type and the place of the error, never its text, which may quote a request.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.relay import Relay
from relayd.core.timers import CallTimer, RelayTimer, SlotTimer
from relayd.faults import describe
from relayd.runtime.clients import Clients
from relayd.runtime.files import write_private
from relayd.runtime.listener import Listener
from relayd.runtime.loop import Key, Loop
from relayd.runtime.notify import Notifier
from relayd.runtime.prompt_history import PromptHistory
from relayd.runtime.records import Records
from relayd.runtime.slots import Slots
from relayd.runtime.timers import ChannelTimer, Chore, ListenerTimer, PollTimer, StrangerTimer

HANG_UP = getattr(signal, "SIGHUP", None)
SIGNALS = (signal.SIGTERM, signal.SIGINT, *(getattr(signal, n) for n in ("SIGCHLD", "SIGHUP") if hasattr(signal, n)))
ENDING = (signal.SIGTERM, signal.SIGINT)
CALL_PATHS = ("/v1/messages", "/v1/chat/completions")
GOODBYE_S = 1.0  # at the end, how long answers under way may still drain
BAD_TURNS_MAX = 100  # in a row: then the daemon ends with the error, so that the service manager starts another
LOG_REST_S = 1.0  # after an error of the log, until it is asked again
CHORE_REST_S = 5.0  # after an error in one of the daemon's own chores, until it is tried again


class Logger(Protocol):
    """Takes a level, a text, and facts by name; never waits."""

    def __call__(self, level: str, text: str, fields: dict[str, Any] | None = None) -> None: ...

    def drain(self) -> float | None:
        """Write what nobody has taken yet. In how many seconds to call again; None if nothing is left."""


@dataclass(frozen=True)
class Files:
    """Where the daemon keeps the launch keys used lately and the records of recent calls; where Claude Code keeps prompts."""

    keys: str
    records: str
    prompt_history: PromptHistory


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
    ) -> None:
        self.relay = relay
        self.loop = Loop(self._timer, self._signal, self._write_down)
        self._config = config
        self._keys_path = files.keys
        self._prompt_history = files.prompt_history
        self._records = Records(files.records, config.recent_calls_max, log)
        self._log = log
        self._notifier = notifier
        self._reload = reload
        self._facts: deque[ev.Event] = deque()
        self._orders: deque[Action] = deque()
        self._starts: deque[do.SpawnSlot] = deque()  # of these, one in a turn
        self._slots = Slots(config, self.loop, self._facts.append)
        self._clients = Clients(config, self.loop, self._facts.append, relay.access)
        self._examine = examine
        self._found = examine()
        self._listener = Listener(listener, self.loop, config.accepts_per_turn, self._clients.accept, self._clients.is_full)
        self.loop.catch(SIGNALS)  # before anybody is told that it runs

    def __repr__(self) -> str:
        return f"<Server {self._clients!r} {self._slots!r} {self.loop!r}>"

    def run(self) -> None:
        """Serve until told to end. Returns when nothing is left; raises what has gone wrong in BAD_TURNS_MAX turns in a row."""
        self.loop.touch(self._listener)
        now = time.monotonic()
        self.loop.set_timer(Chore.BINARY, now + self._config.binary_check_s)
        self._perform(self.relay.start(now), now)
        self._notifier.tell("READY=1")
        self._watch(now)
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
        if self._starts and not self.loop.stopping:
            self._start(self._starts.popleft())
            self._work()
        if not self.loop.stopping:
            longest_s = self._write_log()
            self.loop.turn(0.0 if self._starts else longest_s)

    def _start(self, order: do.SpawnSlot) -> None:
        """Start one process. It takes 5 to 20 ms, so there is one in a turn: three in a row would be felt by everybody else."""
        now = time.monotonic()
        try:
            self._slots.spawn(order, now)
        except Exception as error:
            self._give_up(order, error, now)

    def _start_first(self, slot: str) -> None:
        """An order is about a process whose start still waits for its turn."""
        for order in [order for order in self._starts if order.slot == slot]:
            self._starts.remove(order)
            self._start(order)

    def _write_log(self) -> float | None:
        """Write what waits. A bug costs lines of the log: it must not keep the loop from turning, however often it comes."""
        try:
            return self._log.drain()
        except Exception as error:
            self.loop.report(self._log, error)
            return LOG_REST_S

    def _work(self) -> None:
        """Let the core take all facts; performing its orders may bring new ones."""
        self._carry_on(time.monotonic())  # what a turn that went wrong has left
        while self._facts:
            fact = self._facts.popleft()
            now = time.monotonic()
            try:
                self._orders.extend(self.relay.handle(fact, now))
            except Exception as error:
                self._drop(fact, error)
            if isinstance(fact, ev.ClientLeft):
                self._clients.left(fact.client)
                self.loop.attempt(self._listener, self.loop.touch, self._listener)  # there is room for another
            self._carry_on(now)
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
        self._slots.close()
        self.loop.close()

    # What the loop tells

    def _timer(self, key: Key, now: float) -> None:
        match key:
            case ChannelTimer() | StrangerTimer():
                self._clients.timer(key, now)
            case PollTimer(name, what):
                self._slots.timer(name, what, now)
            case ListenerTimer():
                self.loop.attempt(self._listener, self._listener.wake)
            case Chore():
                self._do_chore(key, now)
            case SlotTimer() | CallTimer() | RelayTimer():
                self._facts.append(ev.TimerFired(key))
            case _:
                raise TypeError(f"nobody owns the timer {key!r}")

    def _do_chore(self, chore: Chore, now: float) -> None:
        try:
            match chore:
                case Chore.WATCHDOG:
                    self._watch(now)
                case Chore.BINARY:
                    self._check_binary(now)
                case Chore.PROMPT_HISTORY:
                    self._clean_prompt_history(now)
                case Chore.REMOVALS:
                    self._slots.tidy(now)
        except Exception as error:
            self.loop.report(chore, error)
            self.loop.set_timer(chore, now + CHORE_REST_S)

    def _signal(self, number: int, now: float) -> None:
        if number in ENDING or (number == HANG_UP and self._reload is None):  # a terminal was closed
            self._facts.append(ev.ShutdownAsked())  # first: nothing shall keep the daemon from ending
            self._log("info", f"{signal.Signals(number).name}: no new calls; running ones may finish")
            self._notifier.tell("STOPPING=1")
            return
        if number == HANG_UP:
            self._reconfigure()
            return
        self._slots.reap()

    def _reconfigure(self) -> None:
        """Take up the configuration anew; what is bound to the start stays as it is."""
        config = self._reload() if self._reload else None
        if config is not None:
            self._config = config
            self._clients.reconfigure(config)
            self._slots.reconfigure(config)
            self.relay.reconfigure(config)

    def _watch(self, now: float) -> None:
        """Tell the watchdog that the loop turns."""
        if self._notifier.watchdog_s:
            self._notifier.tell("WATCHDOG=1")
            self.loop.set_timer(Chore.WATCHDOG, now + self._notifier.watchdog_s / 2, forgiven=False)

    def _clean_prompt_history(self, now: float) -> None:
        if not self._prompt_history.forget():  # somebody writes
            self.loop.set_timer(Chore.PROMPT_HISTORY, now + self._config.forget_after_s)

    def _check_binary(self, now: float) -> None:
        self.loop.set_timer(Chore.BINARY, now + self._config.binary_check_s)
        found = self._examine()
        if found != self._found:
            self._found = found
            self._facts.append(found)

    # What the core orders

    def _perform(self, orders: list[Action], now: float) -> None:
        self._orders.extend(orders)
        self._carry_on(now)

    def _carry_on(self, now: float) -> None:
        while self._orders:
            order = self._orders.popleft()
            try:
                self._carry_out(order, now)
            except Exception as error:
                self._give_up(order, error, now)

    def _give_up(self, order: Action, error: Exception, now: float) -> None:
        """An order could not be carried out: what it is about ends, or the order is kept for later. The others go on."""
        self.loop.report(order, error)
        match order:
            case (
                do.Respond()
                | do.StartStream()
                | do.SendChunk()
                | do.EndStream()
                | do.Upgrade()
                | do.SendFrame()
                | do.CloseClient()
            ):
                self._clients.end(order.client)
            case do.HurryGate() | do.HandOver() | do.WritePty() | do.OpenEditor() | do.ForgetTranscript() | do.SpawnSlot():
                self._slots.broke(order.slot, order, error)
            case do.RemoveSlot(name):
                self._slots.remove(name, now)
            case do.SetTimer(key, at):
                self.loop.set_timer(key, at)
            case do.Finish():
                self.loop.stopping = True
            case _:
                pass  # a signal is sent again at its deadline; a timer too many, a line too few cost nobody a call

    def _carry_out(self, order: Action, now: float) -> None:
        match order:
            case (
                do.SendChunk()
                | do.Respond()
                | do.StartStream()
                | do.EndStream()
                | do.Upgrade()
                | do.SendFrame()
                | do.CloseClient()
            ):
                self._clients.perform(order, now)
            case do.SetTimer(key, at):
                self.loop.set_timer(key, at)
            case do.CancelTimer(key):
                self.loop.cancel_timer(key)
            case do.HurryGate() | do.HandOver() | do.WritePty() | do.OpenEditor() | do.SignalChild() | do.ForgetTranscript():
                self._start_first(order.slot)
                self._slots.perform(order, now)
            case do.SpawnSlot():
                self._starts.append(order)
            case do.RemoveSlot(name):
                self._start_first(name)
                self._slots.remove(name, now)
            case do.Log(level, text, fields):
                self._log(level, text, fields)
            case do.Record(line):
                self._records.append(line)
            case do.Remember(data):
                self._remember(data)
            case do.ForgetPrompts(at):
                self.loop.set_timer(Chore.PROMPT_HISTORY, at)
            case do.Finish():
                self.loop.stopping = True
            case _:
                assert_never(order)

    def _remember(self, data: bytes) -> None:
        try:
            write_private(self._keys_path, data)
        except OSError as error:
            self._log("warning", f"launch keys could not be kept: {error.strerror}")


def fingerprint(path: str) -> str:
    """What tells one `claude` binary from another: the file behind the name, its size and time. Empty if it is gone."""
    try:
        real = os.path.realpath(path)
        info = os.stat(real)
    except OSError:
        return ""
    return f"{real}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"
