"""`python -m tests.siege.throws [--each N] [--only TEXT]`: an exception from every method in turn; a line for each that did harm.

Ends with status 1 if there is such a line.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile

from tests.siege import core_throws, daemon_throws
from tests.siege.methods import Method, methods_of

CORE = (
    "relayd.core",
    "relayd.anthropic",
    "relayd.openai",
    "relayd.claude",
    "relayd.terminal",
    "relayd.http",
    "relayd.codec",
    "relayd.errors",
)
RUNTIME = ("relayd.runtime", "relayd.http")
# The frames that the core's guards stand in: the server guards them once more, but it is not in the simulated world.
EXEMPT: dict[str, str] = {
    "core/relay:Relay.handle": "the outer guard of the core; the server has one of its own around it",
    "core/relay:Relay._schedule": "called by it, outside the guard of the fact, and guarded inside",
    "core/relay:Relay._batches": "the same",
}


def is_exempt(method: Method) -> bool:
    """True for a method that may end the daemon."""
    return str(method) in EXEMPT


def core(each: int, only: str) -> tuple[str, list[str]]:
    """The summary of the throws in the simulated world, and a line for each that did harm."""
    methods = [m for m in methods_of(*CORE) if only in str(m) and not is_exempt(m)]
    cases = list(core_throws.cases(core_throws.uses(), methods, each))
    return _told("core", methods, {case.method for case in cases}, [(c.method, str(c), core_throws.throw(c)) for c in cases])


def runtime(each: int, only: str) -> tuple[str, list[str]]:
    """The same in a running daemon."""
    methods = [m for m in methods_of(*RUNTIME) if only in str(m) and not is_exempt(m)]
    with tempfile.TemporaryDirectory(prefix="throws-") as root, daemon_throws.Siege(pathlib.Path(root)) as siege:
        cases = list(daemon_throws.cases(siege.uses(), methods, each))
        return _told("runtime", methods, {case.method for case in cases}, [(c.method, str(c), siege.throw(c)) for c in cases])


def _told(
    what: str, methods: list[Method], reached: set[Method], results: list[tuple[Method, str, list[str]]]
) -> tuple[str, list[str]]:
    harm: dict[Method, list[str]] = {}
    for method, case, problems in results:
        if problems:
            harm.setdefault(method, []).append(f"{case}: {'; '.join(problems)}")
    text = f"{what}: {len(methods)} methods, {len(reached)} reached, {len(reached) - len(harm)} passed ({len(results)} throws)"
    missed = "not reached: " + ", ".join(str(m) for m in methods if m not in reached)
    return f"{text}\n{missed}", [line for lines in harm.values() for line in lines[:2]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="siege --throws", description=__doc__)
    parser.add_argument("--each", type=int, default=8, help="throws for each method")
    parser.add_argument("--only", default="", help="methods whose name holds this")
    parser.add_argument("--world", choices=("core", "runtime", "both"), default="both")
    options = parser.parse_args()
    harm = []
    for name, work in (("core", core), ("runtime", runtime)):
        if options.world in (name, "both"):
            summary, lines = work(options.each, options.only)
            print(summary, *[f"- {line}" for line in lines], sep="\n", flush=True)
            harm += lines
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
