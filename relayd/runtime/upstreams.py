"""Every connection to the fallback, and the orders about them: whose it is, which address is tried, who is told.

The addresses of its host are tried one after the other, for as long as nothing of the request has gone out. For plain HTTP only
addresses of private networks count, unless the user allows others. Owned by `performer.py`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

from relayd import fallback_url
from relayd.core import actions as do
from relayd.core import runtime_events as told
from relayd.core.runtime_events import UpstreamFact
from relayd.fallback_url import BaseUrl
from relayd.http.exchange import Exchange
from relayd.runtime.loop import Loop
from relayd.runtime.resolver import Resolver
from relayd.runtime.timers import Look, UpstreamTimer
from relayd.runtime.tls import Plain, Tls
from relayd.runtime.upstream import Upstream

RESOLVE_LOOK_S = 0.005
BEARER = {"authorization": "Bearer "}

UpstreamOrder = do.Forward | do.StopForward


@dataclass(frozen=True)
class Target:
    """Where the fallback is and what it is sent. `context` is None for plain HTTP; `key` may be empty."""

    url: BaseUrl
    key: str = field(repr=False)
    key_header: str
    allows_plain: bool
    context: ssl.SSLContext | None
    user_agent: str

    def headers(self) -> list[tuple[str, str]]:
        """What every request has besides its client's own."""
        host = [("host", self.url.authority), ("user-agent", self.user_agent), ("accept-encoding", "identity")]
        return [*host, (self.key_header, BEARER.get(self.key_header, "") + self.key)] if self.key else host

    def may_use(self, address: str) -> bool:
        """True if this address of its host may be spoken to."""
        return self.context is not None or self.allows_plain or fallback_url.is_near(address)


@dataclass
class Forwarding:
    """One call's: what is left to try, and the connection that is tried."""

    order: do.Forward
    addresses: list[str] = field(default_factory=list)
    connection: Upstream | None = None


class Upstreams:
    """See the module's text. `emit` takes facts for the core; `backlog` is how much of its answer a client has not taken."""

    def __init__(
        self, target: Target | None, loop: Loop, emit: Callable[[UpstreamFact], None], backlog: Callable[[int], int]
    ) -> None:
        self._target = target
        self._loop = loop
        self._emit = emit
        self._backlog = backlog
        self._running: dict[int, Forwarding] = {}
        self._resolver = Resolver(target.url.host, target.url.port) if target else None

    def __repr__(self) -> str:
        return f"<Upstreams {len(self._running)} {self._resolver!r}>"

    def perform(self, order: UpstreamOrder, now: float) -> None:
        """Carry out an order; one that is late is nothing."""
        match order:
            case do.Forward():
                self._running[order.call] = Forwarding(order)
                self._start(order.call, now)
            case do.StopForward(call):
                self._drop(call)
            case _:
                assert_never(order)

    def broke(self, order: UpstreamOrder) -> None:
        """An order has met a bug: its call hears that nothing comes."""
        self._fail(order.call, "relayd met a bug")

    def timer(self, timer: UpstreamTimer, now: float) -> None:
        """A timer of one connection, or of the resolver."""
        if timer.what is Look.RESOLVER:
            self._resolved(now)
            return
        found = self._running.get(timer.call)
        if found is not None and found.connection is not None:
            self._loop.attempt(found.connection, found.connection.look, timer.what, now)

    def _start(self, call: int, now: float) -> None:
        if self._resolver is None:
            self._fail(call, "it is not set up")
        elif self._resolver.is_fresh(now):
            self._try_all(call, now)
        else:
            self._resolver.ask(now)
            self._loop.set_timer(RESOLVING, now + RESOLVE_LOOK_S)

    def _resolved(self, now: float) -> None:
        assert self._resolver is not None
        if not self._resolver.look(now):
            self._loop.set_timer(RESOLVING, now + RESOLVE_LOOK_S)
            return
        for call in [call for call, found in self._running.items() if found.connection is None]:
            self._try_all(call, now)

    def _try_all(self, call: int, now: float) -> None:
        """The addresses are known."""
        assert self._resolver is not None
        assert self._target is not None
        usable = [address for address in self._resolver.addresses if self._target.may_use(address)]
        if not usable:
            self._fail(call, self._resolver.error or "its address is not private, and it has no TLS (fallback_plain)")
            return
        self._running[call].addresses = usable
        self._try_next(call, "it could not be reached", now)

    def _try_next(self, call: int, reason: str, now: float) -> None:
        """Connect to the next address; `reason` is why the last one was none."""
        found = self._running.get(call)
        if found is None:
            return
        while found.addresses:
            try:
                found.connection = self._connect(found.order, found.addresses.pop(0), now)
                return
            except OSError:
                reason = "it could not be reached"
        self._fail(call, reason)

    def _connect(self, order: do.Forward, address: str, now: float) -> Upstream:
        """A connection on its way. Raises OSError."""
        target = self._target
        assert target is not None
        exchange = Exchange()
        request = exchange.opening("POST", target.url.path + order.target, [*target.headers(), *order.headers], order.body)
        wire = Tls(target.context, target.url.host) if target.context is not None else Plain()
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((address, target.url.port))
        except BlockingIOError:
            pass  # on its way, as it must be
        except OSError:
            sock.close()
            raise
        backlog = partial(self._backlog, order.client)
        connection = Upstream(order.call, sock, wire, exchange, request, self._loop, self._told, backlog, self._try_next)
        connection.begin(now)
        return connection

    def _told(self, fact: UpstreamFact) -> None:
        """A connection tells something; with its last fact it is gone."""
        if isinstance(fact, (told.UpstreamEnded, told.UpstreamFailed)):
            self._running.pop(fact.call, None)
        self._emit(fact)

    def _fail(self, call: int, reason: str) -> None:
        self._drop(call)
        self._emit(told.UpstreamFailed(call, reason))

    def _drop(self, call: int) -> None:
        found = self._running.pop(call, None)
        if found is not None and found.connection is not None:
            self._loop.attempt(found.connection, found.connection.leave)

    def close(self) -> None:
        """The daemon ends."""
        for call in list(self._running):
            self._drop(call)
        if self._resolver is not None:
            self._resolver.close()


RESOLVING = UpstreamTimer(0, Look.RESOLVER)
