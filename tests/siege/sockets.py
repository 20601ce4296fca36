"""Hostile clients below HTTP: torn, slow, pipelined and wrongly framed requests, resets, and WebSockets that keep to no rule."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import time

from tests.siege.hostile import Family
from tests.siege.shapes import SIMPLE
from tests.siege.wire import Client

HELD_S = 3.0  # how long a slow connection is kept up
SLOW_MAX = 60  # slow connections at the same time
FRAMINGS = (
    "content-length: 5\r\ntransfer-encoding: chunked\r\n",
    "content-length: 5\r\ncontent-length: 6\r\n",
    "content-length: -1\r\n",
    "content-length: 99999999999999999999999\r\n",
    "content-length: 1e2\r\n",
    "content-length: 0x10\r\n",
    "transfer-encoding: chunked, chunked\r\n",
    "transfer-encoding: xchunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "transfer-encoding : chunked\r\n",
    " transfer-encoding: chunked\r\n",
    "content-length: 5\r\n folded: x\r\n",
    "bad header\r\n",
    "x: \x00\r\n",
    "x: a\rb\r\n",
    ": empty\r\n",
    "expect: 100-continue\r\ncontent-length: 5\r\n",
    "expect: nonsense\r\ncontent-length: 5\r\n",
    "connection: close, keep-alive, upgrade\r\nupgrade: h2c\r\ncontent-length: 0\r\n",
)
STARTS = (
    "POST /v1/messages HTTP/1.1",
    "POST /v1/messages HTTP/1.0",
    "POST /v1/messages HTTP/2.0",
    "POST /v1/messages HTTP/9",
    "POST  /v1/messages HTTP/1.1",
)
JUNK = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00" * 1000,
    b"\r\n" * 500,
    b"GET /\r\n\r\n",
    b"\xff" * 70_000,
)


class Raw(Family):
    """One short, wrong thing on a connection of its own."""

    name, rate = "raw sockets", 6.0

    def once(self) -> None:
        kind = self.chance.choice(
            (self._framing, self._torn, self._junk, self._chunks, self._pipeline, self._huge_head, self._half_close, self._reset)
        )
        with contextlib.suppress(OSError):
            kind()

    def _post(self, text: str = "echo words", **fields: object) -> bytes:
        return self.client.bytes_of(
            "POST", "/v1/messages", json.dumps(SIMPLE | {"messages": [{"role": "user", "content": text}]} | fields).encode()
        )

    def _sent(self, what: str, data: bytes, until_s: float = 2.0, shut: bool = False) -> bytes:
        """Send it, read what comes for a while."""
        client = Client(self.url, until_s)
        answer = b""
        try:
            client.sock.sendall(data)
            if shut:
                client.sock.shutdown(socket.SHUT_WR)
            while len(answer) < 1_000_000 and (piece := client.sock.recv(65536)):
                answer += piece
        except OSError:
            pass
        finally:
            client.close()
        self._counted(what, data, answer)
        return answer

    def _counted(self, what: str, data: bytes, answer: bytes) -> None:
        status = answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.") else "nothing"
        self.tally.count(self.name, status)
        if b"HTTP/1.1 500" in answer or b"Traceback" in answer:
            self.tally.caused(self.name, 500, data, answer)
            self.tally.fault(f"{self.name}: 500 for {what}: {answer[:200]!r}")

    def _framing(self) -> None:
        host = self.url.removeprefix("http://")
        start, framing = self.chance.choice(STARTS), self.chance.choice(FRAMINGS)
        data = (
            f"{start}\r\nhost: {host}\r\ncontent-type: application/json\r\n{framing}\r\n".encode("latin-1")
            + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
        )
        self._sent(f"{start} {framing}", data, 0.3)

    def _torn(self) -> None:
        data = self._post()
        self._sent("a torn request", data[: self.chance.randrange(1, len(data))], 0.05)

    def _junk(self) -> None:
        self._sent("junk", self.chance.choice(JUNK), 0.3)

    def _chunks(self) -> None:
        host = self.url.removeprefix("http://")
        body = json.dumps(SIMPLE | {"model": 5}).encode()
        size = self.chance.choice((1, 1, 7))
        pieces = [body[i : i + size] for i in range(0, len(body), size)] * self.chance.choice((1, 20, 200))
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        wrong = self.chance.choice(
            (b"", b"zz\r\n", b"ffffffffffffffff\r\n", b"5;ext=" + b"x" * 5000 + b"\r\nhello\r\n", b"-1\r\n")
        )
        data = (
            head.encode()
            + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces)
            + wrong
            + b"0\r\n"
            + b"t: v\r\n" * self.chance.choice((0, 2000))
            + b"\r\n"
        )
        self._sent("chunks", data, 2.0, shut=True)

    def _pipeline(self) -> None:
        small = self.client.bytes_of("GET", "/v1/version")
        large = self.client.bytes_of("POST", "/v1/messages/count_tokens", json.dumps(SIMPLE | {"system": "x" * 70_000}).encode())
        count = self.chance.choice((2, 30, 300))
        data = self.chance.choice((small * count, large * min(count, 5), small + large + small))
        wanted = data.count(b" HTTP/1.1\r\n")
        answer = self._sent("pipelining", data, 5.0, shut=True)
        found = answer.count(b"HTTP/1.1 200 ")
        self.tally.counts[self.name, "200"] += max(0, found - 1)
        if found != wanted:
            self.tally.fault(f"{self.name}: {found} answers to {wanted} pipelined requests ({len(data)} bytes)")

    def _huge_head(self) -> None:
        start = b"GET /v1/version HTTP/1.1\r\nhost: " + self.url.removeprefix("http://").encode() + b"\r\n"
        more = self.chance.choice(
            (b"a: b\r\n" * 20_000, b"x: " + b"y" * 500_000 + b"\r\n", b"GET /" + b"z" * 100_000, b"a" * 200_000)
        )
        self._sent("a huge head", start + more + b"\r\n", 2.0)

    def _half_close(self) -> None:
        self._sent("a half-closed request", self._post("pause 0.02 a\nb"), 5.0, shut=True)

    def _reset(self) -> None:
        client = Client(self.url, 2.0)
        client.sock.sendall(
            self.chance.choice(
                (self._post("pause 0.05 a\nb\nc", stream=True), b"GET /v1/status", self.client.bytes_of("GET", "/v1/status"))
            )
        )
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        self.tally.count(self.name, "reset")


class Slow(Family):
    """Many slow connections at the same time: heads, bodies, answers that are never read."""

    name, rate = "slow sockets", 10.0

    def __init__(self, *rest: object) -> None:
        super().__init__(*rest)  # type: ignore[arg-type]
        self._held: list[tuple[float, socket.socket, bytes]] = []

    def once(self) -> None:
        now = time.monotonic()
        with contextlib.suppress(OSError):
            if len(self._held) < SLOW_MAX:
                self._held.append((now, self._opened(), self.chance.choice((b"a", b"x: y\r\n", b" ", b"1\r\nx\r\n"))))
        for begun, sock, byte in list(self._held):
            try:
                if now - begun > HELD_S * (1 + self.chance.random() * 4):
                    raise OSError
                sock.send(byte)
            except BlockingIOError:
                pass
            except OSError:
                sock.close()
                self._held.remove((begun, sock, byte))

    def _opened(self) -> socket.socket:
        client = Client(self.url, 2.0)
        sock = client.sock
        host = self.url.removeprefix("http://")
        head = f"POST /v1/messages HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        kind = self.chance.randrange(5)
        if kind == 0:
            sock.sendall(b"POST /v1/me")
        elif kind == 1:
            sock.sendall(f"{head}content-length: 1000000\r\n\r\n".encode() + b'{"model":')
        elif kind == 2:
            sock.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        elif kind == 3:  # never read
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.sendall(self.client.bytes_of("GET", "/v1/status") * 100)
        self.tally.count(self.name, "held")
        sock.setblocking(False)
        return sock

    def close(self) -> None:
        for _, sock, _ in self._held:
            sock.close()


def frame(opcode: int, data: bytes, final: bool = True, masked: bool = True) -> bytes:
    """One WebSocket frame."""
    first = (0x80 if final else 0) | opcode
    size = len(data)
    head = struct.pack("!BB", first, (0x80 if masked else 0) | min(size, 126 if size < 65536 else 127))
    head += struct.pack("!H", size) if 126 <= size < 65536 else struct.pack("!Q", size) if size >= 65536 else b""
    return head + (b"\0\0\0\0" if masked else b"") + data


FRAMES = (
    (1, b'{"watch": 5}'),
    (1, b'{"watch": {"a": []}}'),
    (1, b'{"token": "guessed"}'),
    (1, b'{"token": "\\ud800"}'),
    (1, b'{"token": ' + b"[" * 5000),
    (1, b"[]"),
    (1, b"no JSON"),
    (1, b"\xff\xfe"),
    (1, b"x" * 60_000),
    (1, b"x" * 200_000),
    (2, b"\x00" * 100),
    (0, b"a continuation of nothing"),
    (8, b"\x03"),
    (8, struct.pack("!H", 999) + b"why"),
    (9, b"ping"),
    (9, b"p" * 126),
    (3, b"reserved"),
    (15, b""),
)


class WebSockets(Family):
    """Upgrades and frames that keep to no rule."""

    name, rate = "websockets", 3.0

    def once(self) -> None:
        good = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": base64.b64encode(os.urandom(16)).decode()}
        headers = good | {"sec-websocket-version": "13"}
        spoiled = self.chance.random() < 0.3
        if spoiled:
            name = self.chance.choice(list(headers))
            headers[name] = self.chance.choice(("", "x", "99", "x" * 5000, "websocket, h2c"))
        data = self.client.bytes_of("GET", "/v1/live", b"", **headers)
        at_once = b"".join(self._frame() for _ in range(self.chance.choice((0, 1, 5, 50))))
        client = Client(self.url, 0.3)
        answer = b""
        try:
            client.sock.sendall(data + (at_once if self.chance.random() < 0.5 else b""))
            answer = client.sock.recv(65536)
            client.sock.sendall(at_once)
            while len(answer) < 500_000 and (piece := client.sock.recv(65536)):
                answer += piece
        except OSError:
            pass
        finally:
            client.close()
        status = answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.") else "nothing"
        self.tally.count(self.name, status)
        if status == "500":
            self.tally.caused(self.name, 500, data + at_once, answer)
            self.tally.fault(f"{self.name}: 500 for an upgrade {headers}")

    def _frame(self) -> bytes:
        opcode, data = self.chance.choice(FRAMES)
        made = frame(opcode, data, self.chance.random() < 0.8, self.chance.random() < 0.9)
        return made if self.chance.random() < 0.9 else made[: self.chance.randrange(1, len(made) + 1)]


FAMILIES: tuple[type[Family], ...] = (Raw, Slow, WebSockets)
