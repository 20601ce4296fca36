"""`relayd status`, `sessions`, `calls`: what the daemon does, and has done."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.parse import quote

from relayd.commands.context import Context, paint, table
from relayd.daemon import EXIT_OK, RECORDS_NAME

WATCH_S = 1.0
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
    lines = [
        f"relayd {found['version']} {paint(found['status'], '32' if good else '33')}, claude {found['claude']}",
        f"calls: {found['served']} answered, {pool['running']} running, {pool['queued']} waiting for a process",
        f"tokens: {tokens['input_tokens']} in, {tokens['cache_read_input_tokens']} from cache, {tokens['output_tokens']} out",
    ]
    if limit["limited"]:
        lines.append(paint(f"usage limit: resets in {limit['resets_in_s']} s", "33"))
    rows = [(s["slot"][:8], s["state"], f"{s['state_s']:.0f} s", s["pid"] or "", s["key"]) for s in found["slots"]]
    return "\n".join([*lines, "", table(rows, ("PROCESS", "STATE", "FOR", "PID", "LAUNCH KEY"))])


def sessions(context: Context) -> int:
    """The sticky sessions; with `--delete`, the end of one."""
    if context.options.delete:
        found = context.ask("DELETE", f"/v1/sessions/{quote(context.options.delete, safe='')}")
        context.show(found, f"{found['id']} is forgotten")
        return EXIT_OK
    found = context.ask("GET", "/v1/sessions")
    rows = [(s["id"], s["model"], s["messages"], s["bytes"], f"{s['idle_s']:.0f} s") for s in found["data"]]
    context.show(found, table(rows, ("SESSION", "MODEL", "MESSAGES", "BYTES", "IDLE")))
    return EXIT_OK


def calls(context: Context) -> int:
    """Recent calls from their file: no daemon has to run."""
    path = os.path.join(context.state_dir, RECORDS_NAME)
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()[-context.options.number :]
    except FileNotFoundError:
        lines = []
    records = [json.loads(line) for line in lines]
    context.show(records, table([_call_row(r) for r in records], CALL_HEAD))
    return EXIT_OK


CALL_HEAD = ("TIME", "STATUS", "ROUTE", "MODEL", "ROAD", "QUEUE", "FIRST", "TOTAL", "IN", "OUT", "END")


def _call_row(record: dict[str, Any]) -> tuple[Any, ...]:
    tokens = record["tokens"]
    read = sum(count for kind, count in tokens.items() if kind != "output_tokens")
    at = time.strftime("%m-%d %H:%M:%S", time.localtime(record["at"]))
    times = tuple(f"{record[name]:.2f} s" for name in ("queue_s", "first_s", "total_s"))
    end = record["error"] or record["stop_reason"]
    return (
        at,
        record["status"],
        record["route"],
        record["model"],
        record["road"],
        *times,
        read,
        tokens.get("output_tokens", 0),
        end,
    )
