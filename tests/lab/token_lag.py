"""`scripts/token-lag`: token by token, measured, through real clients and beside a daemon that has no pieces to tell.

python -m tests.lab.token_lag --claude PATH [--rounds 3] [--clients DIR] [--old CHECKOUT] [--streams 0]

One paragraph at 60 tokens a second from the stand-in through the real Claude Code: from each piece's leaving the stand-in
to its arrival at the client. Then several streams at once, for the daemon's CPU time. The other daemon is an old checkout of
this project, or this one with `live = false`, each call in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Any

import psutil

from relayd.doctor.harness import Harness
from tests.helpers import ask
from tests.lab.lag_readers import Reader, by_socket, readers
from tests.lab.streams import THINK, TOOL, to_chat

TOKENS, TOKEN_CHARS, RATE = 120, 6, 60
TEXT = ("lorem " * TOKENS)[: TOKENS * TOKEN_CHARS]
PACE = f"[[pieces {TOKEN_CHARS}]][[slow {1 / RATE:.4f}]]"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": (f"[[say {TEXT}]]", {}),
    "thinking": (f"[[think {TEXT}]][[say x]]", THINK),
    "tool input": (f"[[tool get {json.dumps({'k': TEXT})}]]", {"tools": [TOOL]}),
}
PAUSE_S = 2.0  # until what the last call has made a daemon start is there
KEYS: dict[str, object] = {"warm_model": "claude-sonnet-4-6", "queue_wait_s": 300}


@dataclass(frozen=True)
class Lags:
    """Milliseconds: from the first piece's leaving to the first delta, for each piece, and from the last one's to the end."""

    first_ms: float
    each_ms: list[float]
    end_ms: float


def lags(harness: Harness, reader: Reader, kind: str, number: int, by_chat: bool) -> Lags:
    """One stream."""
    time.sleep(PAUSE_S)
    prompt, fields = KINDS[kind]
    harness.api.clear()
    body = ask(f"{prompt}{PACE} {number}", system="Answer.", stream=True) | fields
    found = reader(harness.url, to_chat(body) if by_chat else body)
    record = harness.api.messages()[-1]
    each = []
    for count, sent in enumerate(record.sent[:TOKENS], 1):
        at = next((t for t, total in found if total >= count * TOKEN_CHARS), found[-1][0])
        each.append(1000 * (at - sent))
    return Lags(1000 * (found[0][0] - record.sent[0]), each, 1000 * (found[-1][0] - record.sent[-1]))


def cpu(harness: Harness, streams: int) -> float:
    """CPU seconds of the daemon per 1,000 pieces, with so many streams at once."""
    daemon = psutil.Process(harness.pid)
    body = ask(f"[[say {TEXT}]]{PACE}", stream=True)
    before = sum(daemon.cpu_times()[:2])
    threads = [threading.Thread(target=by_socket, args=(harness.url, body)) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (sum(daemon.cpu_times()[:2]) - before) / (streams * TOKENS) * 1000


def row(kind: str, client: str, daemon: str, found: list[Lags]) -> str:
    """One line of the table."""
    each = sorted(lag for one in found for lag in one.each_ms)
    first, end = (statistics.median(getattr(one, name) for one in found) for name in ("first_ms", "end_ms"))
    p99 = each[int(0.99 * (len(each) - 1))]
    return f"| {kind} | {client} | {daemon} | {first:.0f} | {statistics.median(each):.0f} | {p99:.0f} | {end:.0f} |"


def daemons(held: contextlib.ExitStack, claude: str, old: pathlib.Path | None, streams: int) -> dict[str, Harness]:
    """This build's, and the other's."""
    keys = KEYS | {"max": max(5, streams)}
    roots = [held.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
    if old is None:
        other = Harness(roots[1], claude, keys | {"live": False})
    else:
        places = os.pathsep.join([str(old), *(place for place in sys.path if place)])
        other = Harness(roots[1], claude, keys, {"PYTHONPATH": places}, program=("-m", "relayd"))
    return {"this build": held.enter_context(Harness(roots[0], claude, keys)), "the other": held.enter_context(other)}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=pathlib.Path)
    parser.add_argument("--old", type=pathlib.Path)
    parser.add_argument("--streams", type=int, default=0)
    options = parser.parse_args()
    with contextlib.ExitStack() as held:
        running = daemons(held, options.claude, options.old, options.streams)
        print("| kind | client | daemon | first, ms | lag, ms | p99 | end |\n|---|---|---|---|---|---|---|")
        for client, reader in held.enter_context(readers(options.clients)).items():
            for kind in KINDS:
                found: dict[str, list[Lags]] = {daemon: [] for daemon in running}
                for number, (daemon, harness) in itertools.product(range(options.rounds), running.items()):
                    found[daemon].append(lags(harness, reader, kind, number, client == "openai"))
                for daemon, each in found.items():
                    print(row(kind, client, daemon, each), flush=True)
        for daemon, harness in running.items() if options.streams else ():
            print(f"{daemon}: {options.streams} streams at once, CPU s per 1,000 pieces: {cpu(harness, options.streams):.2f}")


if __name__ == "__main__":
    main()
