"""One HTTP/1.1 server connection: the only owner of h11.

Bytes in (`receive`, `receive_eof`), requests out (`next_request`); answers in (`respond`,
`start_stream`, `chunk`, `end_stream`), bytes out. It opens nothing and knows no clock: limits of
size live here, limits of time in `runtime/channel.py`, which is its only caller.

A request is judged when its head is complete (`access.Access`), before a byte of its body is kept
and before `100 Continue` is said. Requests of one connection are answered in order: the next one is
not looked at before the answer has ended. One call of `next_request` does a bounded amount of work:
a body in chunks of one byte would otherwise be 40,000 events of one read. What is left shows in
`is_behind`, and the caller comes back for it in a later turn.
"""

from __future__ import annotations

import re
from enum import Enum

import h11

from relayd.errors import ApiError
from relayd.http.access import Access, Admitted, Refusal
from relayd.http.budget import BodyBudget
from relayd.http.messages import HttpRequest
from relayd.http.routes import Route

SERVER_NAME = "relayd"
NO_BODY = (204, 304)
# h11 takes about 8 µs for an event: a connection costs others a quarter of a millisecond per turn at most.
EVENTS_PER_CALL = 32
HEADER_LINES_MAX = 200  # h11 takes 3 µs for a line, so 64 KB of short ones would hold everybody else for 40 ms and more
HEAD_END = re.compile(rb"\n\r?\n")
OWN_PIECE_BYTES = 16 * 1024  # a piece of a body that is not worth copying into the one before
PIPELINED_MAX_BYTES = 64 * 1024  # read ahead of a running answer
MESSAGE_MAX_CHARS = 200  # h11 quotes what it could not read, whole
RETRY_AFTER_S = 1  # a body that arrives is gone again in a moment
ABSOLUTE_FORM = re.compile(r"http://([^/?#]*)([^#]*)", re.IGNORECASE)


class Phase(Enum):
    """Where the connection stands between two requests."""

    IDLE = "idle"  # nothing of a request has arrived
    HEAD = "head"  # part of a request line or header
    BODY = "body"  # head admitted, body arriving
    ANSWERING = "answering"  # request handed over, answer not complete
    CLOSING = "closing"  # the last answer is out; drain, then close


class Connection:
    """See the module's text. `body_max` and `header_max` are bytes; without `access` every head is admitted."""

    def __init__(self, body_max: int, header_max: int, access: Access | None = None, budget: BodyBudget | None = None) -> None:
        self.phase = Phase.IDLE
        self.is_behind = False  # `next_request` must be called again, without new bytes
        self.origin = ""  # the foreign page that has sent the request handed over last
        self._access = access
        self._budget = budget or BodyBudget(body_max)
        self._general_max = self._body_max = body_max
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=header_max)
        self._early = bytearray()  # what came behind the bytes that h11 has
        self._is_over = False  # the peer sends no more
        self._request = HttpRequest("", "")
        self._route: Route | None = None
        self._body: list[bytearray] = []
        self._size = 0
        self._head_only = False
        self._keep = True

    def __repr__(self) -> str:
        return f"<http1.Connection {self.phase.value} body={self._size} early={len(self._early)}>"

    @property
    def wants_body(self) -> bool:
        """True while a client waits for `100 Continue` before it sends its body."""
        return bool(self.phase is Phase.BODY and self._h11.they_are_waiting_for_100_continue)

    @property
    def is_head_only(self) -> bool:
        """True while a HEAD is answered, whose answer has no body."""
        return self._head_only

    @property
    def is_chunked(self) -> bool:
        """True while a body arrives in chunks: trailing header lines may come behind it."""
        return self.phase is Phase.BODY and "transfer-encoding" in self._request.headers

    @property
    def wants_data(self) -> bool:
        """True if the socket should be read: there is nothing left to work on, or an answer is made and little came early."""
        if self._is_over or self.phase is Phase.CLOSING:
            return False
        if self.phase is Phase.ANSWERING:
            return len(self._early) < PIPELINED_MAX_BYTES
        return not self.is_behind

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer. Errors show up in `next_request`."""
        if self._early or self.phase in (Phase.ANSWERING, Phase.CLOSING):
            self._early += data  # h11 keeps what it gets, without a limit
        else:
            self._h11.receive_data(data)

    def receive_eof(self) -> None:
        """The peer will send no more."""
        self._is_over = True

    def continue_bytes(self) -> bytes:
        """`100 Continue`, for a request whose head was admitted."""
        informational = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
        return self._h11.send(informational) or b""

    def next_request(self) -> HttpRequest | Refusal | None:
        """The next complete request, or a refusal.

        None: more bytes are needed, or the end of the running answer, or (`is_behind`) another call.
        """
        self.is_behind = False
        if self.phase in (Phase.ANSWERING, Phase.CLOSING):
            return None
        try:
            return self._pull()
        except h11.RemoteProtocolError as error:
            self._keep = False
            return self._refuse(ApiError(error.error_status_hint, str(error)[:MESSAGE_MAX_CHARS]))

    def trailing_bytes(self) -> bytes:
        """What has come behind a request that asks for another protocol, once; it is not HTTP."""
        rest = self._h11.trailing_data[0] + bytes(self._early)
        self._early.clear()
        return rest

    def abandon(self) -> None:
        """Nothing more will be read: give back the memory."""
        self._drop_body()
        self._early.clear()

    # Reading

    def _pull(self) -> HttpRequest | Refusal | None:
        for _ in range(EVENTS_PER_CALL):
            if self._h11.their_state is h11.IDLE and self._has_too_many_lines():
                return self._refuse_lines()
            event = self._h11.next_event()
            found: HttpRequest | Refusal | None = None
            if event is h11.NEED_DATA:
                if self.is_chunked and self._has_too_many_lines():
                    return self._refuse_lines()
                if not self._feed():
                    if self.phase is Phase.IDLE and self._h11.trailing_data[0]:
                        self.phase = Phase.HEAD
                    return None
            elif isinstance(event, h11.Request):
                found = self._start(event)
            elif isinstance(event, h11.Data):
                found = self._add(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found = self._complete()
            else:  # ConnectionClosed or PAUSED: nothing more will come
                self.phase = Phase.CLOSING
                return None
            if found is not None:
                return found
        self.is_behind = True
        return None

    def _has_too_many_lines(self) -> bool:
        """Look at what h11 has not yet: a head, or the lines behind a body in chunks, no whole one of which is left."""
        rest = self._h11.trailing_data[0]
        end = HEAD_END.search(rest)
        return rest.count(b"\n", 0, end.start() if end else len(rest)) > HEADER_LINES_MAX

    def _feed(self) -> bool:
        """Give h11 what has come while an answer was made; True if there was something, or the end."""
        if self._early:
            self._h11.receive_data(bytes(self._early))
            self._early.clear()
            return True
        if self._is_over:
            self._h11.receive_data(b"")
        return self._is_over

    def _start(self, event: h11.Request) -> Refusal | None:
        """The head is complete: judge it."""
        self.phase = Phase.BODY
        self._head_only = event.method == b"HEAD"
        self._route, self.origin, self._body_max = None, "", self._general_max
        self._request = _head_of(event)
        if self._access is not None:
            verdict = self._access.judge(self._request.method, self._request.path, self._request.headers)
            if not isinstance(verdict, Admitted):
                self._keep = self._h11.next_event().__class__ is h11.EndOfMessage  # no body that would have to be read
                return self._refuse(verdict.error, verdict)
            self._route, self.origin = verdict.route, verdict.origin
            self._body_max = min(self._general_max, verdict.body_max or self._general_max)
        if int(self._request.headers.get("content-length", 0)) > self._body_max:
            return self._too_large()
        return None

    def _add(self, data: bytes) -> Refusal | None:
        """A piece of the body. Small ones share a buffer: as objects of their own they would take fifty times their size."""
        if self._size + len(data) > self._body_max:
            return self._too_large()
        if not self._budget.take(len(data)):
            self._keep = False
            return self._refuse(ApiError(529, "Overloaded: too many request bodies at once", retry_after_s=RETRY_AFTER_S))
        self._size += len(data)
        if self._body and len(data) < OWN_PIECE_BYTES:
            self._body[-1] += data
        else:  # h11 gives its buffer away: no copy
            self._body.append(data if isinstance(data, bytearray) else bytearray(data))
        return None

    def _complete(self) -> HttpRequest:
        self.phase = Phase.ANSWERING
        head = self._request
        if not self._size:
            return head
        body = bytes(self._body[0]) if len(self._body) == 1 else b"".join(self._body)
        self._drop_body()
        return HttpRequest(head.method, head.path, head.query, head.headers, body)

    def _refuse_lines(self) -> Refusal:
        self._keep = False
        return self._refuse(ApiError(431, f"Request has more than {HEADER_LINES_MAX} header lines"))

    def _too_large(self) -> Refusal:
        self._keep = False
        return self._refuse(ApiError(413, "Request exceeds the maximum size"))

    def _refuse(self, error: ApiError, refusal: Refusal | None = None) -> Refusal:
        self.phase = Phase.ANSWERING
        self._drop_body()
        return refusal or Refusal(error, self._route, self.origin)

    def _drop_body(self) -> None:
        size, self._size, self._body = self._size, 0, []
        self._budget.give_back(size)

    # Answers

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes, date: str = "") -> bytes:
        """A whole answer; `date` is the text of its header. Moves on to the next request, or to CLOSING."""
        length = [("content-length", str(len(body)))] if status not in NO_BODY else []
        head = self._head(status, [*headers, *length], date)
        data = b"" if self._head_only or status in NO_BODY else self._h11.send(h11.Data(data=body)) or b""
        return head + data + self._end()

    def start_stream(self, status: int, headers: list[tuple[str, str]], date: str = "") -> bytes:
        """The head of an answer whose length is not known; chunked for HTTP/1.1 peers."""
        return self._head(status, headers, date)

    def chunk(self, data: bytes) -> bytes:
        """One piece of a streamed body."""
        return self._h11.send(h11.Data(data=data)) or b"" if data and not self._head_only else b""

    def end_stream(self) -> bytes:
        """The end of a streamed body."""
        return self._end()

    def _head(self, status: int, headers: list[tuple[str, str]], date: str) -> bytes:
        extra = [("server", SERVER_NAME)]
        if date:
            extra.append(("date", date))
        if not self._keep:
            extra.append(("connection", "close"))
        raw = [(n.encode("latin-1"), v.encode("utf-8", "replace")) for n, v in [*headers, *extra]]
        return self._h11.send(h11.Response(status_code=status, headers=raw)) or b""

    def _end(self) -> bytes:
        data = self._h11.send(h11.EndOfMessage()) or b""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._route, self.origin = None, ""
            has_more = bool(self._early or self._h11.trailing_data[0])
            self.phase = Phase.HEAD if has_more else Phase.IDLE
            self.is_behind = has_more or self._is_over
        else:
            self.phase = Phase.CLOSING
        return data


def _head_of(event: h11.Request) -> HttpRequest:
    """The head as a request without a body."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("latin-1"), _text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    target = _text(event.target)
    absolute = ABSOLUTE_FORM.fullmatch(target) if not target.startswith("/") else None
    if absolute:  # RFC 9112, 3.2.2: as clients send it to a proxy; Host then counts for nothing
        headers["host"], target = absolute[1], absolute[2] or "/"
        target = target if target.startswith("/") else f"/{target}"
    path, _, query = target.partition("?")
    return HttpRequest(event.method.decode("latin-1"), path, query, headers)


def _text(raw: bytes) -> str:
    """A header's value as its client meant it: UTF-8 nearly always; Latin-1 is the standard's old word, and takes all."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
