"""The one well-behaved client, whose every answer must be right to the letter, and the prober of the daemon's health."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable
from typing import Any

from tests.siege.tally import Tally
from tests.siege.wire import Client

MODEL = "claude-sonnet-4-6"
TOOL = {
    "name": "get",
    "description": "Gets a thing",
    "input_schema": {"type": "object", "properties": {"k": {"type": "integer"}}},
}
CHAT_TOOL = {"type": "function", "function": {"name": "get", "description": "Gets a thing", "parameters": TOOL["input_schema"]}}
ALPHABET = "abcdefghij klmno pqrst uvwxyz ÄÖÜ ß 漢字 😀 \"'\\ <>&{}[] \t0123456789"
LIMIT_S = 30.0
PROBE_S = 0.05


class Good:
    """Calls of every kind, one after another."""

    def __init__(self, url: str, chance: random.Random, tally: Tally) -> None:
        self._client = Client(url, LIMIT_S)
        self._chance = chance
        self._tally = tally
        self._numbers = 0

    def __repr__(self) -> str:
        return f"<Good {self._numbers} calls>"

    def run(self, is_over: Callable[[], bool]) -> None:
        """Until it is over."""
        while not is_over():
            self._chance.choice((self._plain, self._plain, self._plain, self._plain, self._tools, self._session))()

    def _words(self) -> str:
        """Text that says whose it is, with odd letters in it."""
        self._numbers += 1
        lines = [
            "".join(self._chance.choice(ALPHABET) for _ in range(self._chance.randrange(1, 60)))
            for _ in range(self._chance.choice((1, 2, 8)))
        ]
        return f"good {self._numbers} " + "\n".join(lines) + "."

    def _ask(self, what: str, wanted: str, value: dict[str, Any], is_chat: bool = False, **headers: str) -> bytes | None:
        """One call; its body if it is right and whole."""
        begun = time.monotonic()
        got = self._client.ask({"model": MODEL, "max_tokens": 1024} | value, is_chat, **headers)
        verdict = got.verdict(wanted, is_chat)
        self._tally.times_ms.append(1000 * (time.monotonic() - begun))
        self._tally.count("good client", verdict if verdict == "right" else "WRONG")
        if verdict != "right":
            at, took = time.strftime("%H:%M:%S"), time.monotonic() - begun
            self._tally.fault(f"the good client's {what} at {at} after {took:.2f} s: {verdict}; {got.body[:300]!r}")
            return None
        return got.body

    def _plain(self) -> None:
        text, is_chat, is_stream = self._words(), self._chance.random() < 0.4, self._chance.random() < 0.5
        more: dict[str, Any] = {"system": "Be brief."} if not is_chat and self._chance.random() < 0.3 else {}
        self._ask("call", text, {"messages": [{"role": "user", "content": f"echo {text}"}], "stream": is_stream} | more, is_chat)

    def _tools(self) -> None:
        """One round of a tool, whole, in either shape."""
        number, is_chat = self._chance.randrange(1000), self._chance.random() < 0.4
        said: list[dict[str, Any]] = [{"role": "user", "content": f'tool {{"k": {number}}}'}]
        kind = CHAT_TOOL if is_chat else TOOL
        body = self._ask("tool call", f'[get {{"k": {number}}}]', {"messages": said, "tools": [kind]}, is_chat)
        if body is None:
            return
        answer, result = json.loads(body), self._words()
        if is_chat:
            message = answer["choices"][0]["message"]
            more = [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": result}]
        else:
            brought = {"type": "tool_result", "tool_use_id": answer["content"][0]["id"], "content": result}
            more = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [brought]}]
        self._ask(
            "tool result",
            f"got {result}",
            {"messages": [*said, *more], "tools": [kind], "stream": self._chance.random() < 0.5},
            is_chat,
        )

    def _session(self) -> None:
        """A sticky session of three turns that must hold its own words, all of them, and nobody else's."""
        name = f"good-{self._chance.randrange(1_000_000_000)}"
        said: list[str] = []
        for turn in range(3):
            text = f"echo {self._words()}" if turn < 2 else "recall"
            said.append(text)
            wanted = text.removeprefix("echo ") if turn < 2 else "\n".join(said)
            value = {"messages": [{"role": "user", "content": text}], "stream": self._chance.random() < 0.5}
            if self._ask("sticky call", wanted, value, x_relayd_session=name) is None:
                break
            said.append(wanted)
        self._client.exchange("DELETE", f"/v1/sessions/{name}")


def idle_server(sock: socket.socket) -> None:
    """A server that does nothing but answer: what it takes is the machine's slowness, not the daemon's."""
    while True:
        peer, _ = sock.accept()
        with peer:
            while peer.recv(4096):
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


def probe(url: str, control_url: str, tally: Tally, is_over: Callable[[], bool]) -> None:
    """Ask for the daemon's health, every 50 ms, and as often a server that does nothing."""
    client, control = Client(url, LIMIT_S), Client(control_url, LIMIT_S)
    at = time.monotonic()
    while not is_over():
        at = max(at + PROBE_S, time.monotonic())
        time.sleep(max(0.0, at - time.monotonic()))
        begun = time.monotonic()
        got = client.exchange("GET", "/v1/health")
        tally.times_ms.append(1000 * (time.monotonic() - begun))
        tally.count("health prober", got.status if got.end == "whole" else got.end)
        if got.status != 200:
            tally.fault(f"health: {got.end} {got.status} {got.body[:200]!r}")
        begun = time.monotonic()
        control.exchange("GET", "/")
        tally.control_ms.append(1000 * (time.monotonic() - begun))
