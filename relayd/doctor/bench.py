"""`scripts/bench`: how long the parts of a call take, beside the alternatives, all in one run.

Speeds are compared inside a run, never between machines: the report gives medians and ratios. The
clock of the stand-in, the client and the daemon is the same (`time.monotonic`, one machine).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from relayd.doctor import own_share, tool_rounds
from relayd.doctor.harness import Harness
from relayd.doctor.own_share import FILLER, MODEL
from relayd.doctor.standin import Recorded

SETTLE_S = 1.5  # until the pool has refilled and the machine is quiet
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Series:
    """Samples of one measure, in milliseconds."""

    name: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    def row(self) -> str:
        """A line of the report."""
        ordered = sorted(self.samples)
        low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
        return f"| {self.name} | {self.median:.1f} | {low:.1f} | {high:.1f} | {len(ordered)} |"


def body(prompt: str) -> dict[str, Any]:
    """A request of about 10 KB."""
    return {
        "model": MODEL,
        "max_tokens": 1024,
        "system": "Answer.",
        "messages": [{"role": "user", "content": f"{prompt}\n{FILLER}"}],
    }


def call(harness: Harness, prompt: str, stream: bool) -> tuple[float, Recorded, float]:
    """One call: when its last request byte left, its upstream record, when its last answer byte came."""
    harness.api.clear()
    connection = http.client.HTTPConnection(urlsplit(harness.url).netloc, timeout=60)
    data = json.dumps(body(prompt) | {"stream": stream}).encode()
    connection.connect()
    sent = time.monotonic()
    connection.request("POST", "/v1/messages", data, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    ended = time.monotonic()
    connection.close()
    assert answer.status == 200, answer.status
    return sent, upstream(harness), ended


def upstream(harness: Harness) -> Recorded:
    """The one upstream record, once its answer is out."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = harness.api.messages()
        if found and found[0].finished:
            return found[0]
        time.sleep(0.001)
    raise RuntimeError("nothing reached the stand-in")


def wrapper(harness: Harness, claude: str) -> float:
    """What the usual wrapper does: `claude -p` per call; milliseconds from spawn to upstream."""
    harness.api.clear()
    command = [claude, "-p", "--output-format", "stream-json", "--verbose", "--model", MODEL]
    environ = harness.isolation.environment() | {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    begun = time.monotonic()
    subprocess.run(
        command, input=f"[[say ok]]\n{FILLER}", env=environ, cwd=harness.root, capture_output=True, text=True, check=True
    )
    return 1000 * (harness.api.messages()[0].arrived - begun)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def measure(claude: str, rounds: int, calls: int) -> str:
    """Run everything; the report as Markdown."""
    warm, cold, usual = (
        Series("request → upstream, waiting slot"),
        Series("request → upstream, cold spawn"),
        Series("spawn → upstream, `claude -p`"),
    )
    whole_lag, stream_lag = (
        Series("last upstream byte → last client byte, whole"),
        Series("last upstream byte → last client byte, streamed"),
    )
    with tempfile.TemporaryDirectory(prefix="relayd-bench-") as root, Harness(f"{root}/w", claude, {"warm_model": MODEL}) as hot:
        with Harness(f"{root}/c", claude, {"idle": 0}) as fresh:
            call(hot, "[[say warm up]]", False), call(fresh, "[[say warm up]]", False), wrapper(fresh, claude)
            used = cpu_s(hot.pid)
            for number in range(rounds):
                time.sleep(SETTLE_S)
                stream = bool(number % 2)
                sent, record, ended = call(hot, "[[paragraphs 5]][[slow 0.05]]", stream)
                warm.samples.append(1000 * (record.arrived - sent))
                (stream_lag if stream else whole_lag).samples.append(1000 * (ended - (record.finished or ended)))
                time.sleep(SETTLE_S)
                sent, record, _ = call(fresh, "[[say ok]]", False)
                cold.samples.append(1000 * (record.arrived - sent))
                time.sleep(0.5)
                usual.samples.append(wrapper(fresh, claude))
                print(f"round {number + 1} of {rounds}", file=sys.stderr)
            used = cpu_s(hot.pid) - used
        for number in range(max(0, calls - rounds)):
            call(hot, f"[[say {number}]]", False)
        ways, trips = tool_rounds.measure(hot, MODEL, rounds)
        memory, started = resident_mb(hot.pid), hot.started_in_s
    share = Series("relayd's own share of a 10 KB request", own_share.samples(json.dumps(body("x")).encode()))
    parked_share = Series("relayd's own share of a tool result, 10 KB of history", own_share.parked_samples())
    tools = [Series("tool result → upstream", ways), Series("bare round trip to the MCP endpoint", trips), parked_share]
    series = [warm, cold, usual, whole_lag, stream_lag, share, *tools]
    return report(
        series,
        {"waiting / cold": warm.median / cold.median, "waiting / `claude -p`": warm.median / usual.median},
        used / rounds,
        memory,
        started,
        calls,
    )


def report(
    series: list[Series], ratios: dict[str, float], cpu_per_call_s: float, memory: float, started: float, calls: int
) -> str:
    """The Markdown text."""
    lines = ["| measure | median ms | p5 | p95 | n |", "|---|---|---|---|---|", *(s.row() for s in series), ""]
    lines += [f"- {name}: {value:.2f}" for name, value in ratios.items()]
    lines.append(f"- daemon CPU per call, refilling the pool included: {1000 * cpu_per_call_s:.1f} ms")
    lines.append(f"- spawn of the daemon → listening: {started:.2f} s")
    lines.append(f"- resident memory of the daemon after {calls} calls: {memory:.0f} MB")
    return "\n".join(lines)


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    print(measure(options.claude, options.rounds, options.calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
