"""`relayd status`, `sessions`, `calls`: what the daemon does, and has done."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from typing import Any
from urllib.parse import quote

from relayd.commands.context import Context, paint, table
from relayd.daemon.state import RECORDS_NAME
from relayd.errors import EXIT_OK
from relayd.printable import printable
from relayd.runtime.records import LINES_PER_CALL

WATCH_S = 1.0
WINDOW_NAMES = {"five_hour": "five-hour window", "seven_day": "week"}
CLEAR = "\x1b[2J\x1b[H"


def status(context: Context) -> int:
    """Once, or every second until interrupted."""
    while True:
        found = context.ask("GET", "/v1/status")
        if context.options.watch and not context.json:
            print(CLEAR, end="")
        context.show(found, _status_text(found))
        if not context.options.watch:
            return EXIT_OK
        time.sleep(WATCH_S)


def _status_text(found: dict[str, Any]) -> str:
    pool, limit, tokens = found["pool"], found["rate_limit"], found["statistics"]["tokens"]
    good = found["status"] == "ok" and not limit["limited"]
    health = paint(printable(found["status"]), "32" if good else "33")
    lines = [
        f"relayd {printable(found['version'])} {health}, claude {printable(found['claude'])}",
        f"calls: {found['served']} answered, {pool['running']} running, {pool['queued']} waiting for a process",
        f"tokens: {tokens['input_tokens']} in, {tokens['cache_read_input_tokens']} from cache, {tokens['output_tokens']} out"
        f", {found['statistics']['cost_usd']:.2f} USD by the API's prices",
    ]
    witness = found["witness"]
    lines.append(
        f"requests: {witness['exact']} proven exact, {witness['changed']} changed and stopped, {witness['unseen']} not seen"
    )
    if limit["limited"]:
        lines.append(paint(f"usage limit: resets in {limit['resets_in_s']} s", "33"))
    lines += _plan_lines(found["plan"])
    for name, profile in found["profiles"].items():
        calls, processes = sum(profile["calls"].values()), sum(profile["processes"].values())
        lines.append(f"profile {printable(name)}: {calls} calls, {processes} processes")
        lines += [f"  {line}" for line in _plan_lines(profile["plan"])]
    rows = [(s["slot"][:8], s["state"], f"{s['state_s']:.0f} s", s["pid"] or "", s["key"]) for s in found["slots"]]
    return "\n".join([*lines, "", table(rows, ("PROCESS", "STATE", "FOR", "PID", "LAUNCH KEY"))])


def _plan_lines(plan: dict[str, Any]) -> list[str]:
    """What the plan has left, one line a window."""
    if not plan["known"]:
        return ["plan: unknown (Claude Code tells it after a turn, if the login is a subscription)"]
    lines = []
    for window in plan["windows"]:
        name, used, left = WINDOW_NAMES.get(window["window"], window["window"]), window["used_percent"], window["resets_in_s"]
        at = time.strftime("%a %H:%M", time.localtime(window["resets_at"]))
        is_much = plan["warn_percent"] and used >= plan["warn_percent"]
        text = f"plan: {printable(name)} {used:g} % used, resets {at} (in {_span(left)}), told {_span(window['told_s'])} ago"
        lines.append(paint(text, "33") if is_much else text)
    return lines


def _span(seconds: float) -> str:
    """A time in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def sessions(context: Context) -> int:
    """The sticky sessions; with `--delete`, the end of one."""
    if context.options.delete:
        found = context.ask("DELETE", f"/v1/sessions/{quote(context.options.delete, safe='')}")
        context.show(found, f"{printable(found['id'])} is forgotten")
        return EXIT_OK
    found = context.ask("GET", "/v1/sessions")
    rows = [(s["id"], s["model"], s["messages"], s["bytes"], f"{s['idle_s']:.0f} s") for s in found["data"]]
    context.show(found, table(rows, ("SESSION", "MODEL", "MESSAGES", "BYTES", "IDLE")))
    return EXIT_OK


def calls(context: Context) -> int:
    """Recent calls from their file: no daemon has to run."""
    path = os.path.join(context.state_dir, RECORDS_NAME)
    try:
        with open(path, "rb") as file:
            lines = deque(file, LINES_PER_CALL * context.options.number)
    except FileNotFoundError:
        lines = deque()
    read = [(record, row) for line in lines if (record := _record(line)) and (row := _call_row(record))]
    known = {
        str(record.get("id", n)): (record, row) for n, (record, row) in enumerate(read)
    }  # written again when its cost was told
    last = list(known.values())[-context.options.number :]
    context.show([record for record, _ in last], table([row for _, row in last], CALL_HEAD))
    if len(read) < len(lines):
        print(f"relayd: {len(lines) - len(read)} line(s) of {path} hold no call's record", file=sys.stderr)
    return EXIT_OK


CALL_HEAD = ("TIME", "STATUS", "KEY", "ROUTE", "MODEL", "ROAD", "QUEUE", "FIRST", "TOTAL", "IN", "OUT", "USD", "END")


def _record(line: bytes) -> dict[str, Any] | None:
    """A line's record; None for a line that a crash or a full disk has cut, or that somebody else has written."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _call_row(record: dict[str, Any]) -> tuple[Any, ...] | None:
    """The cells of a record; None if it is none."""
    try:
        tokens = record["tokens"]
        read = sum(count for kind, count in tokens.items() if kind != "output_tokens")
        at = time.strftime("%m-%d %H:%M:%S", time.localtime(float(record["at"])))
        key, usd = record.get("key", ""), float(record.get("cost_usd", 0.0))  # records of earlier versions lack them
        call = (record["status"], key, *(record[name] for name in ("route", "model", "road")))
        times = tuple(f"{record[name]:.2f} s" for name in ("queue_s", "first_s", "total_s"))
        end = record["error"] or record["stop_reason"]
        return (at, *call, *times, read, tokens.get("output_tokens", 0), f"{usd:.4f}" if usd else "", end)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        return None
