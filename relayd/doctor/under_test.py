"""The `relayd` command as the harness starts it: with other values for limits that no user can set (`limits.py`).

The doctor needs longer ones for a slow machine, tests and fault runs shorter ones. They come as JSON in a variable that
only this program reads; `relayd` itself never looks at it. Run by `harness.py` as `python -m relayd.doctor.under_test`.
"""

from __future__ import annotations

import json
import os
import sys

VARIABLE = "UNDER_TEST_LIMITS"


def run() -> int:
    """The command with the limits of the variable. Returns the exit code."""
    from relayd.cli import main  # not above: the harness needs the name only

    return main(fixed=json.loads(os.environ.get(VARIABLE, "{}")))


if __name__ == "__main__":
    sys.exit(run())
