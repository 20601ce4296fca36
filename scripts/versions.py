"""Makes a table of what the doctor has said of several versions of Claude Code. Run by scripts/doctor-versions.

versions.py DIRECTORY VERSION...: DIRECTORY is named by the commit that was run, and holds VERSION.json, as `relayd doctor
--json` prints it. Standard library only.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import sys
from typing import Any

MARKS = {True: "yes", False: "**no**", None: "–"}
Verdict = dict[str, Any]


def text(place: pathlib.Path, versions: list[str]) -> str:
    """The whole document."""
    found = {v: json.loads((place / f"{v}.json").read_text()) for v in versions if (place / f"{v}.json").exists()}
    today = datetime.datetime.now(datetime.UTC).date()
    head = [
        "# The doctor on versions of Claude Code",
        "",
        f"Commit {place.name}; {today}; `./scripts/doctor-versions`; {os.cpu_count()} cores, in use by others, too.",
        "Each version from npm against the stand-in for the API. What relayd does where something is missing: relayd(1).",
        "",
    ]
    return "\n".join([*head, *table(found), "", *reasons(found)]) + "\n"


def table(found: dict[str, Verdict]) -> list[str]:
    """A line a version, a column a check."""
    names = list(dict.fromkeys(check["name"] for verdict in found.values() for check in verdict["checks"]))
    lines = [f"| version | {' | '.join(names)} | took |", "| --- |" + " --- |" * (len(names) + 1)]
    for version, verdict in found.items():
        works = {check["name"]: check["works"] for check in verdict["checks"]}
        took = sum(check["took_s"] for check in verdict["checks"])
        lines.append(f"| {version} | {' | '.join(MARKS[works.get(name)] for name in names)} | {took:.0f} s |")
    return lines


def reasons(found: dict[str, Verdict]) -> list[str]:
    """What was seen where a check failed; versions that say the same stand together."""
    seen: dict[tuple[str, str], list[str]] = {}
    for version, verdict in found.items():
        for check in verdict["checks"]:
            if not check["works"]:
                seen.setdefault((check["name"], " ".join(check["seen"].split())[:200]), []).append(version)
    return [f"- {name} ({', '.join(versions)}): {what}" for (name, what), versions in seen.items()]


if __name__ == "__main__":
    print(text(pathlib.Path(sys.argv[1]), sys.argv[2:]), end="")
