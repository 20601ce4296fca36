"""The gate for branches: `coverage` itself counts lines and branches together, and lines are easy to reach.

    python -m tests.branches REPORT.json

Prints the share of branches that ran, and the files that lack most. Exits with 1 below BRANCHES_MIN_PERCENT. Called by
`scripts/test` after the tests of the pure rooms.
"""

from __future__ import annotations

import json
import pathlib
import sys

BRANCHES_MIN_PERCENT = 95.0
SHOWN = 10


def main(path: str) -> int:
    """The exit code."""
    report = json.loads(pathlib.Path(path).read_text())
    ran, all_of_them = report["totals"]["covered_branches"], report["totals"]["num_branches"]
    percent = 100 * ran / all_of_them
    lacking = sorted(((len(found["missing_branches"]), name) for name, found in report["files"].items()), reverse=True)
    print(f"branches of the pure rooms: {ran} of {all_of_them}, {percent:.1f} % (at least {BRANCHES_MIN_PERCENT:.0f} %)")
    print("most are missing in", ", ".join(f"{name} ({count})" for count, name in lacking[:SHOWN] if count))
    return 0 if percent >= BRANCHES_MIN_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
