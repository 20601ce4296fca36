"""One way to call a server over HTTP, for everything that measures or tests. No SDK: bytes and times as they are."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

LIMIT_S = 120.0


def road(headers: dict[str, str]) -> str:
    """The road that an answer's headers name."""
    return headers.get("server-timing", "").partition('desc="')[2].rstrip('"')


@dataclass(frozen=True)
class Reply:
    """An answer; when the request's last byte had left, and when the answer was whole (monotonic seconds)."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    sent: float
    ended: float

    @property
    def road(self) -> str:
        """How relayd reached Claude Code: `warm`, `cold` and so on."""
        return road(self.headers)

    @property
    def value(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def expect(self) -> Reply:
        """Itself. Raises RuntimeError for any status but 200."""
        if self.status != 200:
            raise RuntimeError(f"{self.status}: {self.body[:300]!r}")
        return self


def post(
    url: str,
    value: Any,
    headers: dict[str, str] | None = None,
    path: str = "/v1/messages",
    limit_s: float = LIMIT_S,
) -> Reply:
    """One call on a connection of its own; `value` is JSON, or bytes as they are. Raises OSError, http.client.HTTPException."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return _exchange(url, "POST", path, data, {"content-type": "application/json"} | (headers or {}), limit_s)


def get(url: str, path: str, limit_s: float = LIMIT_S) -> Reply:
    """One question. Raises OSError, http.client.HTTPException."""
    return _exchange(url, "GET", path, None, {}, limit_s)


def _exchange(url: str, method: str, path: str, data: bytes | None, headers: dict[str, str], limit_s: float) -> Reply:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=limit_s)
    try:
        connection.connect()
        connection.request(method, path, data, headers)
        sent = time.monotonic()
        answer = connection.getresponse()
        body = answer.read()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body, sent, time.monotonic())
    finally:
        connection.close()
