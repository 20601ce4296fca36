"""One connection to the fallback: a request goes out, the facts of its answer come in. One address, one call.

It moves bytes; what they mean for the call is the core's. Connecting, TLS and sending never wait. As much is read as the client
takes: above BACKLOG_MAX_BYTES the socket rests, and is looked at again a moment later, since a client's socket tells nobody but
its own channel that it has room. Made by `upstreams.py`, driven by the loop.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from enum import Enum

from relayd.core import runtime_events as told
from relayd.core.runtime_events import UpstreamFact
from relayd.http.exchange import Body, End, Exchange, Head, Piece, WrongAnswer
from relayd.runtime.fifo import ByteQueue
from relayd.runtime.loop import READ, WRITE, Loop
from relayd.runtime.timers import Look, UpstreamTimer
from relayd.runtime.tls import Wire

READ_BYTES = 64 * 1024
HEAD_READ_BYTES = 16 * 1024  # as for clients: of the shortest lines, 15 ms of work for h11
SEND_BYTES = 64 * 1024
BACKLOG_MAX_BYTES = 256 * 1024  # that its client has not taken
BACKLOG_LOOK_S = 0.01
CONNECT_LIMIT_S = 10.0  # for one address, with TLS


class Stage(Enum):
    """How far it is."""

    CONNECTING = "connecting"
    SHAKING = "shaking"  # TLS
    OPEN = "open"
    GONE = "gone"


class Upstream:
    """See the module's text. `backlog` is what the client has not taken; `unreached` is called if no connection comes about."""

    def __init__(
        self,
        call: int,
        sock: socket.socket,
        wire: Wire,
        exchange: Exchange,
        request: tuple[bytes, bytes],
        loop: Loop,
        emit: Callable[[UpstreamFact], None],
        backlog: Callable[[], int],
        unreached: Callable[[int, str, float], None],
    ) -> None:
        self.call = call
        self.stage = Stage.CONNECTING
        self._socket = sock
        self._wire = wire
        self._exchange = exchange
        self._loop = loop
        self._emit = emit
        self._backlog = backlog
        self._unreached = unreached
        self._unsent = ByteQueue()  # of HTTP
        for part in request:
            self._unsent.append(part)
        self._out = ByteQueue()  # of the socket
        self._has_head = False
        self._rests = False
        self._connect_timer = UpstreamTimer(call, Look.CONNECT)
        self._look_timer = UpstreamTimer(call, Look.BACKLOG)

    def __repr__(self) -> str:
        return f"<Upstream {self.call} {self.stage.value} unsent={self._unsent.size}>"

    def fileno(self) -> int:
        """The socket's fd."""
        return self._socket.fileno()

    @property
    def is_gone(self) -> bool:
        """True once the connection has ended."""
        return self.stage is Stage.GONE

    def begin(self, now: float) -> None:
        """The connection is on its way."""
        self._loop.set_timer(self._connect_timer, now + CONNECT_LIMIT_S)
        self._loop.touch(self)

    def wants(self) -> int:
        """Write while connecting or if something is left; read unless it rests."""
        if self.is_gone:
            return 0
        if self.stage is Stage.CONNECTING:
            return WRITE
        mask = 0 if self._rests or self._exchange.is_behind else READ
        has_more = self._out.size or (self._wire.is_ready and self._unsent.size)
        return mask | (WRITE if has_more else 0)

    def ready(self, mask: int, now: float) -> bool:
        """Connect, write and read, a bounded amount."""
        if self.stage is Stage.CONNECTING:
            return self._connected(now)
        moved = self._write() if mask & WRITE else False
        if mask & READ and not self.is_gone:
            moved = self._read(now) or moved
        return moved

    def flush(self, now: float) -> None:
        """Write what the socket takes; see whether the client still takes what comes."""
        if self.is_gone or self.stage is Stage.CONNECTING:
            return
        self._write()
        self._rests = self._backlog() > BACKLOG_MAX_BYTES
        if self._rests or self._exchange.is_behind:
            self._loop.set_timer(self._look_timer, now + (BACKLOG_LOOK_S if self._rests else 0.0))

    def look(self, what: Look, now: float) -> None:
        """A timer has fired."""
        if self.is_gone:
            return
        if what is Look.CONNECT:
            self._not_reached("it did not answer the connection in time", now)
            return
        self._rests = self._backlog() > BACKLOG_MAX_BYTES
        if not self._rests and self._exchange.is_behind:
            self._tell(now)
        if not self.is_gone:
            self._loop.touch(self)

    def _connected(self, now: float) -> bool:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._not_reached("it could not be reached", now)
            return True
        self.stage = Stage.SHAKING
        self._follow_handshake()
        return True

    def _follow_handshake(self) -> None:
        if self.stage is Stage.SHAKING and self._wire.is_ready:
            self.stage = Stage.OPEN
            self._loop.cancel_timer(self._connect_timer)

    def _write(self) -> bool:
        """True if a byte went out, or the connection ended."""
        try:
            if not self._out.size:
                self._fill()
            if not self._out.size:
                return False
            sent = self._socket.send(self._out.head(SEND_BYTES))
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:  # it may have answered already: what there is to read decides
            self._unsent.clear()
            self._out.clear()
            return False
        self._out.drop(sent)
        return sent > 0

    def _fill(self) -> None:
        """Take the next piece of the request through TLS."""
        if self._wire.is_ready and self._unsent.size:
            piece = self._unsent.head(SEND_BYTES)
            self._wire.give(piece)
            self._unsent.drop(len(piece))
        self._out.append(self._wire.outgoing())

    def _read(self, now: float) -> bool:
        try:
            data = self._socket.recv(READ_BYTES if self._has_head else HEAD_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""  # a reset is an end, too
        try:
            plain = self._wire.take(data)
        except ssl.SSLCertVerificationError:
            self._not_reached("its certificate is not trusted", now)
            return True
        except ssl.SSLError:
            self._break_off("its TLS is broken")
            return True
        self._follow_handshake()
        if self.stage is Stage.SHAKING and not data:
            self._not_reached("it broke off the TLS handshake", now)
            return True
        try:
            if plain:
                self._exchange.receive(plain)
            if not data:
                self._exchange.receive(b"")
        except WrongAnswer as error:
            self._break_off(str(error))
            return True
        self._tell(now)
        return True

    def _tell(self, now: float) -> None:
        """Facts of what has come, a bounded number."""
        try:
            for piece in self._exchange.next_pieces():
                self._tell_piece(piece)
        except WrongAnswer as error:
            self._break_off(str(error))

    def _tell_piece(self, piece: Piece) -> None:
        match piece:
            case Head(status, headers):
                self._has_head = True
                self._emit(told.UpstreamAnswered(self.call, status, headers))
            case Body(data):
                self._emit(told.UpstreamSent(self.call, data))
            case End():
                self._emit(told.UpstreamEnded(self.call))
                self.leave()

    def _not_reached(self, reason: str, now: float) -> None:
        """No connection: another address may do."""
        if not self.is_gone:
            self.leave()
            self._unreached(self.call, reason, now)

    def _break_off(self, reason: str) -> None:
        if not self.is_gone:
            self.leave()
            self._emit(told.UpstreamFailed(self.call, reason))

    def leave(self) -> None:
        """End the connection; nothing more is told."""
        if self.is_gone:
            return
        self.stage = Stage.GONE
        self._loop.cancel_timer(self._connect_timer)
        self._loop.cancel_timer(self._look_timer)
        self._unsent.clear()
        self._out.clear()
        self._loop.forget(self)

    def failed(self) -> None:
        """A bug of ours: the call hears that nothing more comes."""
        self._break_off("relayd met a bug")

    def close(self) -> None:
        """Close the socket. Called by the loop."""
        with contextlib.suppress(OSError):
            self._socket.close()
