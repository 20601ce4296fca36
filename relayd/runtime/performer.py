"""Carries out what the core orders, in the order in which it comes. The only module that does.

An order that fails ends what it is about: the client's connection, so that the core hears `ClientLeft`, or the process,
of which it hears `SlotBroke`; any other order fails alone. Starts of processes are the exception to the order: each takes
5 to 20 ms, so that there is one in a turn of the loop, unless another order is about a process whose start still waits.
Owned by `server`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.runtime_events import UpstreamFact
from relayd.runtime.clients import ClientOrder, Clients
from relayd.runtime.files import write_private
from relayd.runtime.loop import Loop
from relayd.runtime.prompt_history import PromptHistories, PromptHistory
from relayd.runtime.records import LINES_PER_CALL, Records
from relayd.runtime.slots import SlotOrder, Slots
from relayd.runtime.store import Store, StoreFact, StoreOrder
from relayd.runtime.timers import Chore
from relayd.runtime.upstreams import Target, Upstreams


class Logger(Protocol):
    """Takes a level, a text, and facts by name; never waits."""

    def __call__(self, level: str, text: str, fields: dict[str, Any] | None = None) -> None: ...

    def drain(self) -> float | None:
        """Write what nobody has taken yet. In how many seconds to call again; None if nothing is left."""


@dataclass(frozen=True)
class Files:
    """Where the launch keys used lately, the records of recent calls and what is stored are; where Claude Code keeps prompts; and
    which API may answer instead of it.
    """

    keys: str
    records: str
    state: str
    prompt_history: PromptHistory | PromptHistories
    fallback: Target | None = None


class Performer:
    """See the module's text."""

    def __init__(
        self,
        loop: Loop,
        clients: Clients,
        slots: Slots,
        files: Files,
        records_max: int,
        log: Logger,
        emit: Callable[[StoreFact | UpstreamFact], None],
    ) -> None:
        self.store = Store(files.state, loop, emit)
        self._loop = loop
        self._clients = clients
        self._slots = slots
        self.upstreams = Upstreams(files.fallback, loop, emit, clients.backlog)
        self._keys_path = files.keys
        self._records = Records(files.records, LINES_PER_CALL * records_max, log)
        self._log = log
        self.orders: deque[Action] = deque()  # what waits; the server appends
        self._starts: deque[do.SpawnSlot] = deque()  # of these, one in a turn

    def __repr__(self) -> str:
        return f"<Performer {len(self.orders)} starts={len(self._starts)}>"

    @property
    def has_starts(self) -> bool:
        """True while a process waits to be started."""
        return bool(self._starts)

    def carry_on(self, now: float) -> None:
        """Carry out what waits."""
        while self.orders:
            order = self.orders.popleft()
            try:
                self._carry_out(order, now)
            except Exception as error:
                self._give_up(order, error, now)

    def start_next(self) -> None:
        """Start one process. Three starts in a row would be felt by everybody else."""
        if self._starts:
            self._start(self._starts.popleft())

    def _start(self, order: do.SpawnSlot) -> None:
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

    def _give_up(self, order: Action, error: Exception, now: float) -> None:
        """An order could not be carried out: what it is about ends, or the order is kept for later. The others go on."""
        self._loop.report(order, error)
        if isinstance(order, ClientOrder | do.SendFile):
            self._clients.end(order.client)
            return
        if isinstance(order, SlotOrder | do.SpawnSlot) and not isinstance(order, do.SignalChild):
            self._slots.broke(order.slot, order, error)
            return
        if isinstance(order, StoreOrder):
            self.store.broke(order, error)
            return
        match order:
            case do.RemoveSlot(name):
                self._slots.remove(name, now)
            case do.SetTimer(key, at):
                self._loop.set_timer(key, at)
            case do.Forward() | do.StopForward():
                self.upstreams.broke(order)
            case do.Finish():
                self._loop.stopping = True
            case _:
                pass  # a signal is sent again at its deadline; a timer too many, a line too few cost nobody a call

    def _carry_out(self, order: Action, now: float) -> None:
        if isinstance(order, ClientOrder):
            self._clients.perform(order, now)
            return
        if isinstance(order, do.SendFile):
            self._clients.send_file(order, self.store.path(order.path), now)
            return
        if isinstance(order, StoreOrder):
            self.store.perform(order, now)
            return
        if isinstance(order, SlotOrder):
            self._start_first(order.slot)
            self._slots.perform(order, now)
            return
        match order:
            case do.SetTimer(key, at):
                self._loop.set_timer(key, at)
            case do.CancelTimer(key):
                self._loop.cancel_timer(key)
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
            case do.Forward() | do.StopForward():
                self.upstreams.perform(order, now)
            case do.ForgetPrompts(at):
                self._loop.set_timer(Chore.PROMPT_HISTORY, at)
            case do.Finish():
                self._loop.stopping = True
            case _:
                assert_never(order)

    def _remember(self, data: bytes) -> None:
        try:
            write_private(self._keys_path, data)
        except OSError as error:
            self._log("warning", f"launch keys could not be kept: {error.strerror}")
