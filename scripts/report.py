#!/usr/bin/env python3
"""Runs one of the measuring scripts and puts what it printed into its section of scripts/REPORT.md.

    ./scripts/report.py bench [ROUNDS] [CALLS]
    ./scripts/report.py back-to-back | token-lag | exactness | faults | soak | fuzz [ARGUMENTS]

The section says on which commit it ran, when, and how it ended. Ends as the script ended. Standard library only.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import re
import subprocess
import sys

PLACE = pathlib.Path(__file__).parent
REPORT = PLACE / "REPORT.md"
NAMES = ("back-to-back", "bench", "token-lag", "exactness", "soak", "fuzz", "faults")


def git(*words: str) -> str:
    """What git says about this checkout."""
    return subprocess.run(["git", "-C", str(PLACE), *words], capture_output=True, text=True, check=True).stdout.strip()


def origin(words: list[str], code: int) -> str:
    """Where the numbers come from, in a line."""
    changed = ", with uncommitted changes" if git("status", "--porcelain", "--untracked-files=no", ":!REPORT.md") else ""
    version = re.search(r"^CLAUDE_VERSION=(\S+)", (PLACE / "prepare.sh").read_text(), re.MULTILINE)
    today = datetime.datetime.now(datetime.UTC).date()
    commit = git("rev-parse", "--short", "HEAD")
    return (
        f"Commit {commit}{changed}; {today}; `./scripts/{' '.join(words)}`, which ended with {code}; "
        f"{os.cpu_count()} cores, Claude Code {version[1] if version else 'of unknown version'}."
    )


def run(words: list[str]) -> tuple[str, int]:
    """What the script printed, which is shown as it comes, and how it ended."""
    lines = []
    with subprocess.Popen([str(PLACE / words[0]), *words[1:]], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines).strip(), child.returncode


def replaced(report: str, name: str, text: str) -> str:
    """The report with another text in one section."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, found, rest = report.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{REPORT} has no section {name}")
    return before + begin + text + end + after


def main(words: list[str]) -> int:
    """Run, then write."""
    if not words or words[0] not in NAMES:
        print(__doc__, file=sys.stderr)
        return 100
    printed, code = run(words)
    picture = "\n\n![histograms of the roads](bench.svg)" if words[0] == "bench" else ""
    if not re.search(r"^\|", printed, re.MULTILINE):  # no Markdown, but lines
        printed = f"```\n{printed}\n```"
    REPORT.write_text(replaced(REPORT.read_text(), words[0], f"{origin(words, code)}\n\n{printed}{picture}"))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
