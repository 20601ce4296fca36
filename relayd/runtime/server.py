"""Joins the fds with the core: facts are queued for it, its orders are performed. The only module that does.

Facts wait in one queue, so that the core is never entered twice; orders are carried out in the order
they come. Timers are told apart by the first word of their key: `channel` and `runtime` are the
runtime's own, everything else belongs to the core.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.relay import Relay
from relayd.core.timers import CallTimer, RelayTimer, SlotTimer
from relayd.runtime.channel import Channel
from relayd.runtime.channel import Stage as ChannelStage
from relayd.runtime.children import Children
from relayd.runtime.files import Litter, write_private
from relayd.runtime.forget import PromptHistory
from relayd.runtime.listener import Listener
from relayd.runtime.loop import Key, Loop
from relayd.runtime.notify import Notifier
from relayd.runtime.peer import peer_uid
from relayd.runtime.records import Records
from relayd.runtime.slot import Slot
from relayd.runtime.system import is_ours

HANG_UP = getattr(signal, "SIGHUP", None)
SIGNALS = (signal.SIGTERM, signal.SIGINT, *(getattr(signal, n) for n in ("SIGCHLD", "SIGHUP") if hasattr(signal, n)))
ENDING = (signal.SIGTERM, signal.SIGINT)
CALL_PATHS = ("/v1/messages", "/v1/chat/completions")
GOODBYE_S = 1.0  # at the end, how long answers under way may still drain


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
        self.loop = Loop(self._timer, self._signal)
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
        self._channels: dict[int, Channel] = {}
        self._numbers = 0
        self._examine = examine
        self._found = examine()
        self._listener = Listener(listener, self.loop, config.accepts_per_turn, self._accepted, self._is_full)
        self.loop.catch(SIGNALS)  # before anybody is told that it runs

    def __repr__(self) -> str:
        return f"<Server channels={len(self._channels)} slots={len(self._slots)} {self.loop!r}>"

    def run(self) -> None:
        """Serve until told to end. Returns when nothing is left."""
        self.loop.touch(self._listener)
        now = time.monotonic()
        self.loop.set_timer(("runtime", "", "binary"), now + self._config.binary_check_s)
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
            if isinstance(fact, ev.ClientLeft):
                self._channels.pop(fact.client, None)
                self.loop.touch(self._listener)
            self._perform(self.relay.handle(fact, now), now)
            if isinstance(fact, ev.RequestArrived) and fact.request.path.startswith(CALL_PATHS):
                self.relay.journal.worked(time.monotonic() - now)

    def _end(self) -> None:
        """Give answers a moment to drain, then close without asking."""
        self.loop.forget(self._listener)
        deadline = time.monotonic() + GOODBYE_S
        while (
            any(c.stage is ChannelStage.CLOSING or c.wants() & 2 for c in self._channels.values()) and time.monotonic() < deadline
        ):
            self.loop.turn(0.05)
        for channel in list(self._channels.values()):
            channel.abort()
        for slot in list(self._slots.values()):
            self._litter.remove(slot.remove())
        self.loop.close()

    # What the loop tells

    def _timer(self, key: Key, now: float) -> None:
        if isinstance(key, (SlotTimer, CallTimer, RelayTimer)):
            self._facts.append(ev.TimerFired(key))
            return
        assert isinstance(key, tuple)
        kind, name, what = key
        if kind == "channel":
            channel = self._channels.get(int(name))
            if channel:
                channel.timer(what, now)
        elif kind == "runtime" and name:
            slot = self._slots.get(name)
            if slot:
                slot.timer(what, now)
        elif kind == "runtime" and what == "prompts":
            self._forget_prompts(now)
        elif kind == "runtime" and what == "litter":
            self._tidy(now)
        elif kind == "runtime" and what == "watchdog":
            self._watch(now)
        elif kind == "runtime":
            self._check_binary(now)
        elif kind == "listener":
            self._listener.wake()

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
            self.relay.reconfigure(config)

    def _watch(self, now: float) -> None:
        """Tell the watchdog that the loop turns."""
        if self._notifier.watchdog_s:
            self._notifier.tell("WATCHDOG=1")
            self.loop.set_timer(("runtime", "", "watchdog"), now + self._notifier.watchdog_s / 2)

    def _tidy(self, now: float, paths: tuple[str, ...] = ()) -> None:
        if not self._litter.remove(paths):
            self.loop.set_timer(("runtime", "", "litter"), now + self._config.tidy_interval_s)

    def _forget_prompts(self, now: float) -> None:
        if not self._prompts.forget():  # somebody writes
            self.loop.set_timer(("runtime", "", "prompts"), now + self._config.forget_after_s)

    def _check_binary(self, now: float) -> None:
        self.loop.set_timer(("runtime", "", "binary"), now + self._config.binary_check_s)
        found = self._examine()
        if found != self._found:
            self._found = found
            self._facts.append(found)

    def _is_full(self) -> bool:
        """Enough connections, and none of them idle: an idle one gives way."""
        return len(self._channels) >= self._config.connections_max and self._idle() is None

    def _idle(self) -> Channel | None:
        """The oldest connection that does nothing."""
        return next((c for c in self._channels.values() if c.is_idle), None)

    def _accepted(self, sock: socket.socket, now: float) -> None:
        if len(self._channels) >= self._config.connections_max:
            idle = self._idle()
            if idle is not None:
                del self._channels[idle.number]
                idle.abort()
        self._numbers += 1
        is_stranger = self._config.same_user and not is_ours(peer_uid(sock))
        channel = Channel(self._numbers, sock, self._config, self.loop, self._facts.append, now, is_stranger)
        self._channels[channel.number] = channel
        self.loop.touch(channel)

    # What the core orders

    def _perform(self, orders: list[Action], now: float) -> None:
        for order in orders:
            PERFORMERS[type(order)](self, order, now)

    def _respond(self, order: do.Respond, now: float) -> None:
        channel = self._channels.get(order.client)
        if channel:
            channel.respond(order.status, order.headers, order.body, now)

    def _start_stream(self, order: do.StartStream, now: float) -> None:
        channel = self._channels.get(order.client)
        if channel:
            channel.start_stream(order.status, order.headers, now)

    def _send_chunk(self, order: do.SendChunk, now: float) -> None:
        channel = self._channels.get(order.client)
        if channel:
            channel.chunk(order.data, now)

    def _end_stream(self, order: do.EndStream, now: float) -> None:
        channel = self._channels.get(order.client)
        if channel:
            channel.end_stream(now)

    def _upgrade(self, order: do.Upgrade, now: float) -> None:
        channel = self._channels.get(order.client)
        if channel:
            channel.upgrade(now)

    def _send_frame(self, order: do.SendFrame, now: float) -> None:
        channel = self._channels.get(order.client)
        if channel:
            channel.send_frame(order.text, now)

    def _close_client(self, order: do.CloseClient, now: float) -> None:
        channel = self._channels.get(order.client)
        if channel:
            channel.abort()

    def _spawn(self, order: do.SpawnSlot, now: float) -> None:
        slot = Slot(order, self._config, self.loop, self._children, self._facts.append)
        self._slots[order.slot] = slot
        slot.spawn(now)

    def _hurry(self, order: do.HurryGate, now: float) -> None:
        self._slots[order.slot].hurry(now)

    def _hand_over(self, order: do.HandOver, now: float) -> None:
        self._slots[order.slot].hand_over(order.transcript, order.system_prompt, now)

    def _write_pty(self, order: do.WritePty, now: float) -> None:
        self._slots[order.slot].write(order.data)

    def _edit(self, order: do.OpenEditor, now: float) -> None:
        self._slots[order.slot].edit(order.text, order.key)

    def _signal_child(self, order: do.SignalChild, now: float) -> None:
        self._slots[order.slot].signal(order.name)

    def _remove(self, order: do.RemoveSlot, now: float) -> None:
        self._tidy(now, self._slots.pop(order.slot).remove())

    def _set_timer(self, order: do.SetTimer, now: float) -> None:
        self.loop.set_timer(order.key, order.at)

    def _cancel_timer(self, order: do.CancelTimer, now: float) -> None:
        self.loop.cancel_timer(order.key)

    def _write_log(self, order: do.Log, now: float) -> None:
        self._log(order.level, order.text, order.fields)

    def _record(self, order: do.Record, now: float) -> None:
        self._records.append(order.line)

    def _remember(self, order: do.Remember, now: float) -> None:
        try:
            write_private(self._keys_path, order.data)
        except OSError as error:
            self._log("warning", f"launch keys could not be kept: {error.strerror}")

    def _plan_forgetting(self, order: do.ForgetPrompts, now: float) -> None:
        self.loop.set_timer(("runtime", "", "prompts"), order.at)

    def _forget_transcript(self, order: do.ForgetTranscript, now: float) -> None:
        self._slots[order.slot].forget_transcript()

    def _finish(self, order: do.Finish, now: float) -> None:
        self.loop.stopping = True


def fingerprint(path: str) -> str:
    """What tells one `claude` binary from another: the file behind the name, its size and time. Empty if it is gone."""
    try:
        real = os.path.realpath(path)
        info = os.stat(real)
    except OSError:
        return ""
    return f"{real}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"


PERFORMERS: dict[type, Callable[[Server, Any, float], None]] = {
    do.Respond: Server._respond,
    do.StartStream: Server._start_stream,
    do.SendChunk: Server._send_chunk,
    do.EndStream: Server._end_stream,
    do.Upgrade: Server._upgrade,
    do.SendFrame: Server._send_frame,
    do.CloseClient: Server._close_client,
    do.SpawnSlot: Server._spawn,
    do.HurryGate: Server._hurry,
    do.HandOver: Server._hand_over,
    do.WritePty: Server._write_pty,
    do.OpenEditor: Server._edit,
    do.SignalChild: Server._signal_child,
    do.RemoveSlot: Server._remove,
    do.SetTimer: Server._set_timer,
    do.CancelTimer: Server._cancel_timer,
    do.Log: Server._write_log,
    do.Record: Server._record,
    do.Remember: Server._remember,
    do.ForgetPrompts: Server._plan_forgetting,
    do.ForgetTranscript: Server._forget_transcript,
    do.Finish: Server._finish,
}
