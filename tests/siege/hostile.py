"""Hostile clients that speak HTTP: wrong requests of both shapes, odd ones, sessions and launch keys without end, clients that
leave.

Each family is a class with `once()`, which sends one request or a few and counts them. None waits for longer than its limit.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
from typing import Any

from tests.siege.shapes import SIMPLE, Shape, Shapes
from tests.siege.tally import Tally
from tests.siege.wire import Client, Got

LIMIT_S = 20.0
MODELS_FAULT = b"the answer does not keep to what was asked for"  # the siege's claude echoes, whatever the schema
PATHS = (
    *(
        "/",
        "/v1/health",
        "/v1/status",
        "/metrics",
        "/v1/models",
        "/v1/models/x",
        "/v1/models?limit=-1",
        "/v1/models?limit=1e9&after_id=%00",
    ),
    *(
        "/v1/models/" + "x" * 129,
        "/v1/sessions",
        "/v1/sessions/%2e%2e%2f",
        "/v1/sessions/%ff%00",
        "/dashboard/../../etc/passwd",
        "/dashboard/app.js",
    ),
    *(
        "/dashboard/%2e%2e/x",
        "/v1/version",
        "/v1/availability",
        "/v1/license",
        "/api/hello",
        "//",
        "/v1/messages/",
        "/v1//messages",
        "*",
        "/?" + "a=b&" * 2000,
    ),
    *(
        "http://127.0.0.1/v1/health",
        "/v1/live",
        "/hooks/x",
        "/mcp/" + "x" * 64,
        "/telemetry/" + "x" * 22 + "/v1/logs",
        "/%00",
        "/\u00e9",
    ),
)
METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "GETX", "\u00e9")


class Family:
    """What all hostile clients have: a daemon's URL, chance of their own, and a tally."""

    name = "family"
    rate = 1.0  # times `once` a second, at a pace of 1

    def __init__(self, url: str, chance: random.Random, tally: Tally, port: int) -> None:
        self.url, self.chance, self.tally = url, chance, tally
        self.shapes = Shapes(chance, port)
        self.client = Client(url, LIMIT_S)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def once(self) -> None:
        """Send something."""
        raise NotImplementedError

    def close(self) -> None:
        """Hang up."""
        self.client.close()

    def judged(self, got: Got, request: bytes) -> None:
        """Count an exchange. No 500, no traceback, and a 4xx is one well-formed error."""
        outcome = str(got.status) if got.end == "whole" else f"{got.status or 'nothing'} {got.end}"
        self.tally.count(self.name, outcome)
        if got.status >= 500 and got.status != 529 and MODELS_FAULT not in got.body:
            self.tally.caused(self.name, got.status, request, got.body)
            self.tally.fault(f"{self.name}: {got.status} {got.body[:200]!r}")
        if got.end == "hangs":
            self.tally.caused(self.name, 0, request, got.body)
            self.tally.fault(f"{self.name}: no answer within {LIMIT_S} s to {request[:150]!r}")
        if b"Traceback" in got.body:
            self.tally.fault(f"{self.name}: a traceback in an answer: {got.body[:200]!r}")
        if got.end == "whole" and 400 <= got.status < 500 and got.body and got.kind.startswith("application/json"):
            self._well_formed(got)

    def _well_formed(self, got: Got) -> None:
        try:
            error = json.loads(got.body)["error"]
            assert isinstance(error["message"], str)
            assert isinstance(error["type"], str)
        except (ValueError, KeyError, TypeError, AssertionError):
            self.tally.fault(f"{self.name}: a {got.status} that is no error object: {got.body[:200]!r}")

    def exchange(self, shape: Shape, method: str = "POST") -> Got:
        """One request, counted."""
        request = self.client.bytes_of(method, shape.path, shape.body, **shape.headers)
        got = self.client.exchange(method, shape.path, shape.body, **shape.headers)
        self.judged(got, request)
        return got


class Counted(Family):
    """Wrong requests to count tokens of: all checks of a request, and no process."""

    name, rate = "fuzz count_tokens", 20.0

    def once(self) -> None:
        self.exchange(self.shapes.any("/v1/messages/count_tokens"))


class Asked(Family):
    """Wrong calls of both shapes. Some turn out to be right."""

    name, rate = "fuzz calls", 8.0

    def once(self) -> None:
        self.exchange(self.shapes.any(self.chance.choice(("/v1/messages", "/v1/chat/completions"))))


class Odd(Family):
    """Methods and paths that make little sense."""

    name, rate = "odd requests", 14.0

    def once(self) -> None:
        method, path = self.chance.choice(METHODS), self.chance.choice(PATHS)
        body = self.chance.choice((b"", b"{}", b"x" * 1000))
        request = self.client.bytes_of(method, path, body)
        if not request.isascii() or method == "CONNECT":
            self.client.close()
        got = self.client.exchange(method, path, body)
        self.judged(got, request)


class Sessions(Family):
    """Thousands of session ids: made, asked for, deleted, also under a running call; clients that leave."""

    name, rate = "sessions", 8.0

    def once(self) -> None:
        name = f"hostile-{self.chance.randrange(4000)}"
        what = self.chance.random()
        if what < 0.55:
            self.judged(self.client.exchange("GET", f"/v1/sessions/{name}"), b"GET session")
        elif what < 0.85:
            self.judged(self.client.exchange("DELETE", f"/v1/sessions/{name}"), b"DELETE session")
        elif what < 0.93:
            self.exchange(Shape("/v1/messages", json.dumps(SIMPLE).encode(), {"x-relayd-session": name}))
        else:
            self._delete_under_a_call(name)

    def _delete_under_a_call(self, name: str) -> None:
        value = SIMPLE | {"messages": [{"role": "user", "content": "pause 0.05 a\nb\nc"}], "stream": self.chance.random() < 0.5}
        if not self.client.send("POST", "/v1/messages", value, **{"x-relayd-session": name}):
            return
        other = Client(self.url, LIMIT_S)
        self.judged(other.exchange("DELETE", f"/v1/sessions/{name}"), b"DELETE session under its call")
        self.judged(other.exchange("GET", f"/v1/sessions/{name}"), b"GET session under its call")
        other.close()
        self.judged(self.client.receive(), b"call whose session is deleted")


class Keys(Family):
    """Distinct launch keys without end: each may want a process of its own. Most leave before they get one."""

    name, rate = "launch keys", 1.5

    def once(self) -> None:
        value = SIMPLE | {"max_tokens": self.chance.randrange(1, 100_000), "stop_sequences": [f"s{self.chance.random()}"]}
        if self.chance.random() < 0.5:
            value["model"] = f"claude-{self.chance.choice(('opus', 'haiku', 'sonnet'))}-{self.chance.randrange(4, 99)}"
        shape = Shape("/v1/messages", json.dumps(value).encode(), {})
        if self.chance.random() < 0.4:
            self.exchange(shape)
        else:
            self.client.send("POST", shape.path, shape.body)
            self.tally.count(self.name, "left")
            self.client.close()


class Leavers(Family):
    """Clients that leave at some moment of a call, politely or with a reset."""

    name, rate = "leavers", 2.0

    def once(self) -> None:
        text = self.chance.choice(("pause 0.02 a\nb\nc\nd", "echo words", 'tool {"k": 1}'))
        value: dict[str, Any] = SIMPLE | {"messages": [{"role": "user", "content": text}], "stream": self.chance.random() < 0.7}
        if text.startswith("tool"):
            value["tools"] = [{"name": "get", "description": "", "input_schema": {"type": "object"}}]
        client = Client(self.url, LIMIT_S)
        client.send("POST", "/v1/messages", value)
        with contextlib.suppress(OSError):
            client.sock.settimeout(self.chance.choice((0.001, 0.01, 0.05, 0.1, 0.3)))
            client.sock.recv(self.chance.choice((1, 100, 4096)))
        if self.chance.random() < 0.5:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        self.tally.count(self.name, "left")


FAMILIES: tuple[type[Family], ...] = (Counted, Asked, Odd, Sessions, Keys, Leavers)
