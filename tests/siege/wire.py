"""A client of a daemon that says how each exchange ended, and never raises for what a daemon does."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.siege.judge import judge

PATHS = {False: "/v1/messages", True: "/v1/chat/completions"}


@dataclass(frozen=True)
class Got:
    """An exchange: `end` is `whole`, `closed` (by the daemon, before the answer was whole) or `hangs`."""

    end: str
    status: int = 0
    kind: str = ""
    body: bytes = b""

    def verdict(self, wanted: str, is_chat: bool = False) -> str:
        """`right`, `error: …`, `closed`, or `BAD: …`."""
        if self.end == "closed":
            return "closed"
        if self.end != "whole":
            return f"BAD: it {self.end} after {len(self.body)} bytes (status {self.status})"
        return judge(self.status, self.kind, self.body, is_chat, wanted)


KEY = "named"  # what every client sends; daemons without keys ignore it


class Client:
    """One connection, made anew when the daemon has closed it."""

    def __init__(self, url: str, limit_s: float = 10.0) -> None:
        self._address = urlsplit(url)
        self._limit_s = limit_s
        self._sock: socket.socket | None = None

    def __repr__(self) -> str:
        return f"<Client {self._address.netloc} {'open' if self._sock else 'closed'}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def sock(self) -> socket.socket:
        """The open connection. Raises OSError."""
        if self._sock is None:
            self._sock = socket.create_connection((self._address.hostname, self._address.port), timeout=self._limit_s)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._sock

    def close(self) -> None:
        """Hang up."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def bytes_of(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """A request."""
        fields = {
            "host": self._address.netloc,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-api-key": KEY,
        }
        fields |= {k.replace("_", "-"): v for k, v in headers.items()}
        head = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body

    def send(self, method: str, path: str, value: Any = b"", **headers: str) -> bool:
        """Send a request; False if the connection is broken."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        try:
            self.sock.sendall(self.bytes_of(method, path, body, **headers))
        except OSError:
            self.close()
            return False
        return True

    def receive(self, method: str = "POST") -> Got:
        """The answer to what was sent last."""
        if self._sock is None:
            return Got("closed")
        answer = http.client.HTTPResponse(self._sock, method=method)
        body = bytearray()
        try:
            answer.begin()
            while piece := answer.read1(65536):
                body += piece
            end = "whole" if answer.isclosed() or not answer.length else "closed"
        except TimeoutError:
            end = "hangs"
        except (OSError, http.client.HTTPException, ValueError):
            end = "closed"
        status, kind = answer.status if isinstance(answer.status, int) else 0, ""
        if answer.headers is not None:
            kind = answer.headers.get("content-type") or ""
        if end != "whole" or answer.will_close:
            self.close()
        answer.close()
        return Got(end, status, kind, bytes(body))

    def exchange(self, method: str, path: str, value: Any = b"", **headers: str) -> Got:
        """One request and its answer; once more on a new connection if the kept one had been closed."""
        for _ in range(2):
            fresh = self._sock is None
            if self.send(method, path, value, **headers):
                got = self.receive(method)
                if fresh or got.end != "closed" or got.status:
                    return got
            elif fresh:
                return Got("closed")
        return Got("closed")

    def ask(self, value: dict[str, Any], is_chat: bool = False, **headers: str) -> Got:
        """A call."""
        return self.exchange("POST", PATHS[is_chat], value, **headers)
