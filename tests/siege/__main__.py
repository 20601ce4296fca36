"""`python -m tests.siege MINUTES`: a hostile load on a daemon beside one well-behaved client, and a table of what became of it.

Ends with status 1 if a bar is broken: the daemon restarts, the good client gets a wrong answer, `/v1/health` takes more
than 50 ms (p99), a client's fault is answered with a 500, memory or fds grow, or something is left.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import multiprocessing
import os
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from typing import Any

from relayd.doctor.harness import Harness
from tests.siege import hostile, insiders, sockets
from tests.siege.daemon import ROOT, claude_at
from tests.siege.good import Good, idle_server, probe
from tests.siege.hostile import Family
from tests.siege.noise import Noise
from tests.siege.report import Samples, report
from tests.siege.tally import Tally

PACE = 72.0  # requests a second of all families at a pace of 1
NOBODY = 65534
F_SETPIPE_SZ = 1031  # Linux; a small pipe is full at once
NICE = 10  # of the attackers: they must not take the daemon's core
FLAGS: dict[str, Any] = {
    "kept": 0,
    "typing": False,
    "idle": 3,
    "max": 12,
    "silence_limit_s": 10,
    "turn_limit_s": 20,
    "parked_limit_s": 5,
    "start_limit_s": 10,
    "term_limit_s": 0.5,
    "refill_delay_s": 0.05,
    "warm_model": "claude-sonnet-4-6",
    "key_memory_s": 30,
    "conversations_max_bytes": 16 * 1024 * 1024,
    "header_limit_s": 5,
    "body_limit_s": 10,
    "stall_limit_s": 20,
}
FAMILIES = (*hostile.FAMILIES, *sockets.FAMILIES, *insiders.FAMILIES)


class DeafHarness(Harness):
    """A daemon whose stderr is read up to its ready line only: after that the pipe fills up."""

    is_deaf = True

    def _read(self, process: Any, ready: threading.Event) -> None:
        if not self.is_deaf:
            super()._read(process, ready)
            return
        fcntl.fcntl(process.stderr.fileno(), F_SETPIPE_SZ, 4096)
        while not ready.is_set() and (line := process.stderr.readline()):
            self.log.append(line.rstrip())
            if "listens on" in line:
                self.url = line.partition("listens on ")[2].partition(",")[0]
                ready.set()
        ready.set()


def attack(family: Family, pace: float, is_over: Callable[[], bool]) -> None:
    """One family at its pace; it never catches up on what it has missed."""
    while not is_over():
        begun = time.monotonic()
        try:
            family.once()
        except OSError as error:
            family.tally.count(family.name, type(error).__name__)
        time.sleep(max(0.0, (0.5 + family.chance.random()) / (family.rate * pace) - (time.monotonic() - begun)))
    family.close()


def attackers(options: argparse.Namespace, url: str, root: str, directory: str, port: int, over: Event, told: Any) -> None:
    """The process of all attackers but the stranger."""
    os.nice(NICE)
    tally = Tally("hostile", directory)
    chosen = [kind for kind in FAMILIES if options.only in kind.name]
    families: list[Family] = [kind(url, random.Random(f"{options.seed} {kind.name}"), tally, port) for kind in chosen]
    if options.only in insiders.Insiders.name:
        families.append(insiders.Insiders(url, random.Random(f"{options.seed} insiders"), tally, port, root=root))
    _run_threads([lambda f=f: attack(f, options.pace, over.is_set) for f in families])
    told.put(tally)


def stranger(options: argparse.Namespace, url: str, directory: str, port: int, over: Event, told: Any) -> None:
    """Another user of the machine: everything that reaches the daemon from there is refused."""
    os.nice(NICE)
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    tally = Tally("stranger", directory)
    kinds = (hostile.Counted, hostile.Odd, sockets.Raw, sockets.Slow, sockets.WebSockets)
    families = [kind(url, random.Random(f"{options.seed} stranger {kind.name}"), tally, port) for kind in kinds]
    for family in families:
        family.name = f"stranger: {family.name}"
        family.rate = family.rate / 4
    _run_threads([lambda f=f: attack(f, options.pace, over.is_set) for f in families])
    for (name, outcome), count in tally.counts.items():
        if outcome in ("200", "101") and count:
            tally.fault(f"{name}: {count} answers with {outcome} for another user")
    tally.faults = [f for f in tally.faults if "pipelined" not in f]
    told.put(tally)


def good(options: argparse.Namespace, url: str, directory: str, over: Event, told: Any) -> None:
    """The process of the good client."""
    tally = Tally("good", directory)
    Good(url, random.Random(f"{options.seed} good"), tally).run(over.is_set)
    told.put(tally)


def quiet(sock: socket.socket, priority: int) -> None:
    """The process of the server that does nothing, no better off than the daemon."""
    if priority:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    idle_server(sock)


def prober(options: argparse.Namespace, url: str, control_url: str, directory: str, over: Event, told: Any) -> None:
    """The process of the health prober."""
    with contextlib.suppress(OSError):
        os.nice(-5)
    tally = Tally("health", directory)
    probe(url, control_url, tally, over.is_set)
    told.put(tally)


def _run_threads(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lure() -> tuple[socket.socket, list[str]]:
    """A listener that nobody has a reason to call: what the daemon asks there, a client's reference has told it to."""
    sock, callers = socket.create_server(("127.0.0.1", 0)), list[str]()

    def serve() -> None:
        while True:
            try:
                peer, _ = sock.accept()
            except OSError:
                return
            with peer:
                callers.append(repr(peer.recv(200)))

    threading.Thread(target=serve, daemon=True).start()
    return sock, callers


def besiege(options: argparse.Namespace, root: pathlib.Path, found: pathlib.Path) -> int:
    """The whole of it; the exit status."""
    (root / "secrets").mkdir(parents=True)
    os.chmod(root.parent, 0o755)
    harness = DeafHarness(str(root), claude_at(root / "bin"), FLAGS)
    harness.is_deaf = options.stderr == "full"
    harness.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    sock, callers = lure()
    control = socket.create_server(("127.0.0.1", 0))
    control_url = f"http://127.0.0.1:{control.getsockname()[1]}"
    context = multiprocessing.get_context("fork")
    over, told = context.Event(), context.Queue()
    with harness, sock, control:
        if options.priority:
            os.setpriority(os.PRIO_PROCESS, harness.pid, options.priority)
        idle = context.Process(target=quiet, args=(control, options.priority), daemon=True)
        idle.start()
        samples = Samples(harness.pid)
        port, url = sock.getsockname()[1], harness.url
        works = [
            context.Process(target=prober, args=(options, url, control_url, str(found), over, told)),
            context.Process(target=good, args=(options, url, str(found), over, told)),
            context.Process(target=attackers, args=(options, url, str(root), str(found), port, over, told)),
        ]
        notes = []
        if os.geteuid() == 0 and options.only in "stranger":
            works.append(context.Process(target=stranger, args=(options, url, str(found), port, over, told)))
        elif os.geteuid() != 0:
            notes.append("not root: nobody attacked as another user")
        for work in works:
            work.start()
        tally = Tally("noise", str(found))
        chance = random.Random(f"{options.seed} noise")
        noise = Noise(url, harness.pid, harness.state_dir, chance, tally)
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end and harness.process is not None and harness.process.poll() is None:
            samples.take()
            time.sleep(1.0)
            if options.only in "operator noise" and chance.random() < 0.3 * options.pace:
                noise.once()
        over.set()
        noise.end()
        tallies = [tally]
        for _ in works:
            with contextlib.suppress(Exception):
                tallies.append(told.get(timeout=40))
        for work in works:
            work.join(5)
            if work.is_alive():
                work.kill()
        if callers:
            tally.fault(f"the daemon has followed a client's reference: {callers[:3]}")
        return report(options, harness, samples, tallies, notes, found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="siege", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--requests", type=int, default=0, help="about so many in all; default: 72 a second")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", default="", help="families whose name holds this")
    parser.add_argument("--stderr", choices=("full", "read"), default="full", help="whether anybody reads the daemon's stderr")
    parser.add_argument(
        "--priority", type=int, default=0, help="niceness of the daemon, for a machine on which others work (root)"
    )
    options = parser.parse_args()
    options.pace = options.requests / (options.minutes * 60) / PACE if options.requests else 1.0
    found = pathlib.Path(tempfile.mkdtemp(prefix="siege-found-"))
    found.chmod(0o777)
    root = pathlib.Path(tempfile.mkdtemp(prefix="siege-"))
    try:
        return besiege(options, root / "relayd", found)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
