"""A WebSocket without a socket, against the same library's client side."""

from __future__ import annotations

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage

from relayd.http.websocket import TOO_BIG, WebSocket, is_upgrade

HEADERS = {
    "host": "127.0.0.1:7421",
    "upgrade": "WebSocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
MAX = 20


@pytest.fixture
def pair() -> tuple[WebSocket, WSConnection]:
    """Our side and a client's, both open."""
    client = WSConnection(ConnectionType.CLIENT)
    lines = client.send(Request(host="127.0.0.1:7421", target="/live")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    ours = WebSocket(headers, "/live", MAX)
    client.receive_data(ours.accept())
    assert isinstance(next(client.events()), AcceptConnection)
    return ours, client


def test_an_upgrade_is_known_by_its_header() -> None:
    assert is_upgrade(HEADERS)
    assert not is_upgrade({"upgrade": "h2c"})
    assert not is_upgrade({})


@pytest.mark.parametrize("lacking", ["sec-websocket-key", "connection", "sec-websocket-version"])
def test_an_upgrade_that_is_none_is_refused(lacking: str) -> None:
    with pytest.raises(ValueError, match="not a WebSocket upgrade"):
        WebSocket({k: v for k, v in HEADERS.items() if k != lacking}, "/live", MAX).accept()


def test_texts_go_both_ways_also_in_pieces(pair: tuple[WebSocket, WSConnection]) -> None:
    ours, client = pair
    assert ours.receive(client.send(TextMessage("he", message_finished=False))) == ([], b"")
    assert ours.receive(client.send(TextMessage("llo"))) == (["hello"], b"")
    assert ours.receive(client.send(TextMessage("a")) + client.send(TextMessage("b"))) == (["a", "b"], b"")
    client.receive_data(ours.send("back"))
    assert [e.data for e in client.events() if isinstance(e, TextMessage)] == ["back"]


def test_a_binary_message_is_an_empty_one(pair: tuple[WebSocket, WSConnection]) -> None:
    ours, client = pair
    assert ours.receive(client.send(BytesMessage(b"xyz"))) == ([""], b"")


def test_a_ping_is_answered(pair: tuple[WebSocket, WSConnection]) -> None:
    ours, client = pair
    client.receive_data(ours.receive(client.send(Ping(b"p")))[1])
    assert [e.payload for e in client.events() if isinstance(e, Pong)] == [b"p"]


def test_a_close_is_answered_and_nothing_is_sent_after_it(pair: tuple[WebSocket, WSConnection]) -> None:
    ours, client = pair
    _, back = ours.receive(client.send(CloseConnection(code=1000)))
    client.receive_data(back)
    assert [e.code for e in client.events() if isinstance(e, CloseConnection)] == [1000]
    assert not ours.is_open
    assert ours.send("x") == b""


def test_a_message_past_the_limit_ends_the_connection_by_its_code(pair: tuple[WebSocket, WSConnection]) -> None:
    ours, client = pair
    assert ours.receive(client.send(TextMessage("x" * MAX)))[0] == ["x" * MAX]
    messages, back = ours.receive(client.send(TextMessage("x" * (MAX + 1))) + client.send(TextMessage("late")))
    client.receive_data(back)
    assert [e.code for e in client.events() if isinstance(e, CloseConnection)] == [TOO_BIG]
    assert (messages, ours.is_open) == ([], False)


def test_bytes_that_are_no_websocket_end_it_without_an_exception(pair: tuple[WebSocket, WSConnection]) -> None:
    ours, _ = pair
    assert ours.receive(b"\xff" * 40)[0] == []
    assert not ours.is_open
