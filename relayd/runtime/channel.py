"""One client connection: a socket, its HTTP state, its output and its deadlines.

It moves bytes and reports requests; what they mean is the core's. Closing is staged (flush,
half-close, drain until the peer closes or a timer fires), so that an error response arrives even
while the peer still sends. While an answer is being made reading goes on up to a small cap. An end
of file there comes from a client that has gone or from one that has only finished sending: the kernel
is asked whether a process still holds the other end, now and again until the answer is out. Where the
system does not say, the client counts as gone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import Enum
from typing import Any

from relayd.config import Config
from relayd.core import events as ev
from relayd.http.http1 import Connection, Phase
from relayd.http.messages import BadRequest, HttpRequest
from relayd.http.websocket import WebSocket, is_upgrade
from relayd.runtime.fifo import ByteQueue
from relayd.runtime.loop import READ, WRITE, Loop
from relayd.runtime.peer import is_held

PIPELINE_MAX_BYTES = 64 * 1024
TIME_OUT_HEAD = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
TIME_OUT_BODY = b'{"type":"error","error":{"type":"timeout_error","message":"the request took too long to arrive"}}'
PHASE_LIMITS = {Phase.IDLE: "idle_limit_s", Phase.HEAD: "header_limit_s", Phase.BODY: "body_limit_s"}


class Stage(Enum):
    """How far a connection is towards its end."""

    OPEN = "open"
    CLOSING = "closing"  # the last answer is in the queue
    LINGERING = "lingering"  # half-closed; what the peer still sends is thrown away
    GONE = "gone"


class Channel:
    """See the module's text. `emit` takes events for the core."""

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        config: Config,
        loop: Loop,
        emit: Callable[[Any], None],
        now: float,
        is_stranger: bool = False,
    ) -> None:
        self.number = number
        self.stage = Stage.OPEN
        self._socket = sock
        self._is_stranger = is_stranger  # the peer belongs to another user: each request is refused
        self._config = config
        self._loop = loop
        self._emit = emit
        self._http = Connection(config.body_max_bytes, config.header_max_bytes)
        self._out = ByteQueue()
        self._websocket: WebSocket | None = None
        self._dropping = False  # a dashboard that is too slow gets nothing until it has caught up
        self._request: HttpRequest | None = None
        self._early = 0  # bytes read while an answer was being made
        self._input_over = False  # the peer has half-closed
        self._phase: Phase | None = None
        self._follow_phase(now)

    def __repr__(self) -> str:
        return f"<Channel {self.number} {self.stage.value} {self._http.phase.value} out={self._out.size}>"

    def fileno(self) -> int:
        """The socket's fd."""
        return self._socket.fileno()

    @property
    def is_idle(self) -> bool:
        """True between requests, with nothing to send."""
        return self.stage is Stage.OPEN and self._http.phase is Phase.IDLE and not self._out.size

    def wants(self) -> int:
        """Read while open, unless enough was pipelined behind a running answer, and while lingering. Write what is left."""
        mask = 0
        if self.stage is Stage.LINGERING or self._takes_more():
            mask |= READ
        if self._out.size and self.stage is not Stage.LINGERING:
            mask |= WRITE
        return mask

    def _takes_more(self) -> bool:
        return self.stage is Stage.OPEN and not self._input_over and self._early < PIPELINE_MAX_BYTES

    def ready(self, mask: int, now: float) -> bool:
        """Read a bounded amount; writing is done by `flush`, which the loop calls next."""
        moved = bool(mask & WRITE)
        if mask & READ:
            moved = self._read(now) or moved
        return moved

    def _read(self, now: float) -> bool:
        try:
            data = self._socket.recv(self._config.read_chunk_bytes)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self._lose()
            return True
        if self.stage is not Stage.OPEN:
            if not data:
                self._lose()
            return True
        if not data:
            self._end_of_input(now)
            return True
        if self._websocket is not None:
            self._receive_frames(data, now)
            return True
        if self._http.phase is Phase.ANSWERING:
            self._early += len(data)
        self._http.receive(data)
        self._pump(now)
        return True

    def _end_of_input(self, now: float) -> None:
        """What is whole is answered, what is not is refused, for as long as somebody is there to read it."""
        self._input_over = True
        if self._websocket is not None:
            self._lose()
            return
        self._http.receive_eof()
        self._pump(now)
        self._look_for_peer(now)

    def _look_for_peer(self, now: float) -> None:
        if self.stage is not Stage.OPEN:
            return
        if is_held(self._socket):
            self._loop.set_timer(self._timer("peer"), now + self._config.half_closed_look_s)
        else:
            self._lose()

    def _pump(self, now: float) -> None:
        """Hand over requests that are complete; at most one is being answered."""
        request = self._http.next_request()
        if self._http.wants_body:
            self._out.append(self._http.continue_bytes())
        self._follow_phase(now)
        if request is not None and self._is_stranger:
            request = BadRequest(403, "relayd answers its own user only")
        if isinstance(request, BadRequest):
            self._emit(ev.RequestRefused(self.number, request.status, request.message))
        elif request is not None:
            self._early = 0
            self._request = request if is_upgrade(request.headers) else None
            self._emit(ev.RequestArrived(self.number, request))
        elif self._http.phase is Phase.CLOSING:
            self.stage = Stage.CLOSING
        self._loop.touch(self)

    # WebSockets, ordered by the core

    def upgrade(self, now: float) -> None:
        """Answer the request that is open by becoming a WebSocket."""
        if not self._may_answer() or self._request is None:
            return
        request, self._request = self._request, None
        found = WebSocket(request.headers, request.path, PIPELINE_MAX_BYTES)
        try:
            answer = found.accept()
        except ValueError:
            self.respond(400, [("content-type", "text/plain")], b"not a WebSocket upgrade", now)
            return
        self._websocket = found
        self._early = 0
        self._append(answer, now)

    def _receive_frames(self, data: bytes, now: float) -> None:
        assert self._websocket is not None
        messages, back = self._websocket.receive(data)
        for text in messages:
            self._emit(ev.FrameArrived(self.number, text))
        if back:
            self._append(back, now)
        if not self._websocket.is_open:
            self.stage = Stage.CLOSING
        self._loop.touch(self)

    def send_frame(self, text: str, now: float) -> None:
        """A message, unless the dashboard has not taken the ones before."""
        if self.stage is not Stage.OPEN or self._websocket is None:
            return
        if self._dropping or self._out.size > self._config.viewer_out_max_bytes:
            self._dropping = True
            return
        self._append(self._websocket.send(text), now)

    # Answers, ordered by the core

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes, now: float) -> None:
        """A whole answer."""
        if self._may_answer():
            self._append(self._http.respond(status, headers, body), now)
            self._answered(now)

    def start_stream(self, status: int, headers: list[tuple[str, str]], now: float) -> None:
        """The head of a streamed answer."""
        if self._may_answer():
            self._append(self._http.start_stream(status, headers), now)

    def chunk(self, data: bytes, now: float) -> None:
        """A piece of a streamed answer."""
        if self._may_answer():
            self._append(self._http.chunk(data), now)

    def end_stream(self, now: float) -> None:
        """The end of a streamed answer."""
        if self._may_answer():
            self._append(self._http.end_stream(), now)
            self._answered(now)

    def _may_answer(self) -> bool:
        return self.stage is Stage.OPEN and self._http.phase is Phase.ANSWERING

    def _append(self, data: bytes, now: float) -> None:
        if not self._out.size:
            self._loop.set_timer(self._timer("stall"), now + self._config.stall_limit_s)
        self._out.append(data)
        self._loop.touch(self)
        if self._out.size > self._config.out_max_bytes:
            self._lose()

    def _answered(self, now: float) -> None:
        if self.stage is not Stage.OPEN:
            return
        if self._http.phase is Phase.CLOSING:
            self.stage = Stage.CLOSING
        else:
            self._pump(now)

    # Output and deadlines

    def flush(self, now: float) -> None:
        """Write a bounded amount."""
        if not self._out.size or self.stage in (Stage.LINGERING, Stage.GONE):
            self._maybe_linger(now)
            return
        try:
            sent = self._socket.send(self._out.head(self._config.write_chunk_bytes))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()
            return
        self._out.drop(sent)
        if self._out.size:
            self._loop.set_timer(self._timer("stall"), now + self._config.stall_limit_s)
        else:
            self._loop.cancel_timer(self._timer("stall"))
            if self._dropping:
                self._dropping = False
                self._emit(ev.ViewerCaughtUp(self.number))
            self._maybe_linger(now)

    def _maybe_linger(self, now: float) -> None:
        if self.stage is not Stage.CLOSING or self._out.size:
            return
        self.stage = Stage.LINGERING
        self._early = 0
        self._loop.set_timer(self._timer("linger"), now + self._config.linger_limit_s)
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._lose()

    def _follow_phase(self, now: float) -> None:
        """The limit of the phase the request is in; one timer, set when the phase changes."""
        phase = self._http.phase
        if phase is self._phase:
            return
        self._phase = phase
        if phase in PHASE_LIMITS:
            self._loop.set_timer(self._timer("phase"), now + getattr(self._config, PHASE_LIMITS[phase]))
        else:
            self._loop.cancel_timer(self._timer("phase"))

    def timer(self, name: str, now: float) -> None:
        """A deadline has passed."""
        if name == "phase" and self.stage is Stage.OPEN and self._phase in (Phase.HEAD, Phase.BODY):
            self._time_out()
        elif name == "peer":
            self._look_for_peer(now)
        else:  # idle, stalled, or lingering long enough
            self._lose()

    def _time_out(self) -> None:
        """A request that takes too long to arrive: answered and closed. HTTP's own 408."""
        self._http.phase = Phase.CLOSING
        self._out.append(TIME_OUT_HEAD + b"content-length: %d\r\n\r\n" % len(TIME_OUT_BODY) + TIME_OUT_BODY)
        self.stage = Stage.CLOSING
        self._loop.touch(self)

    def _lose(self) -> None:
        """The connection is over, now."""
        if self.stage is Stage.GONE:
            return
        self.stage = Stage.GONE
        for name in ("stall", "linger", "phase", "peer"):
            self._loop.cancel_timer(self._timer(name))
        self._out.clear()
        self._loop.forget(self)
        self._emit(ev.ClientLeft(self.number))

    def abort(self) -> None:
        """Close without asking: the daemon ends."""
        self._lose()

    def close(self) -> None:
        """Close the socket. Called by the loop."""
        self._socket.close()

    def _timer(self, name: str) -> tuple[str, ...]:
        return ("channel", str(self.number), name)
