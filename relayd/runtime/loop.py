"""One selector, one timer heap, one wake-up pipe: the turn of the loop. It knows nothing of HTTP, calls or Claude Code.

The turn
--------
The daemon is one thread. `Server.run` alternates two steps until it is told to stop:

    work   the core takes every fact in the queue; the server performs the orders it gives back
    turn   1 flush   2 sleep   3 signals   4 ready fds   5 due timers   6 close

Facts are only ever *queued* by a turn (a request has arrived, a terminal has printed, a deadline has
passed) and only ever *handled* by `work`. So the core is never entered twice, and no order is carried
out while a handler is in the middle of reading. Why the six phases stand in this order:

1. *Flush and interests come first*, because `work` has just appended answers: they leave before the
   loop may sleep. Interests are compared once here, not at each change: many changes of a turn cost at
   most one system call. A handler that wants nothing is not registered at all, since epoll reports a
   hang-up even for an interest of 0, and the loop would spin.
2. *Sleep* until an fd is ready or the nearest timer is due.
3. *Signals before fds*: SIGCHLD makes its slot read the terminal's last words before that terminal's
   fd reports its end. Signal handlers do nothing; the wake-up fd carries the numbers.
4. *Ready fds*. Each handler reads a bounded number of bytes and takes a bounded number of protocol
   events, so that no peer delays the others. What it has read and not finished is its own business: it
   sets a timer for now and goes on in the next turn, after the others had theirs. Before each call the
   registration is compared with the handler's: a number that was closed earlier in the same batch may
   be somebody else's by now.
5. *Timers after fds*: a deadline that passed while data lay unread must not win against that data.
   Only what was due at the time of waking fires; what is set meanwhile waits for the next turn, so a
   timer that sets itself for now cannot hold the loop.
6. *Close last*: `forget` unregisters at once but closes here, so that within a turn no fd number is
   used again, and no handler is freed under the feet of its caller.

Time that was lost
------------------
If the daemon was stopped (a debugger, a suspended machine, a CPU that somebody else had), peers were
not read meanwhile, and their deadlines must not count it. A turn that lost more than `STALL_S` moves
the timers by what it lost. A timer that is *not* somebody's deadline says so (`forgiven=False`): the
service manager's watchdog counts real time, and its ping is due the moment we wake.

Errors
------
One exception costs one thing. Every call of a handler is guarded: an error is reported (its type and
place, never its text, which may quote a request), the handler is taken out of the selector and told
`failed()`, which ends it in its own way: a connection is lost and the core hears that its client left,
a terminal is hung up, a gate reports a failed hand-over, the listener rests. A handler whose `failed`
raises as well is forgotten. Timers and signals are guarded one by one in the same way. waitress does
this in 20 lines of `wasyncore`; so does this file. KeyboardInterrupt and SystemExit pass.

A handler that is ready `SPIN_LIMIT` times in a row without moving a byte fails too. `ready` must
therefore tell the truth about writing as well as reading.

What may still block, and for how long
--------------------------------------
Nothing waits for a peer. What waits for the system (a start, a piece of a transcript, a body as JSON, a small file) stands
in ARCHITECTURE.md with its bound, in one table.

Who calls whom: `server` owns the loop; handlers call `touch`, `forget` and the timers, and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable, Hashable
from typing import ParamSpec, Protocol

from relayd.runtime.system import POLLED_MAX

Key = Hashable
Arguments = ParamSpec("Arguments")
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SPIN_LIMIT = 200  # ready so often in a row without moving a byte: a bug or a dead peer
STALL_S = 1.0  # a turn that lost more than this was stopped, or starved, or blocked; less is what deadlines are for
CLOSE_TRIES = 2  # an fd that is not closed here is left until its owner is freed, which may be long
TIMER_SLACK = 64  # cancelled timers kept in the heap before it is rebuilt


class Handler(Protocol):
    """What the loop drives: one fd. Each method may raise: that costs this handler only."""

    def fileno(self) -> int:
        """Its fd."""

    def wants(self) -> int:
        """READ, WRITE, both, or 0 (then it is not registered at all)."""

    def ready(self, mask: int, now: float) -> bool:
        """Read what `mask` allows, and write; True if a byte moved or anything changed."""

    def flush(self, now: float) -> None:
        """Write what has been appended this turn."""

    def failed(self) -> None:
        """One of these methods has raised: end, and tell whoever waits. It is not called again until it is touched."""

    def close(self) -> None:
        """Close the fd. Called by the loop only, after the registration is gone."""


class SpinError(Exception):
    """A handler was ready again and again and moved nothing."""


def _count_only(what: object, error: Exception) -> None:
    """Report to nobody."""


class Loop:
    """See the module's text. `on_timer` and `on_signal` get what is due; `on_error` gets whose it was, and the error."""

    def __init__(
        self,
        on_timer: Callable[[Key, float], None],
        on_signal: Callable[[int, float], None],
        on_error: Callable[[object, Exception], None] = _count_only,
    ) -> None:
        self.stopping = False
        self.spins_ended = 0
        self.errors = 0
        self._on_timer = on_timer
        self._on_signal = on_signal
        self._on_error = on_error
        self._selector = selectors.DefaultSelector()
        self._registered: dict[int, tuple[Handler, int]] = {}
        self._touched: dict[int, Handler] = {}
        self._doomed: list[Handler] = []
        self._idle_turns: dict[int, int] = {}
        self._timers: list[tuple[float, int, Key, bool]] = []  # the last: a stall moves it
        self._live: dict[Key, int] = {}
        self._order = itertools.count()
        self._woke = time.monotonic()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, READ, None)

    @property
    def room(self) -> int:
        """So many handlers more can be driven."""
        return POLLED_MAX - len(self._selector.get_map())

    def __repr__(self) -> str:
        return f"<Loop fds={len(self._registered)} timers={len(self._live)} errors={self.errors}>"

    def catch(self, numbers: tuple[int, ...]) -> None:
        """Deliver these signals in the loop: the handler does nothing, the wake-up fd carries the number."""
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    # Errors

    def report(self, what: object, error: Exception) -> None:
        """Count an error that was caught, and have it written down. Never raises."""
        self.errors += 1
        with contextlib.suppress(Exception):
            self._on_error(what, error)

    def fail(self, handler: Handler, error: Exception) -> None:
        """An error has met this handler: it ends, the loop goes on. Never raises."""
        self.report(handler, error)
        self._drop(handler)
        try:
            handler.failed()
        except Exception as again:
            self.report(handler, again)
            self.forget(handler)

    def attempt(
        self, handler: Handler, work: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> None:
        """Do this for a handler; an error costs that handler, not its caller."""
        try:
            work(*args, **kwargs)
        except Exception as error:
            self.fail(handler, error)

    # Handlers

    def touch(self, handler: Handler) -> None:
        """Its interests may have changed, or it has something to flush: looked at before sleeping."""
        self._touched[handler.fileno()] = handler

    def forget(self, handler: Handler) -> None:
        """Unregister now, close at the end of the turn."""
        self._drop(handler)
        if handler not in self._doomed:
            self._doomed.append(handler)

    def _drop(self, handler: Handler) -> None:
        """Call it for nothing any more. Never raises: its fd may be closed, its `fileno` broken."""
        for fd in self._fds_of(handler):
            if self._touched.get(fd) is handler:
                del self._touched[fd]
            if fd in self._registered and self._registered[fd][0] is handler:
                del self._registered[fd]
                self._idle_turns.pop(fd, None)
                with contextlib.suppress(KeyError, ValueError, OSError):  # closed behind our back
                    self._selector.unregister(fd)

    def _fds_of(self, handler: Handler) -> list[int]:
        """Its number; where that is broken or gone, the numbers under which we know it."""
        try:
            fd = handler.fileno()
        except Exception as error:
            self.report(handler, error)
            fd = -1
        if fd >= 0:
            return [fd]
        known = [number for number, (found, _) in self._registered.items() if found is handler]
        return known + [number for number, found in self._touched.items() if found is handler]

    # Timers

    def set_timer(self, key: Key, at: float, *, forgiven: bool = True) -> None:
        """(Re)set the timer of that key. `forgiven`: time in which the daemon stood still does not count."""
        number = next(self._order)
        self._live[key] = number
        heapq.heappush(self._timers, (at, number, key, forgiven))
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
        """One turn, in the order that the module's text explains; at most `longest_s` of it asleep."""
        self._flush()
        ready, now = self._sleep(self._timeout(longest_s))
        newest = next(self._order)
        if any(key.fileobj is self._wake_in for key, _ in ready):
            self._woken(now)
        for key, mask in ready:
            if key.fileobj is not self._wake_in:
                self._dispatch(key.fd, key.data, mask, now)
        self._due(now, newest)
        self._bury()

    def _flush(self) -> None:
        now = time.monotonic()
        while self._touched:
            touched, self._touched = self._touched, {}
            for handler in touched.values():
                if handler not in self._doomed:
                    try:
                        handler.flush(now)
                    except Exception as error:
                        self.fail(handler, error)
            for handler in touched.values():
                if handler not in self._doomed:
                    try:
                        self._register(handler)
                    except Exception as error:
                        self.fail(handler, error)
        self._bury()

    def _register(self, handler: Handler) -> None:
        fd, wanted = handler.fileno(), handler.wants()
        known = self._registered.get(fd)
        if known is None:
            if wanted:
                if self.room <= 0:
                    raise OSError(errno.EMFILE, "as many sockets as the system watches at once")  # costs this one, not all
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
            try:
                self._on_signal(number, now)
            except Exception as error:
                self.report(signal.Signals(number), error)

    def _dispatch(self, fd: int, handler: Handler, mask: int, now: float) -> None:
        known = self._registered.get(fd)
        if known is None or known[0] is not handler:
            return
        try:
            moved = handler.ready(mask, now)
        except Exception as error:
            self.fail(handler, error)
            return
        if self._registered.get(fd, (None,))[0] is not handler:
            return
        self._touched[fd] = handler
        if moved:
            self._idle_turns.pop(fd, None)
            return
        self._idle_turns[fd] = self._idle_turns.get(fd, 0) + 1
        if self._idle_turns[fd] > SPIN_LIMIT:
            self.spins_ended += 1
            self.fail(handler, SpinError())

    def _sleep(self, timeout: float | None) -> tuple[list[tuple[selectors.SelectorKey, int]], float]:
        """What is ready, and when. Deadlines move by the time in which we stood still."""
        begun = time.monotonic()
        ready = self._selector.select(timeout)
        now = time.monotonic()
        lost = begun - self._woke + (max(0.0, now - begun - timeout) if timeout is not None else 0.0)
        self._woke = now
        if lost > STALL_S:
            self._timers = [(at + lost if moves else at, n, key, moves) for at, n, key, moves in self._timers]
            heapq.heapify(self._timers)
        return ready, now

    def _due(self, now: float, newest: int) -> None:
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers))
        for timer in due:
            _, number, key, _ = timer
            if number > newest:  # set by a handler of this turn
                heapq.heappush(self._timers, timer)
            elif self._live.get(key) == number:
                del self._live[key]
                try:
                    self._on_timer(key, now)
                except Exception as error:
                    self.report(key, error)

    def _bury(self) -> None:
        doomed, self._doomed = self._doomed, []
        for handler in doomed:
            for _ in range(CLOSE_TRIES):
                try:
                    handler.close()
                    break
                except Exception as error:
                    self.report(handler, error)

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
