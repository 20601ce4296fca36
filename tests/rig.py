"""A server in this process, turned by hand: what a test counts is work per turn, not time."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from relayd.config import Config
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.host import Host
from relayd.core.relay import Relay
from relayd.runtime.listener import bind
from relayd.runtime.notify import Notifier
from relayd.runtime.performer import Files
from relayd.runtime.prompt_history import PromptHistory
from relayd.runtime.server import SIGNALS, Server
from tests.core.test_pool_and_relay import NEAR

TURNS_MAX = 20_000


class Lines:
    """A log that keeps its lines."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def __call__(self, level: str, text: str, fields: dict[str, Any] | None = None) -> None:
        self._lines.append(f"{level}: {text}")

    def drain(self) -> float | None:
        return None


class Rig:
    """A server without processes, on a free port. `log` holds its lines."""

    def __init__(self, root: pathlib.Path, near: Host = NEAR, notifier: Notifier | None = None, **flags: Any) -> None:
        near = replace(near, state_dir=str(root), config_dir=str(root), workspace=str(root / "workspace"))
        config = Config(**({"idle": 0, "kept": 0, "typing": False} | flags))
        sock = bind("127.0.0.1", 0)
        self.address = sock.getsockname()
        self.host = f"127.0.0.1:{self.address[1]}"
        self.log: list[str] = []
        self.relay = Relay(config, near, [], self.address[1])
        history = PromptHistory(str(root / "history"), ".lock", lambda data: data)
        files = Files(str(root / "keys"), str(root / "records"), str(root), history)
        self.server = Server(
            config, self.relay, sock, files, Lines(self.log), notifier or Notifier({}), None, lambda: ev.ClaudeChanged("")
        )
        self.server.loop.touch(self.server._listener)
        self.clients: list[socket.socket] = []

    def turn(self, count: int = 1, longest_s: float = 0.0005) -> None:
        """Facts to the core, then one turn of the loop."""
        for _ in range(count):
            self.server._work()
            self.server.loop.turn(longest_s)
        self.server._work()

    def perform(self, *orders: Action, now: float = 1.0) -> None:
        """Orders, as if the core had given them."""
        self.server._performer.orders.extend(orders)
        self.server._performer.carry_on(now)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Turn until it is true."""
        for _ in range(TURNS_MAX):
            value = condition()
            if value:
                return value
            self.turn()
        raise AssertionError("the condition did not come true")

    def connect(self, data: bytes = b"") -> socket.socket:
        """A client, non-blocking, accepted; with its first bytes sent."""
        client = socket.create_connection(self.address)
        client.setblocking(False)
        self.clients.append(client)
        self.turn(2)
        if data:
            self.send(client, data)
        return client

    def send(self, client: socket.socket, data: bytes) -> None:
        """All of it, turning while the server has to take some."""
        view = memoryview(data)
        while view:
            try:
                view = view[client.send(view) :]
            except BlockingIOError:
                self.turn()

    def head(self, line: str = "GET /v1/health", **headers: str) -> bytes:
        """A request's head."""
        fields = {"host": self.host} | {name.replace("_", "-"): value for name, value in headers.items()}
        return f"{line} HTTP/1.1\r\n{''.join(f'{n}: {v}' + chr(13) + chr(10) for n, v in fields.items())}\r\n".encode()

    def post(self, body: bytes, path: str = "/v1/messages", **headers: str) -> bytes:
        """A POST with a sized body."""
        return self.head(f"POST {path}", content_type="application/json", content_length=str(len(body)), **headers) + body

    def read(self, client: socket.socket) -> bytes:
        """What is there now."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            return client.recv(1 << 20)
        return b""

    def answer(self, client: socket.socket) -> tuple[int, dict[str, str], bytes]:
        """The next sized answer."""
        data = b""

        def is_whole() -> bool:
            nonlocal data
            data += self.read(client)
            head, gap, body = data.partition(b"\r\n\r\n")
            return bool(gap) and len(body) >= int(_fields(head).get("content-length", "0"))

        self.until(is_whole)
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), _fields(head), body

    def is_closed(self, client: socket.socket) -> bool:
        """True once the server has closed this connection; what it still sends is thrown away."""
        try:
            return client.recv(1 << 20) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def health(self) -> int:
        """What a new client gets that asks for it."""
        client = self.connect(self.head())
        status = self.answer(client)[0]
        client.close()
        self.turn(3)
        return status


def _fields(head: bytes) -> dict[str, str]:
    return dict(line.decode().lower().split(": ", 1) for line in head.split(b"\r\n")[1:])


@contextlib.contextmanager
def running(root: pathlib.Path, **kwargs: Any) -> Iterator[Rig]:
    """A rig; this process's signal handlers are put back after it."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    rig = Rig(root, **kwargs)
    try:
        yield rig
    finally:
        for client in rig.clients:
            client.close()
        rig.server._end()
        for number, handler in handlers.items():
            signal.signal(number, handler)
