"""Joins the fds with the core: facts are queued for it, its orders are performed. The only module that does.

Facts wait in one queue, so that the core is never entered twice; orders are carried out in the order
they come. A timer is given to its owner by the type of its key (`timers`); keys that are not the
runtime's own belong to the core.

One exception costs one thing. An order that fails ends what it is about: the client's connection, so
that the core hears `ClientLeft`, or the process, of which it hears `SlotBroke`; any other order fails
alone. A fact that the core cannot take is dropped, with the connection that it came from. The log
gets the type and the place of the error, never its text, which may quote a request.
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
from relayd.runtime.children import Children
from relayd.runtime.clients import Clients
from relayd.runtime.files import Litter, write_private
from relayd.runtime.forget import PromptHistory
from relayd.runtime.listener import Listener
from relayd.runtime.loop import Key, Loop
from relayd.runtime.notify import Notifier
from relayd.runtime.records import Records
from relayd.runtime.slot import Slot
from relayd.runtime.timers import ChannelTimer, Chore, ListenerTimer, PollTimer, StrangerTimer

HANG_UP = getattr(signal, "SIGHUP", None)
SIGNALS = (signal.SIGTERM, signal.SIGINT, *(getattr(signal, n) for n in ("SIGCHLD", "SIGHUP") if hasattr(signal, n)))
ENDING = (signal.SIGTERM, signal.SIGINT)
CALL_PATHS = ("/v1/messages", "/v1/chat/completions")
GOODBYE_S = 1.0  # at the end, how long answers under way may still drain
CHORE_REST_S = 5.0  # after an error in one of the daemon's own chores, until it is tried again
SlotOrder = do.HurryGate | do.HandOver | do.WritePty | do.OpenEditor | do.SignalChild | do.ForgetTranscript


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
    prompts: PromptHistory


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
        self._prompts = files.prompts
        self._records = Records(files.records, config.recent_calls_max, log)
        self._log = log
        self._notifier = notifier
        self._reload = reload
        self._facts: deque[Any] = deque()
        self._children = Children()
        self._litter = Litter()
        self._slots: dict[str, Slot] = {}
        self._clients = Clients(config, self.loop, self._facts.append, relay.access)
        self._examine = examine
        self._found = examine()
        self._listener = Listener(listener, self.loop, config.accepts_per_turn, self._clients.accept, self._clients.is_full)
        self.loop.catch(SIGNALS)  # before anybody is told that it runs

    def __repr__(self) -> str:
        return f"<Server {self._clients!r} slots={len(self._slots)} {self.loop!r}>"

    def run(self) -> None:
        """Serve until told to end. Returns when nothing is left."""
        self.loop.touch(self._listener)
        now = time.monotonic()
        self.loop.set_timer(Chore.BINARY, now + self._config.binary_check_s)
        self._perform(self.relay.start(now), now)
        self._notifier.tell("READY=1")
        self._watch(now)
        try:
            while True:
                self._work()
                if self.loop.stopping:
                    break
                self.loop.turn(self._log.drain())
        finally:
            self._end()

    def _work(self) -> None:
        """Let the core take all facts; performing its orders may bring new ones."""
        while self._facts:
            fact = self._facts.popleft()
            now = time.monotonic()
            self._perform(self._orders(fact, now), now)
            if isinstance(fact, ev.RequestArrived) and fact.request.path in CALL_PATHS:
                self.relay.journal.worked(time.monotonic() - now)

    def _orders(self, fact: Any, now: float) -> list[Action]:
        """What the core wants. It guards itself; this is for what it could not."""
        try:
            if isinstance(fact, ev.ClientLeft):
                self._clients.left(fact.client)
                self.loop.attempt(self._listener, self.loop.touch, self._listener)  # there is room for another
            return self.relay.handle(fact, now)
        except Exception as error:
            self.loop.report(fact, error)
            if isinstance(fact, (ev.RequestArrived, ev.RequestRefused, ev.FrameArrived, ev.ViewerCaughtUp)):
                self._clients.end(fact.client)
            return []

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
        for slot in list(self._slots.values()):
            try:
                self._litter.remove(slot.remove())
            except Exception as error:
                self.loop.report(slot, error)
        self.loop.close()

    # What the loop tells

    def _timer(self, key: Key, now: float) -> None:
        match key:
            case ChannelTimer() | StrangerTimer():
                self._clients.timer(key, now)
            case PollTimer(name, what):
                self._slot_timer(name, what, now)
            case ListenerTimer():
                self.loop.attempt(self._listener, self._listener.wake)
            case Chore():
                self._do_chore(key, now)
            case SlotTimer() | CallTimer() | RelayTimer():
                self._facts.append(ev.TimerFired(key))
            case _:
                raise TypeError(f"nobody owns the timer {key!r}")

    def _slot_timer(self, name: str, what: str, now: float) -> None:
        slot = self._slots.get(name)
        if slot is None:
            return
        try:
            slot.timer(what, now)
        except Exception as error:
            self._slot_broke(name, slot, error)

    def _do_chore(self, chore: Chore, now: float) -> None:
        try:
            match chore:
                case Chore.WATCHDOG:
                    self._watch(now)
                case Chore.BINARY:
                    self._check_binary(now)
                case Chore.PROMPTS:
                    self._forget_prompts(now)
                case Chore.LITTER:
                    self._tidy(now)
        except Exception as error:
            self.loop.report(chore, error)
            self.loop.set_timer(chore, now + CHORE_REST_S)

    def _signal(self, number: int, now: float) -> None:
        if number in ENDING or (number == HANG_UP and self._reload is None):  # a terminal was closed
            self._log("info", f"{signal.Signals(number).name}: no new calls; running ones may finish")
            self._notifier.tell("STOPPING=1")
            self._facts.append(ev.ShutdownAsked())
            return
        if number == HANG_UP:
            self._reconfigure()
            return
        for slot, status in self._children.reap():
            if slot in self._slots:
                self._slots[slot].exited()
            self._facts.append(ev.ChildExited(slot, status))

    def _reconfigure(self) -> None:
        """Take up the configuration anew; what is bound to the start stays as it is."""
        config = self._reload() if self._reload else None
        if config is not None:
            self._config = config
            self._clients.reconfigure(config)
            self.relay.reconfigure(config)

    def _watch(self, now: float) -> None:
        """Tell the watchdog that the loop turns."""
        if self._notifier.watchdog_s:
            self._notifier.tell("WATCHDOG=1")
            self.loop.set_timer(Chore.WATCHDOG, now + self._notifier.watchdog_s / 2, forgiven=False)

    def _tidy(self, now: float, paths: tuple[str, ...] = ()) -> None:
        if not self._litter.remove(paths):
            self.loop.set_timer(Chore.LITTER, now + self._config.tidy_interval_s)

    def _forget_prompts(self, now: float) -> None:
        if not self._prompts.forget():  # somebody writes
            self.loop.set_timer(Chore.PROMPTS, now + self._config.forget_after_s)

    def _check_binary(self, now: float) -> None:
        self.loop.set_timer(Chore.BINARY, now + self._config.binary_check_s)
        found = self._examine()
        if found != self._found:
            self._found = found
            self._facts.append(found)

    # What the core orders

    def _perform(self, orders: list[Action], now: float) -> None:
        for order in orders:
            try:
                self._carry_out(order, now)
            except Exception as error:  # of an order that is about no client and no process
                self.loop.report(order, error)

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
                self._for_slot(order, now)
            case do.SpawnSlot():
                self._spawn(order, now)
            case do.RemoveSlot(name):
                self._remove(name, now)
            case do.Log(level, text, fields):
                self._log(level, text, fields)
            case do.Record(line):
                self._records.append(line)
            case do.Remember(data):
                self._remember(data)
            case do.ForgetPrompts(at):
                self.loop.set_timer(Chore.PROMPTS, at)
            case do.Finish():
                self.loop.stopping = True
            case _:
                assert_never(order)

    def _spawn(self, order: do.SpawnSlot, now: float) -> None:
        slot = None
        try:
            slot = Slot(order, self._config, self.loop, self._children, self._facts.append)
            self._slots[order.slot] = slot
            slot.spawn(now)
        except Exception as error:
            self._slot_broke(order.slot, slot or order, error)

    def _for_slot(self, order: SlotOrder, now: float) -> None:
        slot = self._slots.get(order.slot)
        if slot is None:
            self._for_no_slot(order)
            return
        try:
            self._drive(slot, order, now)
        except Exception as error:
            self._slot_broke(order.slot, slot, error)

    def _drive(self, slot: Slot, order: SlotOrder, now: float) -> None:
        match order:
            case do.WritePty(_, data):
                slot.write(data)
            case do.HandOver(_, transcript, system_prompt):
                slot.hand_over(transcript, system_prompt, now)
            case do.HurryGate():
                slot.hurry(now)
            case do.OpenEditor(_, text, key):
                slot.edit(text, key)
            case do.SignalChild(_, name):
                slot.signal(name)
            case do.ForgetTranscript():
                slot.forget_transcript()
            case _:
                assert_never(order)

    def _for_no_slot(self, order: SlotOrder) -> None:
        """A process that could not even be set up, or was removed: what waits for its end is told that it has ended."""
        if isinstance(order, do.SignalChild):
            self._facts.extend((ev.PtyClosed(order.slot), ev.ChildExited(order.slot, 0)))

    def _slot_broke(self, name: str, what: object, error: Exception) -> None:
        """An order for a process, or one of its timers, has failed. It may still run: the core ends it."""
        self.loop.report(what, error)
        self._facts.append(ev.SlotBroke(name, f"relayd met an error ({type(error).__name__})"))

    def _remove(self, name: str, now: float) -> None:
        slot = self._slots.pop(name, None)
        if slot:
            self._tidy(now, slot.remove())

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
