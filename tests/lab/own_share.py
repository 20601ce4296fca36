"""relayd's own share of a call: from the request's bytes to the gate written, or to the MCP answer's bytes, without Claude Code.

The daemon's own modules do the work on a real transcript file and a real FIFO: HTTP parsing, JSON,
validation, scheduling, the transcript, the hand-over.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from typing import Any

from relayd import codec
from relayd.claude import mcp
from relayd.claude.launch import LaunchKey
from relayd.claude.reminders import Machine
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.host import Host
from relayd.core.relay import Relay
from relayd.http.http1 import Connection
from relayd.http.messages import HttpRequest
from relayd.runtime.files import write_private
from relayd.runtime.gate import Gate
from relayd.runtime.loop import Loop
from tests.helpers import told_body

ROUNDS = 200
MODEL = "claude-sonnet-4-6"
TOOL = {"name": "get", "description": "Gets", "input_schema": {"type": "object"}}
FILLER = "A sentence of ordinary prose that a request might hold, repeated to make it ten kilobytes long. " * 100
PORT = 7421
LIMITS = Config()  # made once: a Config is checked when it is made, and the daemon makes one at its start


def samples(body: bytes, rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of each round, from the request's bytes to the gate."""
    with tempfile.TemporaryDirectory(prefix="relayd-share-") as root:
        return [_round(body, root, number) for number in range(rounds)]


def parked_samples(rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of each round, from the bytes of a request with a tool's result to those of the MCP answer."""
    return [_parked_round() for _ in range(rounds)]


def piece_samples(rounds: int = ROUNDS) -> list[float]:
    """Milliseconds from the bytes of a hook with a piece of text to those of the client's event."""
    relay, slot = _waiting_relay("/nowhere")
    asked = {"model": MODEL, "max_tokens": 1024, "stream": True, "messages": [{"role": "user", "content": FILLER}]}
    client, request = _read(_request_bytes(codec.dump(asked)))
    relay.handle(ev.RequestArrived(1, request), 1.0)
    _tell_request(relay, slot)
    path = f"/hooks/{relay.pool.sessions[slot].spec.secret}"
    spent = []
    for index in range(rounds):
        hook = {"hook_event_name": "MessageDisplay", "message_id": "m", "index": index, "final": False, "delta": "A line.\n"}
        data = _request_bytes(codec.dump(hook), path)
        begun = time.perf_counter()
        orders: list[Any] = relay.handle(ev.RequestArrived(2, _read(data)[1]), 1.0)
        for order in orders:
            if isinstance(order, do.ReadBodies) and order.then is not None:
                orders += relay.handle(order.then, 1.0)
            if isinstance(order, do.StartStream):
                client.start_stream(order.status, order.headers)
            elif isinstance(order, do.SendChunk):
                client.chunk(order.data)
        spent.append(1000 * (time.perf_counter() - begun))
    return spent


def _waiting_relay(root: str, **flags: Any) -> tuple[Relay, str]:
    """A core with one process at its gate."""
    machine = Machine("linux", "bash", "Linux 6")
    stamps = (lambda now: "2026-01-01T00:00:00.000Z", lambda now: "2026-01-01", lambda now: now)
    near = Host("/bin/true", root, root, f"{root}/workspace", f"http://127.0.0.1:{PORT}", {}, True, machine, *stamps)
    relay = Relay(Config(idle=1, max=1, kept=0, typing=False, warm_model=MODEL), near, [LaunchKey(MODEL, 1024, **flags)], PORT)
    relay.start(0.0)
    slot = next(iter(relay.pool.sessions))
    relay.handle(ev.SlotSpawned(slot, 1), 0.0)
    relay.handle(ev.GateOpened(slot), 0.0)
    return relay, slot


def _tell_request(relay: Relay, slot: str) -> None:
    """Claude Code tells what it has sent: else parts of the answer would wait for that."""
    witness = relay.pool.sessions[slot].witness
    assert witness is not None
    relay.handle(ev.RequestTold(slot, told_body(witness.request)), 1.0)
    relay.handle(ev.BodiesRead(slot), 1.0)


def _request_bytes(body: bytes, path: str = "/v1/messages") -> bytes:
    fields = f"host: 127.0.0.1:{PORT}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body


def _read(data: bytes) -> tuple[Connection, HttpRequest]:
    http = Connection(LIMITS.body_max_bytes, LIMITS.header_max_bytes)
    http.receive(data)
    request = http.next_request()
    assert isinstance(request, HttpRequest)
    return http, request


def _round(body: bytes, root: str, number: int) -> float:
    relay, _ = _waiting_relay(root)
    loop = Loop(lambda key, now: None, lambda signal, now: None)
    gate, reader = _gate(f"{root}/fifo-{number}", loop)
    data = _request_bytes(body)
    begun = time.perf_counter()
    _, request = _read(data)
    orders: list[Any] = relay.handle(ev.RequestArrived(1, request), 1.0)
    order = next(o for o in orders if isinstance(o, do.HandOver))
    write_private(f"{root}/transcript-{number}", order.transcript)
    gate.send(order.system_prompt)
    spent = time.perf_counter() - begun
    loop.close()
    gate.close()
    reader.join()
    return 1000 * spent


def _parked_round() -> float:
    relay, slot = _waiting_relay("/nowhere", tools=True)
    call = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"k": 1}}
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 1024, "tools": [TOOL]}
    asked["messages"] = [{"role": "user", "content": FILLER}]
    relay.handle(ev.RequestArrived(1, _read(_request_bytes(codec.dump(asked)))[1]), 1.0)
    _tell_request(relay, slot)
    meta = {"name": "get", "_meta": {mcp.TOOL_USE_ID: "toolu_1"}}
    rpc = codec.dump({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": meta})
    door, called = _read(_request_bytes(rpc, f"/mcp/{relay.pool.sessions[slot].spec.secret}"))
    relay.handle(ev.RequestArrived(2, called), 1.0)
    wire = {"id": "msg_1", "model": MODEL, "content": [mcp.to_wire(call)], "stop_reason": "tool_use", "usage": {}}
    line = codec.dump({"type": "assistant", "message": wire}) + b"\n"
    relay.handle(ev.TranscriptGrew(slot, relay.pool.sessions[slot].conversation, line), 1.0)
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a result of a few words"}
    asked["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    data = _request_bytes(codec.dump(asked))
    begun = time.perf_counter()
    orders: list[Any] = relay.handle(ev.RequestArrived(1, _read(data)[1]), 2.0)
    order = next(o for o in orders if isinstance(o, do.Respond) and o.client == 2)
    door.respond(order.status, order.headers, order.body)
    return 1000 * (time.perf_counter() - begun)


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
