"""One HTTP connection without a socket: requests whole, in pieces, pipelined, too large, wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.http.http1 import Connection, Phase
from relayd.http.messages import Refusal, HttpRequest
from tests.helpers import splits

HEAD = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\n"
SIZED = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


def connection() -> Connection:
    return Connection(body_max=1000, header_max=2000)


@pytest.mark.parametrize("data", [SIZED, CHUNKED])
def test_a_request_does_not_depend_on_splits(data: bytes) -> None:
    for pieces in splits(data):
        http = connection()
        found = []
        for piece in pieces:
            if piece:
                http.receive(piece)
                found.append(http.next_request())
        request = [f for f in found if f is not None]
        assert len(request) == 1
        assert isinstance(request[0], HttpRequest)
        assert (request[0].method, request[0].path, request[0].query, request[0].body) == (
            "POST",
            "/v1/messages",
            "beta=true",
            b"hello",
        )
        assert request[0].headers["x-a"] == "1, 2"


def test_pipelined_requests_wait_for_their_turn() -> None:
    http = connection()
    http.receive(SIZED + b"GET /second HTTP/1.1\r\nhost: x\r\n\r\n")
    first = http.next_request()
    assert isinstance(first, HttpRequest)
    assert http.next_request() is None
    assert b"200" in http.respond(200, [], b"one")
    second = http.next_request()
    assert isinstance(second, HttpRequest)
    assert second.path == "/second"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000, 413),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 3000, 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\nhello", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", 400),
    ],
)
def test_a_refused_request_is_answered_and_the_connection_ends(data: bytes, status: int) -> None:
    http = connection()
    http.receive(data)
    refusal = http.next_request()
    assert isinstance(refusal, Refusal)
    assert refusal.status == status
    answer = http.respond(status, [], b"{}")
    assert b"connection: close" in answer
    assert http.phase is Phase.CLOSING
    assert http.next_request() is None


def test_expect_continue() -> None:
    http = connection()
    http.receive(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert http.next_request() is None
    assert http.wants_body
    assert http.continue_bytes().startswith(b"HTTP/1.1 100")
    assert not http.wants_body
    http.receive(b"ok")
    request = http.next_request()
    assert isinstance(request, HttpRequest)
    assert request.body == b"ok"


def test_head_has_no_body_and_old_clients_are_not_chunked() -> None:
    http = connection()
    http.receive(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
    http.next_request()
    assert http.respond(200, [], b"{}").endswith(b"\r\n\r\n")
    old = connection()
    old.receive(b"POST / HTTP/1.0\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
    old.next_request()
    data = old.start_stream(200, []) + old.chunk(b"piece") + old.end_stream()
    assert data.endswith(b"\r\n\r\npiece")
    assert old.phase is Phase.CLOSING


@pytest.mark.parametrize(
    ("data", "phase"), [(b"", Phase.IDLE), (b"GE", Phase.HEAD), (SIZED[:-1], Phase.BODY), (SIZED, Phase.ANSWERING)]
)
def test_the_phase_says_what_is_awaited(data: bytes, phase: Phase) -> None:
    http = connection()
    http.receive(data) if data else None
    http.next_request()
    assert http.phase is phase


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_a_refusal_or_a_wait(data: bytes) -> None:
    http = connection()
    if data:
        http.receive(data)
    assert isinstance(http.next_request(), HttpRequest | Refusal | None)
