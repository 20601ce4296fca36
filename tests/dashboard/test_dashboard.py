"""The dashboard's files and its WebSocket, with a client that speaks the protocol by itself."""

from __future__ import annotations

import base64
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, RejectConnection, Request, TextMessage

from relayd.daemon.assets import MANUAL
from relayd.doctor.harness import Harness
from relayd.http.websocket import WebSocket
from tests.daemon.test_http import fds, raw
from tests.helpers import ask, connect, post, splits, text_of, until

Make = Callable[..., Harness]
PATIENCE = 30
UPGRADE = {
    "host": "127.0.0.1:1",
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}


class Page:
    """A dashboard without a browser."""

    def __init__(self, url: str, **headers: str) -> None:
        self.socket = connect(url)
        self.wire = WSConnection(ConnectionType.CLIENT)
        host = url.removeprefix("http://")
        extra = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        self.socket.sendall(self.wire.send(Request(host=host, target="/v1/live", extra_headers=extra)))
        self.text = ""
        self.events: list[Any] = []

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def event(self) -> Any:
        while not self.events:
            data = self.socket.recv(65536)
            self.wire.receive_data(data or None)
            self.events += list(self.wire.events())
        return self.events.pop(0)

    def message(self, kind: str) -> dict[str, Any]:
        """The next message of this kind; a status comes every second, so that a page that waits in vain hears of it."""
        statuses = 0
        while statuses < PATIENCE:
            event = self.event()
            assert not isinstance(event, (CloseConnection, RejectConnection)), event
            if isinstance(event, TextMessage):
                self.text += event.data
                if event.message_finished:
                    value, self.text = json.loads(self.text), ""
                    statuses += value["type"] == "status"
                    if value["type"] == kind:
                        found: dict[str, Any] = value
                        return found
        raise AssertionError(f"no {kind} came")

    def send(self, value: Any) -> None:
        self.socket.sendall(self.wire.send(TextMessage(data=value if isinstance(value, str) else json.dumps(value))))


def test_the_page_loads_nothing_from_elsewhere(daemon: Make) -> None:
    url = daemon().url
    status, headers, body = raw(url, "GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'self'" in headers["content-security-policy"]
    for name in ("app.js", "calls.js", "try.js", "app.css", "xterm/xterm.js", "xterm/xterm.css"):
        assert f'"/dashboard/{name}"'.encode() in body
        assert raw(url, "GET", f"/dashboard/{name}")[0] == 200
        assert b"https://" not in raw(url, "GET", f"/dashboard/{name}")[2] or name.startswith("xterm")
    assert b"http" not in body.replace(b"http-equiv", b"")
    for name in ("index.html", "../config.py", "nothing.js"):
        assert raw(url, "GET", f"/dashboard/{name}")[0] == 404


def test_the_manual_is_served_with_the_pages_policy_and_without_the_token(daemon: Make, tmp_path: pathlib.Path) -> None:
    token = tmp_path / "token"
    token.write_text("sesame-0123456789")
    token.chmod(0o600)
    url = daemon(token_file=str(token)).url
    for path in ("/docs", *(f"/docs/{name}" for name in MANUAL)):
        status, headers, body = raw(url, "GET", path)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'self'" in headers["content-security-policy"]
        assert b"<title>relayd" in body
        assert raw(url, "HEAD", path)[0] == 200
        assert raw(url, "POST", path, b"{}", content_type="application/json")[0] == 405
    assert raw(url, "GET", "/dashboard/docs.css")[0] == 200
    for path in (
        "/docs/",
        "/docs/index.html",
        "/docs/..",
        "/docs/app.js",
        "/docs/relayd.2",
        "/docs/relayd.1/x",
        "/dashboard/docs/relayd.1",
    ):
        assert raw(url, "GET", path)[0] == 404, path


def test_a_page_sees_the_status_and_the_terminal_of_a_process(daemon: Make) -> None:
    harness = daemon(idle=1, warm_model="claude-sonnet-4-6")
    post(harness.url, ask("echo before"))
    with Page(harness.url) as page:
        assert isinstance(page.event(), AcceptConnection)
        status = page.message("status")
        assert (status["recent"][0]["status"], status["served"]) == (200, 1)
        slot = until(lambda: [s for s in page.message("status")["slots"] if s["state"] == "waiting"])[0]["slot"]
        page.send({"watch": slot})
        first = page.message("terminal")
        assert (first["slot"], first["reset"], first["columns"], first["rows"]) == (slot, True, 160, 50)
        post(harness.url, ask("echo SEEN flood 3000"))
        seen = b""
        while b"Claude Code" not in seen:
            seen += base64.b64decode(page.message("terminal")["data"])
        page.send({"watch": "no such process"})
        while not page.message("terminal").get("gone"):
            pass
        page.send({"watch": None})
    before = fds(harness)
    assert text_of(post(harness.url, ask("echo still"))[2]) == "still"
    until(lambda: fds(harness) <= before)


def test_a_page_must_bring_the_token(daemon: Make, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("sesame-0123456789")
    file.chmod(0o600)
    with Page(daemon(token_file=str(file)).url) as page:
        assert page.message("token") == {"type": "token"}
        page.send({"token": "wrong"})
        assert page.message("token")["wrong"] is True
        page.send({"token": "sesame-0123456789"})
        assert page.message("status")["status"] == "ok"


def test_a_page_that_watches_without_the_token_is_cut_off(daemon: Make, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("sesame-0123456789")
    file.chmod(0o600)
    with Page(daemon(token_file=str(file)).url) as page:
        page.message("token")
        page.send({"watch": "x"})
        page.socket.settimeout(10)
        assert page.socket.recv(1) == b""


def test_foreign_pages_are_kept_out_of_the_websocket(daemon: Make) -> None:
    url = daemon().url
    with Page(url, origin="https://evil.example") as page:
        assert isinstance(page.event(), RejectConnection)
    assert raw(url, "GET", "/v1/live")[0] == 400
    assert raw(url, "GET", "/v1/live", upgrade="websocket")[0] == 400


@pytest.mark.parametrize("message", ["no JSON", "[]", "{}", '{"watch": 1', "3", "x" * 70_000])
def test_messages_that_make_no_sense_end_the_connection_and_nothing_else(daemon: Make, message: str) -> None:
    url = daemon().url
    with Page(url) as page:
        page.event()
        page.send(message)
        page.socket.settimeout(10)
        while page.socket.recv(65536):
            pass
    assert text_of(post(url, ask("echo on"))[2]) == "on"


def test_a_slow_page_loses_frames_and_slows_nobody(daemon: Make) -> None:
    """Its buffer is bounded; when it reads on it is told, and sees the screen afresh."""
    harness = daemon(idle=1, viewer_out_max_bytes=20_000, warm_model="claude-sonnet-4-6")
    with Page(harness.url) as page:
        page.event()
        slot = until(lambda: [s for s in page.message("status")["slots"] if s["state"] == "waiting"])[0]["slot"]
        page.send({"watch": slot})
        page.message("terminal")
        assert text_of(post(harness.url, ask("echo flood 20000000"))[2]) == "flood 20000000"
        assert text_of(post(harness.url, ask("echo next"))[2]) == "next"
        assert page.message("dropped") == {"type": "dropped"}


def test_pings_are_answered(daemon: Make) -> None:
    with Page(daemon().url) as page:
        page.event()
        page.socket.sendall(page.wire.send(Ping(payload=b"are you there")))
        while not isinstance(event := page.event(), Pong):
            pass
        assert bytes(event.payload) == b"are you there"


def masked(text: str, opcode: int = 1, final: bool = True) -> bytes:
    data = text.encode()
    assert len(data) < 126
    return bytes([opcode | (0x80 if final else 0), 0x80 | len(data)]) + b"\0\0\0\0" + data


def test_frames_at_every_split_are_the_same_messages() -> None:
    data = masked("one") + masked("tw", final=False) + masked("", opcode=9) + masked("ö", opcode=0) + masked("three")
    for pieces in splits(data):
        server = WebSocket(UPGRADE, "/v1/live", 1000)
        assert server.accept().startswith(b"HTTP/1.1 101 ")
        found = [text for piece in pieces for text in server.receive(piece)[0]]
        assert found == ["one", "twö", "three"]
        assert server.is_open


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_are_messages_or_the_end(pieces: list[bytes]) -> None:
    server = WebSocket(UPGRADE, "/v1/live", 100)
    server.accept()
    for piece in pieces:
        messages, _ = server.receive(piece)
        assert all(len(m) <= 100 for m in messages)
    assert isinstance(server.send("x"), bytes)


def test_a_page_gets_the_earlier_calls_once_so_that_they_can_be_searched(daemon: Make) -> None:
    """It had the last 50, and found nothing older."""
    url = daemon().url
    for number in range(60):
        post(url, ask(f"echo {number}", messages=[]))
    with Page(url) as page:
        assert len(page.message("calls")["calls"]) == 60
        status = page.message("status")
        assert len(status["recent"]) == 50
        assert sum(calls for _, calls, _ in status["timeline"]["minutes"]) == 60
