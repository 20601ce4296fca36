"""relayd's own share of a call: from the request's bytes to the gate written, without Claude Code.

The daemon's own modules do the work on a real transcript file and a real FIFO: HTTP parsing, JSON,
validation, scheduling, the transcript, the hand-over.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from typing import Any

from relayd.claude.announced import Machine
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.pool import Surroundings
from relayd.core.relay import Relay
from relayd.http.http1 import Connection
from relayd.http.messages import HttpRequest
from relayd.runtime.gate import Gate
from relayd.runtime.loop import Loop
from relayd.runtime.slot import write_private

ROUNDS = 200
PORT = 7421


def samples(body: bytes, rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of each round."""
    with tempfile.TemporaryDirectory(prefix="relayd-share-") as root:
        return [_round(body, root, number) for number in range(rounds)]


def _round(body: bytes, root: str, number: int) -> float:
    machine = Machine("linux", "bash", "Linux 6")
    stamps = (lambda now: "2026-01-01T00:00:00.000Z", lambda now: "2026-01-01", lambda now: now)
    near = Surroundings("/bin/true", root, root, f"{root}/workspace", f"http://127.0.0.1:{PORT}", {}, True, machine, *stamps)
    relay = Relay(Config(idle=1, max=1, warm_model="claude-sonnet-4-6"), near, [], PORT)
    relay.start(0.0)
    slot = next(iter(relay.pool.sessions))
    relay.handle(ev.SlotSpawned(slot, 1), 0.0)
    relay.handle(ev.GateOpened(slot), 0.0)
    loop = Loop(lambda key, now: None, lambda signal, now: None)
    gate, reader = _gate(f"{root}/fifo-{number}", loop)
    fields = f"host: 127.0.0.1:{PORT}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    head = f"POST /v1/messages HTTP/1.1\r\n{fields}\r\n\r\n"
    data = head.encode() + body
    begun = time.perf_counter()
    http = Connection(Config().body_max_bytes, Config().header_max_bytes)
    http.receive(data)
    request = http.next_request()
    assert isinstance(request, HttpRequest)
    orders: list[Any] = relay.handle(ev.RequestArrived(1, request), 1.0)
    order = next(o for o in orders if isinstance(o, do.HandOver))
    write_private(f"{root}/transcript-{number}", order.transcript)
    gate.send(order.system_prompt)
    spent = time.perf_counter() - begun
    loop.close()
    gate.close()
    reader.join()
    return 1000 * spent


def _gate(path: str, loop: Loop) -> tuple[Gate, threading.Thread]:
    """A gate with somebody waiting behind it."""
    os.mkfifo(path)

    def read() -> None:
        with open(path, "rb") as file:
            file.read()

    reader = threading.Thread(target=read)
    reader.start()
    gate = Gate(path, loop, lambda reason: None)
    while not gate.try_open():
        time.sleep(0.001)
    return gate, reader
