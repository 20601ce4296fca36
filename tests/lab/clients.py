"""`scripts/clients`: clients as `relayd connect` sets them up, each run once against a daemon, the real claude and the stand-in.

python -m tests.lab.clients PLACE NAME...      PLACE is where scripts/clients has put them
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

from relayd.commands.clients import CLIENTS, Client
from relayd.doctor.harness import Harness

LIMIT_S = 120.0
PROMPT = "[[say fine]]"
# What is typed after the set-up. `{place}` is where clients are, `{own}` where relayd's files for them are.
COMMANDS: dict[str, tuple[str, ...]] = {
    "claude-code": ("{claude}", "--settings", "{own}/claude-code.json", "-p", PROMPT),
    "codex": ("{place}/codex/node_modules/.bin/codex", "exec", "--skip-git-repo-check", "--profile", "relayd", PROMPT),
    "opencode": ("{place}/opencode/node_modules/.bin/opencode", "run", "-m", "relayd/claude-sonnet-5", PROMPT),
    "cline": ("{place}/cline/node_modules/.bin/cline", "--data-dir", "{own}/cline", "-P", "openai", "--json", PROMPT),
    "aider": (
        "{place}/aider/bin/aider",
        *("--config", "{own}/aider.yml", "--no-git", "--no-check-update", "--no-show-model-warnings"),
        *("--analytics-disable", "--yes-always", "--message", PROMPT),
    ),
    "goose": (
        "{place}/goose/node_modules/@aaif/goose-binary-linux-x64/bin/goose",
        "run",
        "--no-session",
        "--quiet",
        "-t",
        PROMPT,
    ),
    "continue": ("{place}/continue/node_modules/.bin/cn", "-p", PROMPT, "--config", "{own}/continue.yaml"),
    "llm": ("{place}/llm/bin/llm", "-m", "relayd", PROMPT),
}
# What else its environment must have, as its set-up says.
VARIABLES = {"goose": {"GOOSE_PROVIDER": "relayd", "GOOSE_MODEL": "claude-sonnet-5", "RELAYD_KEY": "any"}}


def run(client: Client, harness: Harness, place: str, root: pathlib.Path) -> str:
    """Set it up in a home of its own, and run it; what went wrong, or nothing."""
    home = root / client.name
    (home / "work").mkdir(parents=True)
    own = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    port = {"RELAYD_PORT": str(urlsplit(harness.url).port)}
    made = _run([sys.executable, "-m", "relayd", "connect", client.name], own | port | {"PYTHONPATH": os.getcwd()}, root)
    if made.returncode:
        return made.stderr.strip()
    words = {"place": place, "own": str(home / ".config/relayd/clients"), "claude": harness.claude}
    command = [part.format(**words) for part in COMMANDS[client.name]]
    before = len(harness.api.messages())
    done = _run(command, own | VARIABLES.get(client.name, {}), home / "work")
    if len(harness.api.messages()) == before:
        return f"nothing reached the daemon's API: {(done.stdout + done.stderr)[-400:]}"
    return "" if "fine" in done.stdout else f"another answer: {(done.stdout + done.stderr)[-400:]}"


def _run(command: list[str], environ: dict[str, str], cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def main() -> int:
    """A line for each client; 1 if one did not get its answer."""
    place, names = sys.argv[1], sys.argv[2:]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="relayd-clients-") as root, Harness(f"{root}", os.environ["TEST_CLAUDE"]) as harness:
        for client in [client for client in CLIENTS if client.name in names]:
            begun = time.monotonic()
            problem = run(client, harness, place, pathlib.Path(root) / "homes")
            wrong += bool(problem)
            print(f"{client.name:<12} {time.monotonic() - begun:5.1f} s  {problem or 'fine'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
