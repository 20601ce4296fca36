"""The client's side of HTTP: answers whole, byte by byte, in pieces at random, and hostile ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.http.exchange import EVENTS_PER_CALL, HEADER_LINES_MAX, Body, End, Exchange, Head, WrongAnswer
from tests.helpers import splits

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\nx-a: 2\r\n"
SIZED = HEAD + b"content-length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\ntrailer: x\r\n\r\n"
UNSIZED = HEAD + b"\r\nhello"


def asked() -> Exchange:
    exchange = Exchange()
    exchange.opening("POST", "/v1/messages", [("host", "x")], b"{}")
    return exchange


def read(pieces: list[bytes], ends: bool = True) -> tuple[Head | None, bytes, bool]:
    """The head, the body, and whether it ended. Raises WrongAnswer."""
    exchange, found = asked(), []
    for piece in [*filter(None, pieces), *([b""] if ends else [])]:  # an empty one is the end
        exchange.receive(piece)
        found += exchange.next_pieces()
        while exchange.is_behind:
            found += exchange.next_pieces()
    heads = [piece for piece in found if isinstance(piece, Head)]
    assert len(heads) <= 1
    return heads[0] if heads else None, b"".join(p.data for p in found if isinstance(p, Body)), found[-1:] == [End()]


@pytest.mark.parametrize("answer", [SIZED, CHUNKED, UNSIZED, b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + SIZED])
def test_an_answer_is_the_same_however_it_is_split(answer: bytes) -> None:
    for pieces in splits(answer):
        head, body, has_ended = read(pieces)
        assert head is not None
        assert (head.status, head.headers["x-a"], body, has_ended) == (200, "1, 2", b"hello", True)


def test_one_with_a_length_ends_without_the_connections_end() -> None:
    assert read([SIZED], ends=False)[1:] == (b"hello", True)
    assert read([CHUNKED], ends=False)[1:] == (b"hello", True)
    assert read([UNSIZED], ends=False)[1:] == (b"hello", False)


def test_what_comes_behind_the_end_is_ignored() -> None:
    exchange = asked()
    exchange.receive(SIZED + b"HTTP/1.1 500 x\r\n\r\n")
    assert exchange.next_pieces()[-1] == End()
    exchange.receive(b"and more")
    exchange.receive(b"")
    assert exchange.next_pieces() == []
    assert "complete=True" in repr(exchange)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "does not speak HTTP"),
        (b"\x16\x03\x01\x00\x05hello\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-", "without an answer"),
        (b"HTTP/1.1 9 OK\r\n\r\n", "does not speak HTTP"),
        (HEAD + b"content-length: -1\r\n\r\n", "does not speak HTTP"),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n", "does not speak HTTP"),
        (HEAD + b"content-length: 6\r\n\r\nhello", "broke off"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhel", "broke off"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "broke off"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", "does not speak HTTP"),
        (HEAD + b"transfer-encoding: gzip\r\n\r\nxyz\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (HEADER_LINES_MAX + 1) + b"\r\n", "more than 200 lines"),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000, "does not speak HTTP"),
        (b"HTTP/1.1 102 Wait\r\n\r\n" * 17 + SIZED, "nothing but 1xx"),
    ],
)
def test_what_is_no_answer_is_an_error(answer: bytes, words: str) -> None:
    for number, pieces in enumerate(splits(answer)):
        if number < 2 or len(answer) < 10_000:
            with pytest.raises(WrongAnswer, match=words):
                read(pieces)


def test_a_long_body_of_many_lines_is_no_long_head() -> None:
    lines = b"\n" * 5000
    assert read([HEAD + b"content-length: 5000\r\n\r\n" + lines])[1] == lines


def test_one_call_does_a_bounded_amount_of_work() -> None:
    exchange = asked()
    exchange.receive(HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100)
    assert len(exchange.next_pieces()) == EVENTS_PER_CALL
    assert exchange.is_behind


def test_the_request_goes_out_with_its_length_and_asks_for_the_end() -> None:
    head, body = Exchange().opening("POST", "/v1/messages?beta=true", [("host", "x"), ("a", "b")], b'{"k": 1}')
    assert head.startswith(b"POST /v1/messages?beta=true HTTP/1.1\r\n")
    assert b"content-length: 8\r\n" in head
    assert b"connection: close\r\n" in head
    assert body == b'{"k": 1}'


@pytest.mark.parametrize(
    "headers", [[("host", "x"), ("a", "b\r\nc: d")], [("host", "x"), ("ä", "b")], [("host", "x"), ("a", "ä")]]
)
def test_a_header_that_cannot_be_sent_is_an_error(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011, of either kind
        Exchange().opening("POST", "/", headers, b"")


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_whatever_comes_is_an_answer_or_one_error(pieces: list[bytes], has_head: bool) -> None:
    with contextlib.suppress(WrongAnswer):
        read([HEAD + b"transfer-encoding: chunked\r\n\r\n", *pieces] if has_head else pieces)
