"""`scripts/faults`: faults at random moments, each many times, against the real Claude Code.

After each: the client has a right answer or one well-formed error within the limit (or has left by itself), and
the next call works. After each kind: no process, fd or file is left over. Hooks that are lost, late, repeated or out of
order, and processes that ignore signals, are a scripted `claude`'s business (`tests/test_daemon_faults.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from relayd.doctor import client
from relayd.doctor.harness import Harness
from relayd.doctor.load import fds

MODEL = "claude-sonnet-4-6"
LIMIT_S = 40.0
FLAGS: dict[str, Any] = {
    "warm_model": MODEL,
    "silence_limit_s": 3,
    "start_limit_s": 5,
    "transcript_lag_s": 1,
    "refill_delay_s": 0.2,
}
ANSWERS = ("[[say fine]]", "[[paragraphs 4]][[slow 0.03]]", "[[long 3000]][[slow 0.01]]", "[[think hm]] [[say fine]]")
GONE = "gone"


class World:
    """A daemon, and the calls that faults are done to."""

    def __init__(self, harness: Harness, chance: random.Random) -> None:
        self.harness, self.chance = harness, chance

    def __repr__(self) -> str:
        return f"<World {self.harness!r}>"

    def pids(self) -> list[int]:
        """The daemon's processes."""
        with contextlib.suppress(OSError), open(f"/proc/{self.harness.pid}/task/{self.harness.pid}/children") as file:
            return [int(p) for p in file.read().split()]
        return []

    def moment(self, longest_s: float = 0.7) -> None:
        """Some time."""
        time.sleep(self.chance.random() * longest_s)

    def body(self, text: str = "") -> bytes:
        """A call, for one of the roads: typed by keys, brought by the editor, replayed; now and then a stream."""
        said = self.chance.choice(("", "- \t", "\t")) + (text or self.chance.choice(ANSWERS))
        value = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": said}]}
        return json.dumps(value | {"stream": self.chance.random() < 0.5}).encode()

    def call(self, body: bytes) -> str:
        """The outcome of a call, judged: `ok`, an error's type, or what is wrong with it."""
        try:
            reply = client.post(self.harness.url, body, limit_s=LIMIT_S)
        except TimeoutError:
            return "BAD: nothing within the limit"
        except (OSError, http.client.HTTPException) as error:
            return f"BAD: {type(error).__name__}"
        return judge(reply.status, reply.headers.get("content-type", ""), reply.body)

    def during(self, fault: Callable[[], object], text: str = "") -> str:
        """A call, with the fault at some moment of it."""
        outcome: list[str] = []
        thread = threading.Thread(target=lambda: outcome.append(self.call(self.body(text))))
        thread.start()
        self.moment()
        with contextlib.suppress(OSError):
            fault()
        thread.join(LIMIT_S + 5)
        return outcome[0] if outcome else "BAD: the call hangs"


def judge(status: int, kind: str, data: bytes) -> str:
    """What a client would make of an answer."""
    try:
        if status != 200:
            return str(json.loads(data)["error"]["type"])
        if not kind.startswith("text/event-stream"):
            return "ok" if json.loads(data)["stop_reason"] else "BAD: no stop reason"
        events = [json.loads(p.split("data: ", 1)[1]) for p in data.decode().split("\n\n") if p]
    except (ValueError, KeyError, IndexError) as error:
        return f"BAD: {type(error).__name__} in {data[:200]!r}"
    last = events[-1]
    if last["type"] == "error":
        return str(last["error"]["type"])
    return "ok" if last["type"] == "message_stop" else f"BAD: the stream ends in {last['type']}"


def _signal_one(world: World, number: int) -> None:
    pids = world.pids()
    if pids:
        os.kill(world.chance.choice(pids), number)


def killed(world: World) -> str:
    """kill -9 of any process, in whatever state it is."""
    return world.during(lambda: _signal_one(world, signal.SIGKILL))


def stopped(world: World) -> str:
    """kill -STOP of any process."""
    return world.during(lambda: _signal_one(world, signal.SIGSTOP))


def terminated(world: World) -> str:
    """A polite signal from elsewhere."""
    return world.during(lambda: _signal_one(world, signal.SIGTERM))


def _transcripts(world: World) -> list[pathlib.Path]:
    return list(pathlib.Path(world.harness.isolation.config_dir, "projects").glob("*/*.jsonl"))


def truncated(world: World) -> str:
    """A transcript cut short, at any point."""

    def cut() -> None:
        for path in _transcripts(world):
            os.truncate(path, world.chance.randrange(path.stat().st_size + 1))

    return world.during(cut)


def removed(world: World) -> str:
    """Transcripts deleted."""

    def remove() -> None:
        for path in _transcripts(world):
            path.unlink()

    return world.during(remove)


def garbled(world: World) -> str:
    """Half lines and nonsense in the transcripts."""

    def add() -> None:
        for path in _transcripts(world):
            with path.open("ab") as file:
                file.write(world.chance.randbytes(300) + b'\n{"type":"assistant","message":{"id":"x"\n')

    return world.during(add)


def upstream(world: World) -> str:
    """The API fails in every way it can."""
    ways = ("[[error 400 x]]", "[[error 429 x]]", "[[error 500 x]]", "[[error 529 x]]", "[[reset]]", "[[cut]] [[long 500]]")
    return world.during(lambda: None, world.chance.choice((*ways, "[[midway 529]] [[long 500]]", "[[stop refusal]]")))


def vanished(world: World) -> str:
    """A client that leaves at some moment."""
    with _dial(world) as sock:
        sock.sendall(_request(world, world.body()))
        world.moment()
    return GONE


def stalled(world: World) -> str:
    """A client that does not read a long answer, and leaves."""
    with _dial(world) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(_request(world, world.body("[[long 200000]]")))
        world.moment(2.0)
    return GONE


def dripped(world: World) -> str:
    """A client that half-closes after a request that came byte by byte, in pieces."""
    with _dial(world) as sock:
        data = _request(world, world.body("[[say fine]]"))
        while data:
            size = world.chance.choice((1, 1, 3, 40))
            sock.sendall(data[:size])
            data = data[size:]
            time.sleep(0.001)
        sock.shutdown(socket.SHUT_WR)
        return _read(sock)


def pipelined(world: World) -> str:
    """Two requests at once on one connection."""
    with _dial(world) as sock:
        body = world.body("[[say fine]]")
        sock.sendall(_request(world, body) + _request(world, body, "connection: close\r\n"))
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    whole = data.count(b'"end_turn"')
    return "ok" if data.count(b"HTTP/1.1 200") == whole == 2 else f"BAD: {whole} answers"


def updated(world: World) -> str:
    """`claude` replaced on disk while it runs."""
    link = pathlib.Path(world.harness.claude)

    def swap() -> None:
        new = link.with_name("claude.new")
        new.write_bytes(link.read_bytes() + b"# another version\n")
        new.chmod(0o700)
        new.replace(link)

    return world.during(swap)


def crashed(world: World) -> str:
    """kill -9 of the daemon under a call; the next daemon finds nothing but what it sweeps."""

    def crash() -> None:
        world.harness.kill()

    outcome = world.during(crash)
    left = _running(world)
    world.harness.start()
    if any(_runs(pid) for pid in left):
        return "BAD: a process of the daemon before still runs"
    return GONE if outcome.startswith("BAD: ") and "within" not in outcome else outcome


def _running(world: World) -> list[int]:
    records = pathlib.Path(world.harness.state_dir, "slots").glob("*/process")
    return [int(record.read_text().split()[0]) for record in records]


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _dial(world: World) -> socket.socket:
    address = urlsplit(world.harness.url)
    return socket.create_connection((address.hostname, address.port), timeout=LIMIT_S)


def _request(world: World, body: bytes, more: str = "") -> bytes:
    host = urlsplit(world.harness.url).netloc
    fields = f"host: {host}\r\n{more}content-type: application/json\r\ncontent-length: {len(body)}"
    return f"POST /v1/messages HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body


def _read(sock: socket.socket) -> str:
    answer = http.client.HTTPResponse(sock)
    try:
        answer.begin()
        return judge(answer.status, answer.getheader("content-type") or "", answer.read())
    except (OSError, http.client.HTTPException) as error:
        return f"BAD: {type(error).__name__}"


KINDS = (
    *(killed, stopped, terminated, truncated, removed, garbled, upstream),
    *(vanished, stalled, dripped, pipelined, updated, crashed),
)
FAULTS: dict[str, Callable[[World], str]] = {fault.__name__: fault for fault in KINDS}


def settle(world: World, limit_s: float = 20.0) -> str:
    """Wait until only the pool's own processes and files are left; what is left over, if anything."""
    deadline = time.monotonic() + limit_s
    slots = pathlib.Path(world.harness.state_dir, "slots")
    found = ""
    while time.monotonic() < deadline:
        pids, directories = world.pids(), list(slots.iterdir())
        transcripts = _transcripts(world)
        found = f"{len(pids)} processes, {len(directories)} slots, {len(transcripts)} transcripts"
        if len(pids) == len(directories) and len(transcripts) <= 2 * len(pids) <= 10:
            return ""
        time.sleep(0.1)
    return f"left over: {found}"


def repeat(world: World, name: str, count: int) -> bool:
    """One kind of fault, so often; a line of the report. True if all went well."""
    outcomes: Counter[str] = Counter()
    begun = time.monotonic()
    for _ in range(count):
        outcomes[FAULTS[name](world)] += 1
        outcomes["next call: " + world.call(world.body("[[say fine]]"))] += 1
    left = settle(world)
    wrong = [o for o in outcomes if "BAD" in o or (o.startswith("next call") and o != "next call: ok")]
    verdict = "ok" if not wrong and not left else "NOT OK"
    told = ", ".join(f"{outcome} {n}" for outcome, n in outcomes.most_common())
    spent = time.monotonic() - begun
    print(f"| {name} | {count} | {verdict} | {told} {left} | {fds(world.harness.pid)} | {spent:.0f} |", flush=True)
    return verdict == "ok"


def main() -> int:
    """Run them; 0 if all went well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print("| fault | times | | outcomes | fds after | s |\n|---|---|---|---|---|---|", flush=True)
    well = True
    with tempfile.TemporaryDirectory(prefix="relayd-faults-") as root:
        script = pathlib.Path(root, "claude")
        script.write_text(f'#!/bin/sh\nexec "{options.claude}" "$@"\n')
        script.chmod(0o700)
        with Harness(f"{root}/d", str(script), FLAGS) as harness:
            world = World(harness, random.Random(options.seed))
            for name in [n for n in FAULTS if options.only in n]:
                well &= repeat(world, name, options.count)
            log = [line for line in harness.log if "bug" in line or "Traceback" in line]
            well &= not log and harness.stop() == 0
            print("\n".join(log), flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
