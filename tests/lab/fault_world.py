"""What a fault is done to, and how what becomes of it is judged. Used by `fault_kinds.py` and `faults.py`."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from relayd.doctor import client
from relayd.doctor.harness import Harness
from relayd.doctor.script import plan_for

MODEL = "claude-sonnet-4-6"
LIMIT_S = 40.0
FLAGS: dict[str, Any] = {
    "warm_model": MODEL,
    "spawn_limit_s": 8,
    "silence_limit_s": 3,
    "turn_limit_s": 15,
    "start_limit_s": 5,
    "transcript_lag_s": 1,
    "refill_delay_s": 0.2,
}
ANSWERS = ("[[say fine]]", "[[paragraphs 4]][[slow 0.03]]", "[[long 3000]][[slow 0.01]]", "[[think hm]] [[say fine]]")
GONE = "gone"
# A daemon whose wall clock can be set: by so many seconds as a file says.
PROGRAM = """
import pathlib, runpy, sys, time
clock, real = pathlib.Path({path!r}), time.time
time.time = lambda: real() + float(clock.read_text())
runpy.run_module("relayd.doctor.under_test", run_name="__main__", alter_sys=True)
"""


def clock_of(harness: Harness) -> pathlib.Path:
    """The file by which its daemon's wall clock is set."""
    return pathlib.Path(harness.root, "clock")


def harness_of(root: str, claude: str) -> Harness:
    """A daemon with short limits, and with a clock that can be set."""
    harness = Harness(root, claude, FLAGS)
    harness.program = ("-c", PROGRAM.format(path=str(clock_of(harness))))
    pathlib.Path(root).mkdir(exist_ok=True)
    clock_of(harness).write_text("0")
    return harness


class World:
    """A daemon, and the calls that faults are done to."""

    def __init__(self, harness: Harness, chance: random.Random) -> None:
        self.harness, self.chance = harness, chance
        self.last: dict[str, Any] = {}  # the answer of the last call, if it was a whole one

    def __repr__(self) -> str:
        return f"<World {self.harness!r}>"

    def pids(self) -> list[int]:
        """The daemon's processes."""
        with contextlib.suppress(OSError), open(f"/proc/{self.harness.pid}/task/{self.harness.pid}/children") as file:
            return [int(p) for p in file.read().split()]
        return []

    def transcripts(self) -> list[pathlib.Path]:
        """Claude Code's files of all conversations."""
        return list(pathlib.Path(self.harness.isolation.config_dir, "projects").glob("*/*.jsonl"))

    def moment(self, longest_s: float = 0.7) -> None:
        """Some time."""
        time.sleep(self.chance.random() * longest_s)

    def body(self, text: str = "") -> bytes:
        """A call as bytes."""
        return json.dumps(self.value(text)).encode()

    def value(self, text: str = "") -> dict[str, Any]:
        """A call, for one of the roads: typed by keys, brought by the editor, replayed; now and then a stream."""
        said = self.chance.choice(("", "- \t", "\t")) + (text or self.chance.choice(ANSWERS))
        value = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": said}]}
        return value | {"stream": self.chance.random() < 0.5}

    def call(self, body: bytes) -> str:
        """The outcome of a call, judged: `ok`, an error's type, or what is wrong with it."""
        try:
            reply = client.post(self.harness.url, body, limit_s=LIMIT_S)
        except TimeoutError:
            return "BAD: nothing within the limit"
        except (OSError, http.client.HTTPException) as error:
            return f"BAD: {type(error).__name__}"
        with contextlib.suppress(ValueError):
            self.last = reply.value
        return verdict(reply, body)

    def during(self, fault: Callable[[], object], text: str = "", value: dict[str, Any] | None = None, **more: Any) -> str:
        """A call, with the fault at some moment of it."""
        outcome: list[str] = []
        self.last = {}
        body = json.dumps((value or self.value(text)) | more).encode()
        thread = threading.Thread(target=lambda: outcome.append(self.call(body)))
        thread.start()
        self.moment()
        with contextlib.suppress(OSError):
            fault()
        thread.join(LIMIT_S + 5)
        return outcome[0] if outcome else "BAD: the call hangs"


def verdict(reply: client.Reply, asked: bytes) -> str:
    """`judge` of a whole answer."""
    return judge(reply.status, reply.headers.get("content-type", ""), reply.body, asked)


def judge(status: int, kind: str, data: bytes, asked: bytes) -> str:
    """What a client would make of an answer to that request: right is what the stand-in says to it, to the letter."""
    wanted = "".join(b["text"] for b in plan_for(json.loads(asked)).blocks if b["type"] == "text")
    try:
        if status != 200:
            return str(json.loads(data)["error"]["type"])
        if kind.startswith("text/event-stream"):
            said, end = _streamed([json.loads(p.split("data: ", 1)[1]) for p in data.decode().split("\n\n") if p])
        else:
            said, end = _whole(json.loads(data))
    except (ValueError, KeyError, IndexError) as error:
        return f"BAD: {type(error).__name__} in {data[:200]!r}"
    return end if end != "ok" or said == wanted else f"BAD: it says {said[:100]!r} ({len(said)} of {len(wanted)} characters)"


def _whole(message: dict[str, Any]) -> tuple[str, str]:
    text = "".join(b["text"] for b in message["content"] if b["type"] == "text")
    return text, "ok" if message["stop_reason"] else "BAD: no stop reason"


def _streamed(events: list[dict[str, Any]]) -> tuple[str, str]:
    text, last = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta"), events[-1]
    if last["type"] == "error":
        return text, str(last["error"]["type"])
    return text, "ok" if last["type"] == "message_stop" else f"BAD: the stream ends in {last['type']}"


def dial(world: World) -> socket.socket:
    address = urlsplit(world.harness.url)
    return socket.create_connection((address.hostname, address.port), timeout=LIMIT_S)


def request_bytes(world: World, body: bytes, more: str = "") -> bytes:
    host = urlsplit(world.harness.url).netloc
    fields = f"host: {host}\r\n{more}content-type: application/json\r\ncontent-length: {len(body)}"
    return f"POST /v1/messages HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body


def read_outcome(sock: socket.socket, asked: bytes) -> str:
    """The outcome of the call with that body, from the socket it was made on."""
    answer = http.client.HTTPResponse(sock)
    try:
        answer.begin()
        return judge(answer.status, answer.getheader("content-type") or "", answer.read(), asked)
    except (OSError, http.client.HTTPException) as error:
        return f"BAD: {type(error).__name__}"
