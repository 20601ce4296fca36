"""`scripts/exactness`: generated conversations at volume through a real claude, N of N."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from relayd.doctor import client
from relayd.doctor.conversations import conversation
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from tests import repairs
from tests.lab import answers, go_ons
from tests.lab.warm_turns import at_prompt, chain, text, typed

MODEL = "claude-sonnet-4-6"
CHAIN_TURNS = 10
READY_LIMIT_S = 10.0


def check(harness: Harness, seed: int, case: dict[str, Any] | None = None, model: str = MODEL) -> tuple[str, list[str]]:
    """The road of one conversation, and the differences that it shows. The case is found again by a mark in its system prompt."""
    case = case or conversation(seed)
    mark = f"[case {seed}]"
    system = case.get("system")
    # The mark is a system text of its own, so that every kind of message stays as it was generated.
    marked = [mark] if system is None else ([mark, system] if isinstance(system, str) else [mark, *[b["text"] for b in system]])
    case["system"] = [{"type": "text", "text": t} for t in marked]
    reply = client.post(harness.url, {"model": model, "max_tokens": 1024, **case})
    if reply.status != 200:
        return reply.road, [f"status {reply.status}: {reply.body[:300]!r}"]
    received = [r.body for r in harness.api.messages() if r.body["system"][-1]["text"].startswith(mark)]
    if len(received) != 1:
        return reply.road, [f"{len(received)} upstream requests"]
    found = differences(case, received[0], reply.headers.get("x-relayd-inexact", ""))
    witness = reply.headers.get("x-relayd-witness", "missing")
    return reply.road, found if found or witness == "exact" else [f"the witness says {witness}"]


def main() -> int:
    """Run both kinds; 0 if all are exact."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--typed", type=int, default=0, help="conversations whose last text goes to a process at its prompt")
    parser.add_argument("--chains", type=int, default=0, help="conversations that go on for ten turns each")
    parser.add_argument("--repairs", type=int, default=0, help="conversations of the kinds that Claude Code repairs")
    parser.add_argument("--answers", type=int, default=0, help="turns with tool calls, through three answers each")
    parser.add_argument("--go-ons", type=int, default=0, help="answers after which Claude Code goes on by itself")
    options = parser.parse_args()
    runs = {
        volume: options.count,
        ready: options.typed,
        chains: options.chains,
        repaired: options.repairs,
        answered: options.answers,
        gone_on: options.go_ons,
    }
    return max(run(options) for run, count in runs.items() if count)


def volume(options: argparse.Namespace) -> int:
    """Conversations of one call each."""
    seeds = range(options.seed, options.seed + options.count)
    begun = time.monotonic()
    exact, roads = 0, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="relayd-exactness-") as root:
        flags: dict[str, object] = {"idle": 3, "max": 5, "refill_delay_s": 0, "warm_model": options.model}
        with Harness(root, options.claude, flags) as harness, ThreadPoolExecutor(options.clients) as workers:
            for seed, (road, found) in zip(
                seeds, workers.map(lambda s: check(harness, s, model=options.model), seeds), strict=True
            ):
                exact += not found
                roads[road] += 1
                for difference in found:
                    print(f"seed {seed}: {difference}", flush=True)
    spent = time.monotonic() - begun
    print(f"exact: {exact} of {options.count}, roads {dict(roads)}, {spent / options.count:.2f} s a conversation")
    return 0 if exact == options.count else 1


def ready(options: argparse.Namespace) -> int:
    """Conversations that are loaded by processes at their prompt, and whose last text is typed or brought by the editor."""
    begun = time.monotonic()
    roads: Counter[str] = Counter()
    exact = 0
    with tempfile.TemporaryDirectory(prefix="relayd-exactness-") as root:
        flags: dict[str, object] = {"idle": 4, "max": 6, "refill_delay_s": 0, "kept": 0, "warm_model": options.model}
        with Harness(root, options.claude, flags) as harness:
            for seed in range(options.seed, options.seed + options.typed):
                _until_ready(harness)
                road, found = check(harness, seed, typed(seed, text(random.Random(seed))), options.model)
                exact += not found
                roads[road] += 1
                for difference in found:
                    print(f"typed {seed} ({road}): {difference}", flush=True)
                harness.api.clear()
    spent = time.monotonic() - begun
    print(f"typed: exact {exact} of {options.typed}, roads {dict(roads)}, {spent / options.typed:.2f} s a conversation")
    return 0 if exact == options.typed else 1


def _until_ready(harness: Harness) -> None:
    """Wait until half of the pool is at its prompt."""
    deadline = time.monotonic() + READY_LIMIT_S
    while at_prompt(harness) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)


def chains(options: argparse.Namespace) -> int:
    """Conversations that go on, two at a time: as many as the daemon keeps processes for."""
    seeds = range(options.seed, options.seed + options.chains)
    begun = time.monotonic()
    roads: Counter[str] = Counter()
    wrong = 0
    with contextlib.ExitStack() as held:
        root = held.enter_context(tempfile.TemporaryDirectory(prefix="relayd-exactness-"))
        harness = held.enter_context(Harness(root, options.claude))
        workers = held.enter_context(ThreadPoolExecutor(2))
        for seed, found in zip(seeds, workers.map(lambda s: chain(harness, s, options.model, CHAIN_TURNS), seeds), strict=True):
            roads += found.roads
            wrong += len(found.wrong)
            for difference in found.wrong:
                print(f"chain {seed}: {difference}", flush=True)
    spent = (time.monotonic() - begun) / roads.total()
    print(f"chains: {roads.total()} calls, {wrong} differences, roads {dict(roads)}, {spent:.2f} s a call")
    return 1 if wrong else 0


def repaired(options: argparse.Namespace) -> int:
    """Conversations of the kinds that Claude Code repairs: by replay, and at a prompt. Exact, refused by name, or named."""
    begun = time.monotonic()
    found: Counter[str] = Counter()
    with contextlib.ExitStack() as held:
        root = held.enter_context(tempfile.TemporaryDirectory(prefix="relayd-exactness-"))
        flags: dict[str, object] = {"kept": 0, "idle": 2, "max": 4, "refill_delay_s": 0, "warm_model": options.model}
        replays = held.enter_context(Harness(f"{root}/a", options.claude, flags | {"typed_messages_max": 0}))
        types = held.enter_context(Harness(f"{root}/b", options.claude, flags))
        for seed in range(options.seed, options.seed + options.repairs):
            harness = (replays, types)[seed // len(repairs.KINDS) % 2]
            verdict, differences = shape(harness, seed, options.model)
            found[verdict] += 1
            for difference in differences:
                print(f"shape {seed} ({repairs.shape(seed).kind}): {difference}", flush=True)
            harness.api.clear()
    spent = time.monotonic() - begun
    print(f"repairs: {dict(found)}, {spent / options.repairs:.2f} s a conversation")
    return 1 if found["wrong"] else 0


def shape(harness: Harness, seed: int, model: str = MODEL) -> tuple[str, list[str]]:
    """What became of a conversation that Claude Code would repair: its road, `refused` or `wrong`; and why."""
    made = repairs.shape(seed)
    if not made.refusal:
        road, differences = check(harness, seed, made.body, model)
        return ("wrong" if differences else road), differences
    reply = client.post(harness.url, {"model": model, "max_tokens": 1024, **made.body})
    if reply.status == 400 and made.refusal in reply.body.decode():
        return "refused", []
    return "wrong", [f"{reply.status} instead of a refusal: {reply.body[:300]!r}"]


def answered(options: argparse.Namespace) -> int:
    """Turns with tool calls, half of them with the mod."""
    return _stories("answers", "story", answers.check, range(options.seed, options.seed + options.answers), options)


def gone_on(options: argparse.Namespace) -> int:
    """Answers after which Claude Code goes on by itself, half of them with the mod."""
    return _stories("go-ons", "go-on", go_ons.check, range(options.seed, options.seed + options.go_ons), options)


def _stories(
    name: str, one: str, check: Callable[[Harness, int, str], answers.Verdict], seeds: range, options: argparse.Namespace
) -> int:
    begun = time.monotonic()
    roads: Counter[str] = Counter()
    wrong = 0
    with contextlib.ExitStack() as held:
        root = held.enter_context(tempfile.TemporaryDirectory(prefix="relayd-exactness-"))
        flags: dict[str, object] = {"max": 5, "warm_model": options.model}
        with_and_without = [flags | {"live": live} for live in (False, True)]
        daemons = [held.enter_context(Harness(f"{root}/{f['live']}", options.claude, f)) for f in with_and_without]
        workers = held.enter_context(ThreadPoolExecutor(2))
        for seed, found in zip(seeds, workers.map(lambda s: check(daemons[s % 2], s, options.model), seeds), strict=True):
            roads += found.roads
            wrong += len(found.wrong)
            for difference in found.wrong:
                print(f"{one} {seed}: {difference}", flush=True)
    spent = (time.monotonic() - begun) / max(1, roads.total())
    print(f"{name}: {roads.total()} calls, {wrong} differences, roads {dict(roads)}, {spent:.2f} s a call")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
