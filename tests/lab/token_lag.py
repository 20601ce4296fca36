"""Token by token, measured: `TEST_CLAUDE=… python -m tests.lab.token_lag [ROUNDS]`, with the mod and without, in turn.

One paragraph at 60 tokens a second from the stand-in through the real Claude Code: from each piece's leaving the stand-in
to its arrival at the client. Then several streams at once, for the daemon's CPU time.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from typing import Any

import psutil

from relayd.doctor.harness import Harness
from tests.helpers import ask, connect, request_bytes

TOKENS, TOKEN_CHARS, RATE = 120, 6, 60
TEXT = ("lorem " * TOKENS)[: TOKENS * TOKEN_CHARS]
PACE = f"[[pieces {TOKEN_CHARS}]][[slow {1 / RATE:.4f}]]"
THINK = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
TOOL = {"name": "get", "input_schema": {"type": "object"}}
Lags = tuple[float, list[float], float, str]  # see `lags`
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "text": (f"[[say {TEXT}]]", {}, "text"),
    "thinking": (f"[[think {TEXT}]][[say x]]", THINK, "thinking"),
    "tool input": (f"[[tool get {json.dumps({'k': TEXT})}]]", {"tools": [TOOL]}, "partial_json"),
}


def arrivals(url: str, body: dict[str, Any], field: str) -> tuple[list[tuple[float, int]], str]:
    """When so many characters of a field's deltas were there; and the road."""
    found, total, road = [], 0, ""
    with connect(url) as sock:
        sock.sendall(request_bytes(url, body))
        with sock.makefile("rb") as file:
            while line := file.readline():
                if line.startswith(b"server-timing"):
                    road = line.decode().partition('desc="')[2].strip().strip('"')
                if line.startswith(b"data: ") and b"content_block_delta" in line:
                    total += len(json.loads(line[6:])["delta"].get(field, ""))
                    found.append((time.monotonic(), total))
                if b"message_stop" in line:
                    break
    return found, road


def lags(harness: Harness, kind: str, number: int) -> Lags:
    """Milliseconds from the first piece's leaving to the first delta, for each piece, and for the end; the road."""
    prompt, fields, field = KINDS[kind]
    harness.api.clear()
    body = ask(f"{prompt}{PACE} {number}", stream=True, system="Answer.", **fields)
    found, road = arrivals(harness.url, body, field)
    ended = time.monotonic()
    record = harness.api.messages()[-1]
    each = []
    for count, sent in enumerate(record.sent[:TOKENS], 1):
        at = next((t for t, total in found if total >= count * TOKEN_CHARS), found[-1][0])
        each.append(1000 * (at - sent))
    return 1000 * (found[0][0] - record.sent[0]), each, 1000 * (ended - record.sent[-1]), road


def cpu(harness: Harness, streams: int) -> float:
    """CPU seconds of the daemon per 1,000 pieces, with so many streams at once."""
    daemon = psutil.Process(harness.pid)
    body = ask(f"[[say {TEXT}]]{PACE}", stream=True)
    before = sum(daemon.cpu_times()[:2])
    threads = [threading.Thread(target=arrivals, args=(harness.url, body, "text")) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (sum(daemon.cpu_times()[:2]) - before) / (streams * TOKENS) * 1000


def tell(kind: str, how: str, found: list[Lags]) -> None:
    """One line of figures."""
    each = sorted(lag for one in found for lag in one[1])
    first, end = (statistics.median(one[place] for one in found) for place in (0, 2))
    p99 = each[int(0.99 * (len(each) - 1))]
    lag = f"lag {statistics.median(each):.0f} ms, p99 {p99:.0f}"
    print(f"{kind:10} {how:5} first {first:.0f} ms, {lag}, end {end:.0f}; {','.join(one[3] for one in found)}")


def main() -> None:
    """Measure and print."""
    rounds, streams = (int(sys.argv[n]) if len(sys.argv) > n else default for n, default in ((1, 3), (2, 0)))
    shown: dict[tuple[str, str], list[Lags]] = {}
    flags: dict[str, object] = {"warm_model": "claude-sonnet-4-6", "max": max(5, streams), "queue_wait_s": 300}
    with contextlib.ExitStack() as held:
        harnesses = {
            how: held.enter_context(
                Harness(
                    held.enter_context(tempfile.TemporaryDirectory()), os.environ["TEST_CLAUDE"], flags | {"live": how == "live"}
                )
            )
            for how in ("live", "lines")
        }
        for number in range(rounds):
            for kind in KINDS:
                for how, harness in harnesses.items():
                    shown.setdefault((kind, how), []).append(lags(harness, kind, number))
        for (kind, how), found in shown.items():
            tell(kind, how, found)
        for how, harness in harnesses.items() if streams else ():
            print(f"{how}: {streams} streams at once, CPU seconds per 1,000 pieces: {cpu(harness, streams):.2f}")


if __name__ == "__main__":
    main()
