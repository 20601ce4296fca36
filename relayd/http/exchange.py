"""One HTTP/1.1 request to another server and its answer: the client's side of h11.

A request becomes bytes (`opening`); bytes become the answer's head, pieces of its body, and its end (`next_pieces`). It opens
nothing and knows no clock: limits of time are the core's, and `runtime/upstream.py` is its only caller. One call of
`next_pieces` does a bounded amount of work; what is left shows in `is_behind`, and the caller comes back for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import h11

from relayd.http.messages import text_of

EVENTS_PER_CALL = 32  # of h11, at about 8 µs each
HEAD_MAX_BYTES = 64 * 1024
HEADER_LINES_MAX = 200  # h11 takes 3 µs for a line
INFORMATION_MAX = 16  # heads of 1xx before the answer's own


@dataclass(frozen=True)
class Head:
    """The answer's status and headers; names in lower case, repeated ones joined by ", "."""

    status: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Body:
    """A piece of the answer's body."""

    data: bytes


@dataclass(frozen=True)
class End:
    """The answer is complete."""


Piece = Head | Body | End


class WrongAnswer(Exception):
    """What the other side sends is no HTTP answer, or breaks off; the text says in what way."""


class Exchange:
    """See the module's text."""

    def __init__(self) -> None:
        self.is_behind = False
        self.is_complete = False
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX_BYTES)
        self._has_head = False
        self._is_over = False
        self._information = 0

    def __repr__(self) -> str:
        return f"<Exchange head={self._has_head} complete={self.is_complete}>"

    def opening(self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> tuple[bytes, bytes]:
        """The request's head and its body, as they go out. Raises ValueError for what no head can hold."""
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        length = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        try:
            head = self._h11.send(h11.Request(method=method, target=target, headers=[*raw, *length])) or b""
        except h11.LocalProtocolError as error:
            raise ValueError("the request has a header that cannot be sent") from error
        sent = self._h11.send(h11.Data(data=body)) or b""
        self._h11.send(h11.EndOfMessage())
        return head, sent

    def receive(self, data: bytes) -> None:
        """Take bytes from the other side; empty: it sends no more."""
        self._is_over = self._is_over or not data
        if not self.is_complete:
            try:
                self._h11.receive_data(data)
            except RuntimeError as error:  # bytes behind the end, which a closed connection cannot have
                raise WrongAnswer("it went on after its end") from error

    def next_pieces(self) -> list[Piece]:
        """What has come since. Raises WrongAnswer; what is not HTTP is an error before anything of it is given."""
        pieces: list[Piece] = []
        self.is_behind = False
        for _ in range(EVENTS_PER_CALL):
            if self.is_complete or not self._pull(pieces):
                return pieces
        self.is_behind = True
        return pieces

    def _pull(self, pieces: list[Piece]) -> bool:
        """One event of h11; False if it needs more bytes."""
        if not self._has_head and self._h11.trailing_data[0].count(b"\n") > HEADER_LINES_MAX:
            self._check_head()
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise WrongAnswer(self._wrong()) from error
        match event:
            case h11.InformationalResponse():
                self._information += 1
                if self._information > INFORMATION_MAX:
                    raise WrongAnswer("it sent nothing but 1xx")
            case h11.Response():
                self._has_head = True
                pieces.append(Head(event.status_code, _headers(event.headers)))
            case h11.Data():
                pieces.append(Body(bytes(event.data)))
            case h11.EndOfMessage():
                self.is_complete = True
                pieces.append(End())
            case h11.ConnectionClosed():
                raise WrongAnswer(self._wrong())
            case _:
                return False
        return True

    def _wrong(self) -> str:
        """In words what h11 has found, without what it quotes of the other side."""
        if not self._is_over:
            return "it does not speak HTTP"
        return "it broke off" if self._has_head else "it closed the connection without an answer"

    def _check_head(self) -> None:
        """Refuse a head of too many lines before h11 works on them."""
        rest = self._h11.trailing_data[0]
        ends = [end for end in (rest.find(b"\n\n"), rest.find(b"\n\r\n")) if end >= 0]
        if rest.count(b"\n", 0, min(ends, default=len(rest))) > HEADER_LINES_MAX:
            raise WrongAnswer(f"its head has more than {HEADER_LINES_MAX} lines")


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), text_of(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
