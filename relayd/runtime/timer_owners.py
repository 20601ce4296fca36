"""Whose a timer is: told by the type of its key. Those that are not the runtime's own belong to the core. Used by `server`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relayd.core import events as ev
from relayd.core.timers import CallTimer, RelayTimer, SlotTimer
from relayd.runtime.chores import Chores
from relayd.runtime.clients import Clients
from relayd.runtime.listener import Listener
from relayd.runtime.loop import Key, Loop
from relayd.runtime.slots import Slots
from relayd.runtime.store import Store
from relayd.runtime.timers import ChannelTimer, Chore, ListenerTimer, PollTimer, StoreTimer, StrangerTimer, UpstreamTimer
from relayd.runtime.upstreams import Upstreams


@dataclass(frozen=True)
class TimerOwners:
    """See the module's text. `emit` takes the core's."""

    loop: Loop
    clients: Clients
    slots: Slots
    listener: Listener
    chores: Chores
    upstreams: Upstreams
    store: Store
    emit: Callable[[ev.TimerFired], None]

    def fire(self, key: Key, now: float) -> None:
        """A timer has fired. Raises TypeError for one that nobody owns."""
        match key:
            case ChannelTimer() | StrangerTimer():
                self.clients.timer(key, now)
            case PollTimer(name, what):
                self.slots.timer(name, what, now)
            case ListenerTimer():
                self.loop.attempt(self.listener, self.listener.wake)
            case UpstreamTimer():
                self.upstreams.timer(key, now)
            case StoreTimer():
                self.store.timer(now)
            case Chore():
                self.chores.do(key, now)
            case SlotTimer() | CallTimer() | RelayTimer():
                self.emit(ev.TimerFired(key))
            case _:
                raise TypeError(f"nobody owns the timer {key!r}")
