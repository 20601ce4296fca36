"""Many clients at once, many idle connections, many calls: throughput, latency, memory. Called by `bench.py`."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from relayd.doctor import client
from relayd.doctor.harness import Harness
from relayd.runtime.memory import resident_bytes
from tests.lab import roads
from tests.lab.series import Series

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
CALLS = {1: 20, 5: 60, 20: 80, 100: 100}
IDLE_CONNECTIONS = 1000


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    size_bytes = resident_bytes(pid)
    assert size_bytes is not None
    return size_bytes / 2**20


def fds(pid: int) -> int:
    """How many fds a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def clients(root: str, claude: str) -> tuple[list[Series], list[str]]:
    """Whole calls by so many clients at the same time: times, and lines of the report."""
    series, lines = [], []
    for count, calls in CALLS.items():
        with Harness(f"{root}/{count}", claude, {"warm_model": roads.MODEL, "queue_max": 200, "queue_wait_s": 300}) as harness:
            time.sleep(2)
            used, begun = cpu_s(harness.pid), time.monotonic()
            with ThreadPoolExecutor(count) as workers:
                times = list(workers.map(lambda n, url=harness.url: _timed(url, n), range(calls)))
            spent = time.monotonic() - begun
            one = Series(f"{count} clients, whole call", times)
            cpu = 1000 * (cpu_s(harness.pid) - used) / calls
            series.append(one)
            tail = f"{one.part(0.99):.0f} | {one.part(0.99) / one.median:.2f} | {cpu:.1f}"
            lines.append(f"| {count} | {calls / spent:.2f} | {one.median:.0f} | {tail} |")
    return series, lines


def _timed(url: str, number: int) -> float:
    begun = time.monotonic()
    client.post(url, roads.request(f"[[say {number}]] please")).expect()
    return 1000 * (time.monotonic() - begun)


def idle_connections(harness: Harness) -> tuple[float, float]:
    """Megabytes of memory that so many idle connections take, and milliseconds of a health request among them."""
    before = resident_mb(harness.pid)
    address = urlsplit(harness.url)
    held = [socket.create_connection((address.hostname, address.port)) for _ in range(IDLE_CONNECTIONS)]
    times = []
    for _ in range(20):
        begun = time.monotonic()
        client.get(harness.url, "/v1/health").expect()
        times.append(1000 * (time.monotonic() - begun))
    grown = resident_mb(harness.pid) - before
    for sock in held:
        sock.close()
    return grown, Series("health", times).median


def volume(root: str, fake: str, calls: int) -> list[str]:
    """So many calls on a scripted `claude`: memory and fds along the way, as lines of the report."""
    flags: dict[str, Any] = {"typing": False, "kept": 0, "idle": 3, "max": 6, "refill_delay_s": 0, "queue_wait_s": 300}
    lines = []
    with Harness(root, fake, flags) as harness, ThreadPoolExecutor(4) as workers:
        body = json.dumps(roads.request("echo hello")).encode()
        for part in range(5):
            list(workers.map(lambda _: client.post(harness.url, body).expect(), range(calls // 5)))
            lines.append(f"| {(part + 1) * calls // 5} | {resident_mb(harness.pid):.1f} | {fds(harness.pid)} |")
    return lines
