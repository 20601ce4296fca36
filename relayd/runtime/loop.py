"""One selector, one timer heap, one wake-up pipe: the turn of the loop.

The order of a turn is the design (see `Loop.turn`). Handlers move bytes and report facts; they are
never freed in the middle of a turn: `forget` marks, the last phase closes. An fd's registration is
compared with the handler's before it is dispatched, because a number closed earlier in the same
batch may be someone else's by now. The loop knows nothing of HTTP, calls or Claude Code.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable, Hashable
from typing import Protocol

Key = Hashable  # a timer's name
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SPIN_LIMIT = 200  # ready so often in a row without moving a byte: a bug or a dead peer
STALL_S = 1.0  # a turn that lost more than this was stopped, or starved, or blocked; less is what deadlines are for
TIMER_SLACK = 64  # cancelled timers kept in the heap before it is rebuilt


class Handler(Protocol):
    """What the loop drives: one fd."""

    def fileno(self) -> int:
        """Its fd."""

    def wants(self) -> int:
        """READ, WRITE, both, or 0 (then it is not registered at all)."""

    def ready(self, mask: int, now: float) -> bool:
        """Move bytes; True if any moved or anything changed."""

    def flush(self, now: float) -> None:
        """Write what has been appended this turn."""

    def close(self) -> None:
        """Close the fd. Called by the loop only, after the registration is gone."""


class Loop:
    """See the module's text. `on_timer` and `on_signal` get what is due."""

    def __init__(self, on_timer: Callable[[Key, float], None], on_signal: Callable[[int, float], None]) -> None:
        self.stopping = False
        self.spins_ended = 0
        self._on_timer = on_timer
        self._on_signal = on_signal
        self._selector = selectors.DefaultSelector()
        self._registered: dict[int, tuple[Handler, int]] = {}
        self._touched: dict[int, Handler] = {}
        self._doomed: list[Handler] = []
        self._idle_turns: dict[int, int] = {}
        self._timers: list[tuple[float, int, Key]] = []
        self._live: dict[Key, int] = {}
        self._order = itertools.count()
        self._woke = time.monotonic()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, READ, None)

    def __repr__(self) -> str:
        return f"<Loop fds={len(self._registered)} timers={len(self._live)}>"

    def catch(self, numbers: tuple[int, ...]) -> None:
        """Deliver these signals in the loop: the handler does nothing, the wake-up fd carries the number."""
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    # Handlers

    def touch(self, handler: Handler) -> None:
        """Its interests may have changed, or it has something to flush: looked at before sleeping."""
        self._touched[handler.fileno()] = handler

    def forget(self, handler: Handler) -> None:
        """Unregister now, close at the end of the turn."""
        fd = handler.fileno()
        if fd in self._registered and self._registered[fd][0] is handler:
            self._selector.unregister(fd)
            del self._registered[fd]
        if self._touched.get(fd) is handler:
            del self._touched[fd]
        self._idle_turns.pop(fd, None)
        if handler not in self._doomed:
            self._doomed.append(handler)

    # Timers

    def set_timer(self, key: Key, at: float) -> None:
        """(Re)set the timer of that key."""
        number = next(self._order)
        self._live[key] = number
        heapq.heappush(self._timers, (at, number, key))
        if len(self._timers) > 2 * len(self._live) + TIMER_SLACK:
            self._timers = [t for t in self._timers if self._live.get(t[2]) == t[1]]
            heapq.heapify(self._timers)

    def cancel_timer(self, key: Key) -> None:
        """Forget the timer of that key, if there is one."""
        self._live.pop(key, None)

    # The turn

    def run(self) -> None:
        """Turn until `stopping`."""
        while not self.stopping:
            self.turn()

    def turn(self, longest_s: float | None = None) -> None:
        """One turn, in this order:

        1. flush and interests: all that the last turn appended goes out before we sleep;
        2. sleep until an fd is ready or a timer is due;
        3. wake-up bytes: signals become facts, before the fds they may concern;
        4. ready fds, only while the registration is still theirs; work per fd is capped by the handler;
        5. due timers, those due at the time of waking, none that are set meanwhile;
        6. close what was marked: nothing after this can dispatch to it.
        """
        self._flush()
        ready, now = self._sleep(self._timeout(longest_s))
        for key, mask in ready:
            if key.fileobj is self._wake_in:
                self._woken(now)
            else:
                self._dispatch(key.fd, key.data, mask, now)
        self._due(now)
        self._bury()

    def _flush(self) -> None:
        now = time.monotonic()
        while self._touched:
            touched, self._touched = self._touched, {}
            for handler in touched.values():
                if handler not in self._doomed:
                    handler.flush(now)
            for handler in touched.values():
                if handler not in self._doomed:
                    self._register(handler)
        self._bury()

    def _register(self, handler: Handler) -> None:
        fd, wanted = handler.fileno(), handler.wants()
        known = self._registered.get(fd)
        if known is None:
            if wanted:
                self._selector.register(fd, wanted, handler)
                self._registered[fd] = (handler, wanted)
        elif known[1] != wanted:
            if wanted:
                self._selector.modify(fd, wanted, handler)
                self._registered[fd] = (handler, wanted)
            else:  # an interest of 0 would spin on a hung-up peer
                self._selector.unregister(fd)
                del self._registered[fd]

    def _timeout(self, longest_s: float | None) -> float | None:
        while self._timers and self._live.get(self._timers[0][2]) != self._timers[0][1]:
            heapq.heappop(self._timers)
        if not self._timers:
            return longest_s
        left = max(0.0, self._timers[0][0] - time.monotonic())
        return left if longest_s is None else min(left, longest_s)

    def _woken(self, now: float) -> None:
        try:
            data = self._wake_in.recv(4096)
        except BlockingIOError:
            return
        for number in dict.fromkeys(data):
            self._on_signal(number, now)

    def _dispatch(self, fd: int, handler: Handler, mask: int, now: float) -> None:
        known = self._registered.get(fd)
        if known is None or known[0] is not handler:
            return
        moved = handler.ready(mask, now)
        if self._registered.get(fd, (None,))[0] is not handler:
            return
        self.touch(handler)
        if moved:
            self._idle_turns.pop(fd, None)
            return
        self._idle_turns[fd] = self._idle_turns.get(fd, 0) + 1
        if self._idle_turns[fd] > SPIN_LIMIT:
            self.spins_ended += 1
            self.forget(handler)

    def _sleep(self, timeout: float | None) -> tuple[list[tuple[selectors.SelectorKey, int]], float]:
        """What is ready, and when. A daemon that was stopped has read nothing meanwhile: all deadlines move by that time."""
        begun = time.monotonic()
        ready = self._selector.select(timeout)
        now = time.monotonic()
        lost = begun - self._woke + (max(0.0, now - begun - timeout) if timeout is not None else 0.0)
        self._woke = now
        if lost > STALL_S:
            self._timers = [(at + lost, number, key) for at, number, key in self._timers]
        return ready, now

    def _due(self, now: float) -> None:
        due: list[tuple[int, Key]] = []
        while self._timers and self._timers[0][0] <= now:
            _, number, key = heapq.heappop(self._timers)
            due.append((number, key))
        for number, key in due:
            if self._live.get(key) == number:
                del self._live[key]
                self._on_timer(key, now)

    def _bury(self) -> None:
        doomed, self._doomed = self._doomed, []
        for handler in doomed:
            handler.close()

    def close(self) -> None:
        """Close everything that is left."""
        for handler, _ in list(self._registered.values()):
            self.forget(handler)
        self._bury()
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            signal.set_wakeup_fd(-1)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
