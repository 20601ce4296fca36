"""The siege's table and its verdict."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import time
from collections import Counter

from relayd.doctor.harness import Harness
from tests.siege.tally import Tally
from tests.siege.wire import Client

HEALTH_P99_MS = 50.0
SETTLE_LIMIT_S = 30.0
MEMORY_SHARE, MEMORY_MB = 1.25, 20.0  # growth from a tenth of the time to its end that still counts as flat
FDS_MORE = 10


class Samples:
    """Memory and fds of the daemon, once a second."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.rss_mb: list[float] = []
        self.fds: list[int] = []
        self.fds_at_rest = len(os.listdir(f"/proc/{pid}/fd"))

    def __repr__(self) -> str:
        return f"<Samples {len(self.rss_mb)} of {self.pid}>"

    def take(self) -> None:
        """Look once; nothing if it is gone."""
        with contextlib.suppress(OSError):
            pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            self.rss_mb.append(pages * os.sysconf("SC_PAGESIZE") / 1e6)
            self.fds.append(len(os.listdir(f"/proc/{self.pid}/fd")))

    def at(self, share: float) -> tuple[float, int]:
        """Median memory and fds about there."""
        place = int(share * (len(self.rss_mb) - 1))
        width = max(3, len(self.rss_mb) // 20)
        window = slice(max(0, place - width), place + width + 1)
        return statistics.median(self.rss_mb[window] or [0.0]), int(statistics.median(self.fds[window] or [0]))


def percentile(times: list[float], share: float) -> float:
    """The value below which this share lies."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _times(times: list[float]) -> str:
    return f"p50 {percentile(times, 0.5):.1f} ms, p99 {percentile(times, 0.99):.1f} ms, longest {max(times, default=0):.0f} ms"


def report(
    options: argparse.Namespace, harness: Harness, samples: Samples, tallies: list[Tally], notes: list[str], found: pathlib.Path
) -> int:
    """Print everything; 1 if a bar is broken."""
    counts: Counter[tuple[str, str]] = Counter()
    for tally in tallies:
        counts.update(tally.counts)
    print(
        f"siege of {options.minutes:g} minutes, seed {options.seed}, stderr {options.stderr}: {sum(counts.values())} requests\n"
    )
    print(f"{'family':<28}{'requests':>9}  outcomes")
    for family in sorted({name for name, _ in counts}):
        outcomes = {outcome: count for (name, outcome), count in counts.items() if name == family}
        told = ", ".join(f"{o} {n}" for o, n in sorted(outcomes.items(), key=lambda item: -item[1]))
        print(f"{family:<28}{sum(outcomes.values()):>9}  {told[:160]}")
    health = next((t.times_ms for t in tallies if t.name == "health"), [])
    calls = next((t.times_ms for t in tallies if t.name == "good"), [])
    control = next((t.control_ms for t in tallies if t.name == "health"), [])
    print(f"\nhealth: {_times(health)}")
    print(f"        a server that does nothing, asked beside it: {_times(control)}")
    print(f"good client's calls: {_times(calls)}")
    begun, middle, ended = (samples.at(share) for share in (0.1, 0.5, 1.0))
    print(f"memory: {begun[0]:.0f} MB at 10 %, {middle[0]:.0f} MB at 50 %, {ended[0]:.0f} MB at the end")
    print(f"fds: {begun[1]} at 10 %, {middle[1]} at 50 %, {ended[1]} at the end, at rest before {samples.fds_at_rest}")
    broken = [fault for tally in tallies for fault in tally.faults]
    if not sum(n for (name, _), n in counts.items() if name == "good client"):
        broken.append("the good client has got nothing")
    if percentile(health, 0.99) > HEALTH_P99_MS or not health:
        broken.append(f"health p99 is above {HEALTH_P99_MS:g} ms")
    if ended[0] > begun[0] * MEMORY_SHARE + MEMORY_MB:
        broken.append(
            f"memory grew from {begun[0]:.0f} to {ended[0]:.0f} MB (flat: at most {MEMORY_SHARE:g} times and {MEMORY_MB:g} MB)"
        )
    broken += _at_rest(harness, samples)
    broken += _ended(harness)
    for note in notes:
        print("note:", note)
    if any(found.iterdir()):
        print(f"requests that caused a 5xx or no answer: {found}")
    for line in broken[:60]:
        print("BROKEN:", line)
    print("held" if not broken else f"{len(broken)} bars broken")
    return 1 if broken else 0


def _at_rest(harness: Harness, samples: Samples) -> list[str]:
    """What is left once the attackers have gone."""
    if harness.process is None or harness.process.poll() is not None:
        return [f"the daemon has ended: {harness.process and harness.process.returncode} {harness.log[-3:]}"]
    client, deadline, broken = Client(harness.url, 5.0), time.monotonic() + SETTLE_LIMIT_S, ["it does not answer"]
    while broken and time.monotonic() < deadline:
        time.sleep(0.5)
        broken = _left(harness, samples, client)
    with open(f"/proc/{harness.pid}/task/{harness.pid}/children") as file:
        children = file.read().split()
    state = {name: len(files) for name, _, files in os.walk(harness.state_dir)}
    print(
        f"at rest: {len(children)} processes, {sum(state.values())} files in {len(state)} directories, pid {harness.pid} as ever"
    )
    transcripts = sum(1 for _ in pathlib.Path(harness.isolation.config_dir, "projects").rglob("*.jsonl"))
    print(f"         {transcripts} transcripts, {len(os.listdir(f'/proc/{harness.pid}/fd'))} fds")
    return broken


def _ended(harness: Harness) -> list[str]:
    """Told to end, it ends, and leaves nothing."""
    if harness.process is None or harness.process.poll() is not None:
        return []
    with open(f"/proc/{harness.pid}/task/{harness.pid}/children") as file:
        children = file.read().split()
    try:
        status = harness.stop()
    except subprocess.TimeoutExpired:
        return ["told to end, it does not"]
    slots = os.listdir(f"{harness.state_dir}/slots")
    transcripts = list(pathlib.Path(harness.isolation.config_dir, "projects").rglob("*.jsonl"))
    broken = [f"it ended with status {status}"] if status else []
    broken += [f"process {pid} is left" for pid in children if os.path.exists(f"/proc/{pid}")]
    return broken + ([f"at its end it left {slots} and {transcripts}"] if slots or transcripts else [])


def _left(harness: Harness, samples: Samples, client: Client) -> list[str]:
    got = client.exchange("GET", "/v1/health")
    if got.status != 200:
        return [f"at rest it does not tell its health: {got.end} {got.status}"]
    pool, broken = json.loads(got.body)["pool"], []
    if pool["running"] or pool["queued"] or set(pool["processes"]) - {"waiting"}:
        broken.append(f"at rest there is {pool}")
    with open(f"/proc/{harness.pid}/task/{harness.pid}/children") as file:
        children = len(file.read().split())
    slots = len(os.listdir(f"{harness.state_dir}/slots"))
    if not children == slots == sum(pool["processes"].values()):
        broken.append(f"{children} processes, {slots} directories, {pool['processes']} known")
    if len(os.listdir(f"/proc/{harness.pid}/fd")) > samples.fds_at_rest + FDS_MORE:
        broken.append(f"{len(os.listdir(f'/proc/{harness.pid}/fd')) - samples.fds_at_rest} fds more than at the start")
    return broken
