"""One client connection: a socket, its HTTP state, its output and its deadlines.

It moves bytes and reports requests; what they mean is the core's. Closing is staged (flush,
half-close, drain until the peer closes or a timer fires), so that an error response arrives even
while the peer still sends. While an answer is being made reading goes on up to a small cap. An end
of file there comes from a client that has gone or from one that has only finished sending: the kernel
is asked whether a process still holds the other end, now and again until the answer is out. Where the
system does not say, the client counts as gone.

What has been read and not worked on yet (`http1.is_behind`, frames of a WebSocket) is taken up in the
next turn, by a timer for now: no fd would tell of it. Until then nothing more is read.
"""

from __future__ import annotations

import socket
from enum import Enum

from relayd.config import Config
from relayd.core import events as ev
from relayd.http import fixed
from relayd.http.access import Refusal
from relayd.http.http1 import Connection, Phase
from relayd.runtime.fifo import ByteQueue, Source
from relayd.runtime.frames import Frames, offered
from relayd.runtime.loop import READ, WRITE
from relayd.runtime.peer import is_held
from relayd.runtime.places import Rank
from relayd.runtime.shared import Shared
from relayd.runtime.timers import ChannelTimer, Deadline, phase_limit_s

HEAD_READ_BYTES = 16 * 1024  # of lines of three bytes, the shortest, 15 ms of work for h11


class Stage(Enum):
    """How far a connection is towards its end."""

    OPEN = "open"
    CLOSING = "closing"  # the last answer is in the queue
    LINGERING = "lingering"  # half-closed; what the peer still sends is thrown away
    GONE = "gone"


class Channel:
    """See the module's text."""

    def __init__(self, number: int, sock: socket.socket, config: Config, shared: Shared, now: float) -> None:
        self.number = number
        self.stage = Stage.OPEN
        self._socket = sock
        self._config = config
        self._loop = shared.loop
        self._emit = shared.emit
        self._places = shared.places
        self._date = shared.date
        self._http = Connection(config.body_max_bytes, config.header_max_bytes, shared.access, shared.budget)
        self._out = ByteQueue()
        self._phase_timer = ChannelTimer(number, Deadline.PHASE)
        self._stall_timer = ChannelTimer(number, Deadline.STALL)
        self._linger_timer = ChannelTimer(number, Deadline.LINGER)
        self._peer_timer = ChannelTimer(number, Deadline.PEER)
        self._behind_timer = ChannelTimer(number, Deadline.BEHIND)
        self._frames: Frames | None = None  # once it has become a WebSocket
        self._source: Source | None = None  # what an answer is still read from
        self._dropping = False  # a dashboard that is too slow gets nothing until it has caught up
        self._offer: Frames | None = None  # the WebSocket that the open request asks for
        self._is_behind = False  # a timer for now is set
        self._input_over = False  # the peer has half-closed
        self._phase: Phase | None = None
        self._rank: Rank | None = None
        self._follow_phase(now)

    def __repr__(self) -> str:
        return f"<Channel {self.number} {self.stage.value} {self._http.phase.value} out={self._out.size}>"

    def fileno(self) -> int:
        """The socket's fd."""
        return self._socket.fileno()

    @property
    def has_output(self) -> bool:
        """True while some of an answer is not out."""
        return self.stage is Stage.CLOSING or (self._out.size > 0 and self.stage is not Stage.GONE)

    @property
    def backlog(self) -> int:
        """What the peer has not taken yet, in bytes."""
        return self._out.size

    def wants(self) -> int:
        """Read while open, unless there is enough to work on, and while lingering. Write what is left."""
        mask = READ if self.stage is Stage.LINGERING or self._takes_more() else 0
        return mask | (WRITE if self._out.size and self.stage is not Stage.LINGERING else 0)

    def _takes_more(self) -> bool:
        if self.stage is not Stage.OPEN or self._input_over or self._is_behind:
            return False
        return self._frames is not None or self._http.wants_data

    def ready(self, mask: int, now: float) -> bool:
        """Read a bounded amount, and write what the socket takes."""
        moved = self._write(now) if mask & WRITE else False
        if mask & READ and (self.stage is Stage.LINGERING or self._takes_more()):
            moved = self._read(now) or moved
        return moved

    def _read(self, now: float) -> bool:
        try:
            data = self._socket.recv(self._read_max())
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
        elif self._frames is not None:
            self._frames.take(data)
            self._receive_frames(self._frames, now)
        else:
            self._http.receive(data)
            self._pump(now)
        return True

    def _read_max(self) -> int:
        """A body comes in large pieces; a head, and what may be header lines behind chunks, in such as are quick to parse."""
        if self._http.phase is Phase.BODY and not self._http.is_chunked:
            return self._config.read_chunk_bytes
        return min(self._config.read_chunk_bytes, HEAD_READ_BYTES)

    def _end_of_input(self, now: float) -> None:
        """What is whole is answered, what is not is refused, for as long as somebody is there to read it."""
        self._input_over = True
        if self._frames is not None:
            self._lose()
            return
        self._http.receive_eof()
        self._pump(now)
        self._look_for_peer(now)

    def _look_for_peer(self, now: float) -> None:
        if self.stage is Stage.OPEN and is_held(self._socket):
            self._loop.set_timer(self._peer_timer, now + self._config.half_closed_look_s)
        elif self.stage is Stage.OPEN:
            self._lose()

    def _pump(self, now: float) -> None:
        """Hand over a request that is complete; at most one is being answered."""
        found = self._http.next_request()
        if self._http.wants_body:
            self._append(self._http.continue_bytes(), now)
        if self.stage is Stage.GONE:  # it has not taken its earlier answers
            return
        self._follow_phase(now)
        if isinstance(found, Refusal):
            self._emit(ev.RequestRefused(self.number, found.error, found.route, found.origin))
        elif found is not None:
            self._offer = offered(found)
            self._emit(ev.RequestArrived(self.number, found, self._http.origin))
        elif self._http.phase is Phase.CLOSING:
            self.stage = Stage.CLOSING
        self._come_back(self._http.is_behind, now)
        self._loop.touch(self)

    def _come_back(self, is_behind: bool, now: float) -> None:
        """Go on in the next turn, if something is left to do."""
        self._is_behind = is_behind and self.stage is Stage.OPEN
        if self._is_behind:
            self._loop.set_timer(self._behind_timer, now, forgiven=False)

    # WebSockets, ordered by the core

    def upgrade(self, now: float) -> None:
        """Answer the request that is open by becoming a WebSocket."""
        if not self._may_answer() or self._offer is None:
            return
        found, self._offer = self._offer, None
        try:
            answer = found.accept()
        except ValueError:
            self.respond(400, [("content-type", "text/plain")], b"not a WebSocket upgrade", now)
            return
        self._frames = found
        self._append(answer, now)
        found.take(self._http.trailing_bytes())  # a client need not wait for the answer
        self._come_back(found.has_more, now)

    def _receive_frames(self, frames: Frames, now: float) -> None:
        messages, back = frames.read()
        for text in messages:
            self._emit(ev.FrameArrived(self.number, text))
        if back:
            self._append(back, now)
        if self.stage is Stage.OPEN and not frames.is_open:
            self.stage = Stage.CLOSING
        self._come_back(frames.has_more, now)
        self._loop.touch(self)

    def send_frame(self, text: str, now: float) -> None:
        """A message, unless the dashboard has not taken the ones before."""
        if self.stage is not Stage.OPEN or self._frames is None:
            return
        if self._dropping or self._out.size > self._config.viewer_out_max_bytes:
            self._dropping = True
            return
        self._append(self._frames.send(text), now)

    # Answers, ordered by the core

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes, now: float) -> None:
        """A whole answer."""
        if self._may_answer():
            self._append(self._http.respond(status, headers, body, self._date.text(now)), now)
            self._answered(now)

    def start_stream(self, status: int, headers: list[tuple[str, str]], now: float) -> None:
        """The head of a streamed answer."""
        if self._may_answer():
            self._append(self._http.start_stream(status, headers, self._date.text(now)), now)

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
        return self.stage is Stage.OPEN and self._http.phase is Phase.ANSWERING and self._frames is None

    def _append(self, data: bytes, now: float) -> None:
        if not self._out.size:
            self._loop.set_timer(self._stall_timer, now + self._config.stall_limit_s)
        self._out.append(data)
        self._loop.touch(self)
        if self._out.size > self._config.out_max_bytes:
            self._lose()

    def _answered(self, now: float) -> None:
        """The answer is complete. A request that has come behind it is looked at in the next turn, after the others."""
        if self.stage is not Stage.OPEN:
            return
        if self._http.phase is Phase.CLOSING:
            self.stage = Stage.CLOSING
        self._follow_phase(now)
        self._come_back(self._http.is_behind, now)

    def send_file(self, status: int, headers: list[tuple[str, str]], source: Source, now: float) -> None:
        """An answer that is read from a file, a piece at a time as the client takes it."""
        if not self._may_answer():
            source.close()
            return
        self._source = source
        self.start_stream(status, [*headers, ("content-length", str(source.size_bytes))], now)
        self._draw(now)

    def _draw(self, now: float) -> None:
        """Read on, if the client has taken what was read before."""
        while self._source is not None and self._out.size < self._config.write_chunk_bytes:
            data = self._source.read(self._config.write_chunk_bytes)
            if data:
                self._append(self._http.chunk(data), now)
            if not data or self._http.is_head_only:
                self._source.close()
                self._source = None
                self.end_stream(now)

    # Output and deadlines

    def flush(self, now: float) -> None:
        """Write what the socket takes, a bounded amount."""
        if self._out.size and self.stage not in (Stage.LINGERING, Stage.GONE):
            self._write(now)
        else:
            self._maybe_linger(now)
        self._take_place(now)

    def _write(self, now: float) -> bool:
        """True if a byte went out, or the connection ended."""
        if not self._out.size:
            return False
        try:
            sent = self._socket.send(self._out.head(self._config.write_chunk_bytes))
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self._lose()
            return True
        self._out.drop(sent)
        self._draw(now)
        if self._out.size:
            self._loop.set_timer(self._stall_timer, now + self._config.stall_limit_s)
        else:
            self._loop.cancel_timer(self._stall_timer)
            if self._dropping:
                self._dropping = False
                self._emit(ev.ViewerCaughtUp(self.number))
            self._maybe_linger(now)
        return sent > 0

    def _maybe_linger(self, now: float) -> None:
        if self.stage is not Stage.CLOSING or self._out.size:
            return
        self.stage = Stage.LINGERING
        self._http.abandon()
        self._loop.set_timer(self._linger_timer, now + self._config.linger_limit_s)
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
        limit_s = phase_limit_s(phase, self._config)
        if limit_s is not None:
            self._loop.set_timer(self._phase_timer, now + limit_s)
        else:
            self._loop.cancel_timer(self._phase_timer)
        self._take_place(now)

    def _take_place(self, now: float) -> None:
        """Tell whether this connection may give way to a new one, if that has changed."""
        rank = self._rank_now()
        if rank is not self._rank and self.stage is not Stage.GONE:
            self._rank = rank
            self._places.put(self.number, rank, now)

    def _rank_now(self) -> Rank | None:
        if self.stage is Stage.LINGERING:
            return Rank.IDLE
        if self.stage is not Stage.OPEN or self._out.size or self._http.phase is Phase.ANSWERING:
            return None
        return Rank.IDLE if self._http.phase is Phase.IDLE else Rank.HALF_SENT

    def timer(self, what: Deadline, now: float) -> None:
        """A deadline has passed."""
        if what is Deadline.BEHIND:
            self._catch_up(now)
        elif what is Deadline.PHASE and self.stage is Stage.OPEN and self._phase in (Phase.HEAD, Phase.BODY):
            self._time_out(now)
        elif what is Deadline.PEER:
            self._look_for_peer(now)
        else:  # idle, stalled, or lingering long enough
            self._lose()

    def _catch_up(self, now: float) -> None:
        self._is_behind = False
        if self.stage is Stage.OPEN and self._frames is not None:
            self._receive_frames(self._frames, now)
        elif self.stage is Stage.OPEN:
            self._pump(now)

    def _time_out(self, now: float) -> None:
        """A request that takes too long to arrive: answered and closed. HTTP's own 408."""
        self._http.phase = Phase.CLOSING
        self._http.abandon()
        self.stage = Stage.CLOSING
        self._append(fixed.answer(fixed.TOO_SLOW, self._date.text(now)), now)

    def _lose(self) -> None:
        """The connection is over, now."""
        if self.stage is Stage.GONE:
            return
        self.stage = Stage.GONE  # first what others rely on: an error below must not leave a connection that nobody ends
        self._loop.forget(self)
        self._emit(ev.ClientLeft(self.number))
        for timer in (self._phase_timer, self._stall_timer, self._linger_timer, self._peer_timer, self._behind_timer):
            self._loop.cancel_timer(timer)
        self._places.put(self.number, None, 0.0)
        self._out.clear()
        if self._source is not None:
            self._source.close()
        if self._frames is not None:
            self._frames.drop()
        self._http.abandon()

    def failed(self) -> None:
        """A bug of ours: the connection ends, and the core hears that its client has left."""
        self._lose()

    def abort(self) -> None:
        """Close without asking: the daemon ends, or another connection needs the place."""
        self._lose()

    def close(self) -> None:
        """Close the socket. Called by the loop."""
        self._socket.close()
