"""One HTTP/1.1 server connection: the only owner of h11.

Bytes in (`receive`, `receive_eof`), requests out (`next_request`); answers in (`respond`,
`start_stream`, `chunk`, `end_stream`), bytes out. It opens nothing and knows no clock: limits of
size live here, limits of time in `runtime/channel.py`, which is its only caller. Requests of one
connection are answered in order: the next one is not looked at before the answer has ended.
"""

from __future__ import annotations

from enum import Enum

import h11

from relayd.http.messages import BadRequest, HttpRequest

SERVER_NAME = "relayd"
NO_BODY = (204, 304)


class Phase(Enum):
    """Where the connection stands between two requests."""

    IDLE = "idle"  # nothing of a request has arrived
    HEAD = "head"  # part of a request line or header
    BODY = "body"  # headers complete, body arriving
    ANSWERING = "answering"  # request handed over, answer not complete
    CLOSING = "closing"  # the last answer is out; drain, then close


class Connection:
    """See the module's text. `body_max` and `header_max` are bytes."""

    def __init__(self, body_max: int, header_max: int) -> None:
        self.phase = Phase.IDLE
        self._body_max = body_max
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=header_max)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._head_only = False
        self._keep = True

    def __repr__(self) -> str:
        return f"<http1.Connection {self.phase.value} buffered={self._size}>"

    @property
    def wants_body(self) -> bool:
        """True while a client waits for `100 Continue` before it sends its body."""
        return bool(self.phase is Phase.BODY and self._h11.they_are_waiting_for_100_continue)

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer. Errors show up in `next_request`."""
        self._h11.receive_data(data)

    def receive_eof(self) -> None:
        """The peer will send no more."""
        if self._h11.their_state is not h11.ERROR:
            self._h11.receive_data(b"")

    def continue_bytes(self) -> bytes:
        """`100 Continue`, for a request whose headers were accepted."""
        informational = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
        return self._h11.send(informational) or b""

    def next_request(self) -> HttpRequest | BadRequest | None:
        """The next complete request, a refusal, or None: more bytes (or the running answer's end) are needed."""
        if self.phase in (Phase.ANSWERING, Phase.CLOSING):
            return None
        try:
            return self._pull()
        except h11.RemoteProtocolError as error:
            return self._refuse(error.error_status_hint, str(error))

    def _pull(self) -> HttpRequest | BadRequest | None:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                if self.phase is Phase.IDLE and self._h11.trailing_data[0]:
                    self.phase = Phase.HEAD
                return None
            if isinstance(event, h11.Request):
                refusal = self._start(event)
                if refusal:
                    return refusal
            elif isinstance(event, h11.Data):
                self._size += len(event.data)
                if self._size > self._body_max:
                    return self._refuse(413, "Request exceeds the maximum size")
                self._body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return self._complete()
            else:  # ConnectionClosed or PAUSED: nothing more will come
                self.phase = Phase.CLOSING
                return None

    def _start(self, event: h11.Request) -> BadRequest | None:
        self.phase = Phase.BODY
        self._request = event
        self._body, self._size = [], 0
        self._head_only = event.method == b"HEAD"
        for name, value in event.headers:
            if name == b"content-length" and int(value) > self._body_max:
                return self._refuse(413, "Request exceeds the maximum size")
        return None

    def _complete(self) -> HttpRequest:
        request = self._request
        assert request is not None
        self.phase = Phase.ANSWERING
        headers: dict[str, str] = {}
        for raw_name, raw_value in request.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        path, _, query = request.target.decode("latin-1").partition("?")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._request, self._body = None, []
        return HttpRequest(request.method.decode("latin-1"), path, query, headers, body)

    def _refuse(self, status: int, message: str) -> BadRequest:
        self.phase = Phase.ANSWERING
        self._keep = False
        self._body = []
        return BadRequest(status, message)

    def respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
        """A whole answer. Moves on to the next request, or to CLOSING."""
        length = [("content-length", str(len(body)))] if status not in NO_BODY else []
        head = self._head(status, [*headers, *length])
        data = b"" if self._head_only or status in NO_BODY else self._h11.send(h11.Data(data=body)) or b""
        return head + data + self._end()

    def start_stream(self, status: int, headers: list[tuple[str, str]]) -> bytes:
        """The head of an answer whose length is not known; chunked for HTTP/1.1 peers."""
        return self._head(status, headers)

    def chunk(self, data: bytes) -> bytes:
        """One piece of a streamed body."""
        return self._h11.send(h11.Data(data=data)) or b"" if data and not self._head_only else b""

    def end_stream(self) -> bytes:
        """The end of a streamed body."""
        return self._end()

    def _head(self, status: int, headers: list[tuple[str, str]]) -> bytes:
        extra = [("server", SERVER_NAME)]
        if not self._keep:
            extra.append(("connection", "close"))
        raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in [*headers, *extra]]
        return self._h11.send(h11.Response(status_code=status, headers=raw)) or b""

    def _end(self) -> bytes:
        data = self._h11.send(h11.EndOfMessage()) or b""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self.phase = Phase.HEAD if self._h11.trailing_data[0] else Phase.IDLE
        else:
            self.phase = Phase.CLOSING
        return data
