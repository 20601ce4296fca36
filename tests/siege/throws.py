"""`python -m tests.siege.throws [--each N] [--only TEXT]`: an exception from every method in turn; a line for each that did harm.

Ends with status 1 if there is such a line.
"""

from __future__ import annotations

import argparse
import sys

from tests.siege import core_throws
from tests.siege.methods import Method, methods_of

CORE = ("relayd.core", "relayd.anthropic", "relayd.openai", "relayd.claude", "relayd.http", "relayd.terminal", "relayd.codec", "relayd.errors")


def core(each: int, only: str) -> tuple[str, list[str]]:
    """The summary of the throws in the simulated world, and a line for each that did harm."""
    methods = [m for m in methods_of(*CORE) if only in str(m)]
    used = core_throws.uses()
    cases = list(core_throws.cases(used, methods, each))
    harm: dict[Method, list[str]] = {}
    for case in cases:
        problems = core_throws.throw(case)
        if problems:
            harm.setdefault(case.method, []).append(f"{case}: {'; '.join(problems)}")
    reached = {case.method for case in cases}
    text = f"core: {len(methods)} methods, {len(reached)} reached, {len(reached) - len(harm)} passed ({len(cases)} throws)"
    missed = "not reached: " + ", ".join(str(m) for m in methods if m not in reached)
    return f"{text}\n{missed}", [line for lines in harm.values() for line in lines[:2]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="siege --throws", description=__doc__)
    parser.add_argument("--each", type=int, default=8, help="throws for each method")
    parser.add_argument("--only", default="", help="methods whose name holds this")
    options = parser.parse_args()
    summary, lines = core(options.each, options.only)
    print(summary)
    for line in lines:
        print("-", line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
