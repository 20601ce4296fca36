"""The processes by name: made, told what the core orders, and taken away. Owned by `server.py`; the fds are in `slot.py`.

One exception costs one process: the core hears `SlotBroke` and ends it. What must go is noted before it is touched and
stays noted until it is gone, so that an exception in between leaves nothing for ever: `tidy` is called again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.runtime.children import Children
from relayd.runtime.files import PendingRemovals
from relayd.runtime.loop import Loop
from relayd.runtime.memory import resident_bytes
from relayd.runtime.slot import Slot
from relayd.runtime.timers import Chore, Poll

SlotOrder = (
    do.HurryGate
    | do.HandOver
    | do.WritePty
    | do.OpenEditor
    | do.SignalChild
    | do.ForgetTranscript
    | do.ReadBodies
    | do.MeasureMemory
)


class Slots:
    """See the module's text. `now` is monotonic seconds; `emit` takes facts for the core."""

    def __init__(self, config: Config, loop: Loop, emit: Callable[[ev.Event], None]) -> None:
        self._config = config
        self._loop = loop
        self._emit = emit
        self._slots: dict[str, Slot] = {}
        self._children = Children()
        self._leaving: list[str] = []  # they are to be removed
        self._pending_removals = PendingRemovals()

    def __repr__(self) -> str:
        return f"<Slots {len(self._slots)} {self._children!r} {self._pending_removals!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration for processes that come."""
        self._config = config

    def spawn(self, order: do.SpawnSlot, now: float) -> None:
        """Make a process. Never raises."""
        slot = None
        try:
            slot = Slot(order, self._config, self._loop, self._children, self._emit)
            self._slots[order.slot] = slot
            slot.spawn(now)
        except Exception as error:
            self.broke(order.slot, slot or order, error)

    def perform(self, order: SlotOrder, now: float) -> None:
        """An order for a process. Never raises."""
        slot = self._slots.get(order.slot)
        if slot is None:
            self._for_nobody(order)
            return
        try:
            _carry_out(slot, order, now)
        except Exception as error:
            self.broke(order.slot, slot, error)

    def _for_nobody(self, order: SlotOrder) -> None:
        """A process that could not even be set up, or was removed: what waits for its end is told that it has ended."""
        if isinstance(order, do.SignalChild):
            self._emit(ev.PtyClosed(order.slot))
            self._emit(ev.ChildExited(order.slot, 0))

    def timer(self, name: str, what: Poll, now: float) -> None:
        """One of a process's own timers. Never raises."""
        slot = self._slots.get(name)
        if slot is None:
            return
        try:
            slot.timer(what, now)
        except Exception as error:
            self.broke(name, slot, error)

    def reap(self) -> None:
        """A child has ended."""
        for name, status in self._children.reap():
            if name in self._slots:
                self._slots[name].exited()
            self._emit(ev.ChildExited(name, status))

    def broke(self, name: str, what: object, error: Exception) -> None:
        """An order for a process, or one of its timers, has failed. It may still run: the core ends it."""
        self._loop.report(what, error)
        self._emit(ev.SlotBroke(name, f"relayd met an error ({type(error).__name__})"))

    # Taken away

    def remove(self, name: str, now: float) -> None:
        """Close what it has, delete its files; what cannot be deleted yet is tried again."""
        self._leaving.append(name)
        self.tidy(now)

    def tidy(self, now: float) -> None:
        """Remove what is to go. The chore stays set until nothing is left, whatever goes wrong here."""
        self.tidy_later(now)
        while self._leaving:
            self._take_away(self._leaving[-1])
            self._leaving.pop()
        if self._pending_removals.remove():
            self._loop.cancel_timer(Chore.REMOVALS)

    def tidy_later(self, now: float) -> None:
        """Have `tidy` called in a moment."""
        self._loop.set_timer(Chore.REMOVALS, now + self._config.tidy_interval_s)

    def _take_away(self, name: str) -> None:
        """After a bug the slot is known still, and taken away again."""
        slot = self._slots.get(name)
        if slot is not None:
            self._pending_removals.add(slot.remove())
            del self._slots[name]

    def close(self) -> None:
        """The daemon ends: what lives still is hung up, and its files go."""
        for name, slot in list(self._slots.items()):
            try:
                self._take_away(name)
                self._pending_removals.remove()
            except Exception as error:  # costs these files: the next start sweeps them
                self._loop.report(slot, error)


def _carry_out(slot: Slot, order: SlotOrder, now: float) -> None:
    match order:
        case do.WritePty(_, data):
            slot.write(data)
        case do.HandOver():
            slot.hand_over(order, now)
        case do.HurryGate():
            slot.hurry(now)
        case do.OpenEditor(_, text, key):
            slot.edit(text, key)
        case do.SignalChild(_, name):
            slot.signal(name)
        case do.ForgetTranscript():
            slot.forget_transcript()
        case do.ReadBodies(_, then):
            slot.read_bodies(then)
        case do.MeasureMemory():
            slot.tell_memory(resident_bytes(slot.pid) if slot.pid else None)
        case _:
            assert_never(order)
