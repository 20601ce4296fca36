"""`scripts/faults`: faults at random moments, each many times, against the real Claude Code.

After each: the client has a right answer or one well-formed error within the limit (or has left by itself), and
the next call works. After each kind: no process, fd or file is left over. Hooks that are lost, late, repeated or out of
order, and processes that ignore signals, are a scripted `claude`'s business (`tests/daemon/test_faults.py`).
"""

from __future__ import annotations

import argparse
import pathlib
import random
import sys
import tempfile
import time
from collections import Counter

from tests.lab.fault_kinds import FAULTS
from tests.lab.fault_world import World, harness_of
from tests.lab.load import fds

FDS_MAX = 40  # at rest: the daemon's own, and up to three for each process


def settle(world: World, limit_s: float = 20.0) -> str:
    """Wait until only the pool's own processes and files are left; what is left over, if anything."""
    deadline = time.monotonic() + limit_s
    slots = pathlib.Path(world.harness.state_dir, "slots")
    found = ""
    while time.monotonic() < deadline:
        pids, directories = world.pids(), list(slots.iterdir())
        transcripts = world.transcripts()
        opened = fds(world.harness.pid)
        found = f"{len(pids)} processes, {len(directories)} slots, {len(transcripts)} transcripts, {opened} fds"
        if len(pids) == len(directories) and len(transcripts) <= 2 * len(pids) <= 10 and opened <= FDS_MAX:
            return ""
        time.sleep(0.1)
    return f"left over: {found}"


def repeat(world: World, name: str, count: int) -> bool:
    """One kind of fault, so often; a line of the report. True if all went well."""
    outcomes: Counter[str] = Counter()
    begun = time.monotonic()
    for _ in range(count):
        outcomes[FAULTS[name](world)] += 1
        logged = len(world.harness.log)
        after = world.call(world.body("[[say fine]]"))
        outcomes[f"next call: {after}"] += 1
        if after != "ok":
            print("\n".join(world.harness.log[logged:]), file=sys.stderr)
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
        with harness_of(f"{root}/d", str(script)) as harness:
            world = World(harness, random.Random(options.seed))
            for name in [n for n in FAULTS if options.only in n]:
                well &= repeat(world, name, options.count)
            log = [line for line in harness.log if "bug" in line or "Traceback" in line]
            well &= not log and harness.stop() == 0
            print("\n".join(log), flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
