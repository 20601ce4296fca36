"""One HTTP connection without a socket: requests whole, in pieces, pipelined, too large, wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.http.access import Access, Admitted, Refusal
from relayd.http.budget import BodyBudget
from relayd.http.http1 import EVENTS_PER_CALL, PIPELINED_MAX_BYTES, Connection, Phase
from relayd.http.keys import Keys
from relayd.http.messages import HttpRequest
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
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 200, 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\nhost: x\n" + b"a:\n" * 200 + b"\n", 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"a:\r\n" * 201, 431),
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


def test_a_body_has_as_many_lines_as_it_likes() -> None:
    """Only a head is limited, and what comes behind chunks."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\n" + b"a:\r\n" * 150
    lines = b"\n" * 500
    for rest in (b"content-length: 500\r\n\r\n" + lines, b"transfer-encoding: chunked\r\n\r\n1f4\r\n" + lines + b"\r\n0\r\n\r\n"):
        for size in (1, 7, 5000):
            http, data, found = connection(), head + rest, None
            for at in range(0, len(data), size):
                http.receive(data[at : at + size])
                found = http.next_request()
            assert isinstance(found, HttpRequest)
            assert found.body == lines


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


GATED = Access(7421, keys=Keys("sesame"))
ASKED = b"host: 127.0.0.1:7421\r\ncontent-type: application/json\r\nx-api-key: sesame\r\n"


def judged(data: bytes) -> HttpRequest | Refusal | None:
    """What comes of these bytes, with a policy."""
    http = Connection(1000, 2000, GATED)
    http.receive(data)
    found = http.next_request()
    assert not isinstance(found, Refusal) or not http.wants_body
    return found


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/messages HTTP/1.1\r\nhost: evil.example\r\n", 403),
        (b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:7421\r\n", 401),
        (b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:7421\r\nx-api-key: sesame\r\n", 415),
        (b"POST /v2/messages HTTP/1.1\r\n" + ASKED, 404),
        (b"POST /v1/messages HTTP/1.1\r\n" + ASKED + b"content-length: 1001\r\n", 413),
    ],
)
def test_a_head_is_judged_before_its_body(head: bytes, status: int) -> None:
    """The body was read first, all of it, and kept."""
    for rest in (b"content-length: 10\r\n\r\n", b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n"):
        if b"content-length" in head:
            rest = b"\r\n"
        found = judged(head + rest)
        assert isinstance(found, Refusal)
        assert found.status == status


def test_a_refused_request_without_a_body_leaves_the_connection_usable() -> None:
    http = Connection(1000, 2000, GATED)
    http.receive(b"GET /v1/status HTTP/1.1\r\nhost: 127.0.0.1:7421\r\n\r\n")
    assert isinstance(http.next_request(), Refusal)
    assert b"connection: close" not in http.respond(401, [], b"{}")
    http.receive(b"POST /v1/messages HTTP/1.1\r\n" + ASKED + b"content-length: 2\r\n\r\n{}")
    assert isinstance(http.next_request(), HttpRequest)


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://127.0.0.1:7421/v1/models?limit=1", "evil.example", "/v1/models", "limit=1"),
        ("HTTP://localhost:7421/v1/models", "127.0.0.1:7421", "/v1/models", ""),
        ("http://127.0.0.1:7421", "127.0.0.1:7421", "/", ""),
        ("http://127.0.0.1:7421?x=1", "127.0.0.1:7421", "/", "x=1"),
        ("//v1/messages", "127.0.0.1:7421", "//v1/messages", ""),
        ("/v1/models?u=http://evil.example/", "127.0.0.1:7421", "/v1/models", "u=http://evil.example/"),
        ("*", "127.0.0.1:7421", "*", ""),
    ],
)
def test_targets(target: str, host: str, path: str, query: str) -> None:
    """RFC 9112, 3.2.2: a server must accept the absolute form, and then takes the host from it. Its path was a 404."""
    http = connection()
    http.receive(f"OPTIONS {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    request = http.next_request()
    assert isinstance(request, HttpRequest)
    assert (request.path, request.query) == (path, query)
    assert isinstance(Access(7421).judge("OPTIONS", request.path, request.headers), Admitted)


@pytest.mark.parametrize("authority", ["evil.example", "me@127.0.0.1:7421", "", "127.0.0.1:7421@evil.example"])
def test_the_host_of_an_absolute_target_counts_and_not_the_header(authority: str) -> None:
    found = judged(f"OPTIONS http://{authority}/v1/models HTTP/1.1\r\nhost: 127.0.0.1:7421\r\n\r\n".encode())
    assert isinstance(found, Refusal)
    assert found.status == 403


def test_header_values_are_utf_8_or_else_latin_1() -> None:
    """A session called é was kept as Ã©, and one called ☃ was refused as unprintable."""
    http = connection()
    http.receive(b"GET / HTTP/1.1\r\nhost: x\r\na: caf\xc3\xa9 \xe2\x98\x83\r\nb: caf\xe9\r\n\r\n")
    request = http.next_request()
    assert isinstance(request, HttpRequest)
    assert (request.headers["a"], request.headers["b"]) == ("café ☃", "café")
    assert "café ☃".encode() in http.respond(200, [("x", "café ☃")], b"")


def test_a_call_takes_a_bounded_number_of_events_and_the_rest_later() -> None:
    """A read of 1-byte chunks was 43,000 events in one go."""
    http = connection()
    http.receive(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 500 + b"0\r\n\r\n")
    calls = 0
    while (request := http.next_request()) is None:
        assert http.is_behind
        assert not http.wants_data  # there is enough to do
        calls += 1
    assert calls == 502 // EVENTS_PER_CALL
    assert isinstance(request, HttpRequest)
    assert request.body == b"x" * 500


def test_what_comes_early_waits_outside_of_h11_and_is_bounded() -> None:
    http = connection()
    http.receive(SIZED)
    assert isinstance(http.next_request(), HttpRequest)
    second = HEAD + b"Content-Length: 500\r\n\r\n" + b"x" * 500
    for start in range(0, len(second), 7):
        http.receive(second[start : start + 7])
    assert http.wants_data
    http.receive(b"y" * PIPELINED_MAX_BYTES)
    assert not http.wants_data
    http.respond(200, [], b"")
    assert http.is_behind
    request = http.next_request()
    assert isinstance(request, HttpRequest)
    assert request.body == b"x" * 500


def test_bodies_are_counted_while_they_arrive_and_given_back() -> None:
    budget = BodyBudget(100)
    first, second = (Connection(1000, 2000, None, budget) for _ in range(2))
    for http in (first, second):
        http.receive(HEAD + b"Content-Length: 90\r\n\r\n" + b"x" * 60)
    assert first.next_request() is None
    refusal = second.next_request()
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.error.retry_after_s, budget.held) == (529, 1, 60)
    first.receive(b"x" * 30)
    assert isinstance(first.next_request(), HttpRequest)
    assert budget.held == 0
    third = Connection(1000, 2000, None, budget)
    third.receive(HEAD + b"Content-Length: 90\r\n\r\n" + b"x" * 60)
    assert third.next_request() is None
    third.abandon()
    third.abandon()
    assert budget.held == 0


def test_the_text_of_a_refusal_does_not_repeat_what_was_sent() -> None:
    http = connection()
    http.receive(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"z" * 1500 + b"\r\n\r\n")
    refusal = http.next_request()
    assert isinstance(refusal, Refusal)
    assert len(refusal.error.message) <= 200


def test_the_date_is_the_callers() -> None:
    http = connection()
    http.receive(SIZED)
    http.next_request()
    assert b"\r\ndate: Thu, 26 Nov 2026 11:08:12 GMT\r\n" in http.respond(200, [], b"", "Thu, 26 Nov 2026 11:08:12 GMT")
