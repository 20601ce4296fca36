"""`relayd doctor`: what works with the installed `claude`, checked without an account; `--live` makes one real call."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import asdict
from typing import Any

from relayd import verdict
from relayd.commands.context import Context, paint
from relayd.daemon import user_files
from relayd.doctor.checks import MODEL, Result, ask, examine
from relayd.doctor.harness import Harness
from relayd.errors import EXIT_OK, EXIT_SYSTEM, StartError
from relayd.printable import printable
from relayd.runtime.files import fingerprint, write_whole
from relayd.verdict import Verdict

VERSION_LIMIT_S = 30.0


def doctor(context: Context) -> int:
    """The table, and the verdict that the daemon takes up within a few seconds."""
    claude = user_files.find_claude(context.config, context.environ)
    version = version_of(claude)
    if not context.json:
        print(
            f"Claude Code {printable(version)} ({claude}), against a stand-in for the API: no account, nothing leaves the machine"
        )
    results = run_checks(claude, context.json)
    found = verdict_of(claude, version, results)
    if found.is_kept:
        keep(context, found)
    if context.options.live:
        results.append(live(context))
        _tell(results[-1], context.json)
    value = {"claude": claude, "version": version, "checks": [asdict(r) for r in results], "refusal": found.refusal}
    if context.json:
        print(json.dumps(value))
    elif not found.is_kept:
        print("Not one call was answered. That may be this machine or its terminal: the daemon is told nothing of it.")
    elif found.refusal or found.no_tools:
        print(printable(found.refusal or found.no_tools))
    return EXIT_OK if all(r.works for r in results) else EXIT_SYSTEM


def verdict_of(claude: str, version: str, results: list[Result]) -> Verdict:
    """What the daemon shall go by."""
    lacks = frozenset(r.name for r in results if not r.works)
    return Verdict(fingerprint(claude), version, lacks, frozenset(r.name for r in results if not r.is_sure))


def run_checks(claude: str, is_quiet: bool = False) -> list[Result]:
    """Every check, in an isolated home."""
    with tempfile.TemporaryDirectory(prefix="relayd-doctor-") as root:
        limits = {"spawn_limit_s": 15, "start_limit_s": 15, "submit_limit_s": 15, "refill_delay_s": 0.1}
        flags: dict[str, object] = {"warm_model": MODEL, "idle": 1, "live": False, "witness": False, **limits}
        with Harness(root, claude, flags) as harness:
            return examine(harness, lambda result: _tell(result, is_quiet))


def _tell(result: Result, is_quiet: bool) -> None:
    if not is_quiet:
        mark = paint("ok  ", "32") if result.works else paint("FAIL", "31")
        print(f"  {mark}  {result.name:<14}  {printable(result.seen)}", flush=True)


def version_of(claude: str) -> str:
    """What the binary calls itself."""
    try:
        done = subprocess.run([claude, "--version"], capture_output=True, text=True, check=False, timeout=VERSION_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError(f"relayd: {claude} cannot be run: {error}") from error
    return done.stdout.split()[0] if done.stdout.split() else "of unknown version"


def keep(context: Context, found: Verdict) -> None:
    """For the daemon, which may be reading."""
    os.makedirs(context.state_dir, mode=0o700, exist_ok=True)
    write_whole(os.path.join(context.state_dir, verdict.FILE_NAME), found.dump())


def live(context: Context) -> Result:
    """One small call of the running daemon, on the user's own account."""
    value: dict[str, Any] = ask("Answer with the single word: ready") | {"model": context.config.warm_model, "max_tokens": 64}
    try:
        answer = context.ask("POST", "/v1/messages", value)
    except StartError as error:
        return Result("live", False, str(error), 0.0)
    text = "".join(block.get("text", "") for block in answer["content"])
    return Result("live", True, f"{answer['model']} says {text!r}", 0.0)
