"""`scripts/back-to-back`: programs that call again at once, as most do, beside `claude -p` in the same run.

Every call holds a word of its own. What reached the stand-in is compared with what was sent, and looked through for the
words of every other call: with processes that answer one conversation after another, nothing of one may be in the next.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from relayd.doctor import client
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from tests.lab import rivals
from tests.lab.series import Series

MODEL = "claude-sonnet-4-6"
SETTLE_S = 4.0  # until the pool stands
PRINTS = 6  # of `claude -p`, of each of those that run it at once
SHOWN = 4  # of the slowest
PAUSE_S = 1.0  # between two starts of `claude -p`: they shall not slow each other down
WORD = re.compile(r"word-\d+-\d+-end")
SCHEMA = {"type": "object", "properties": {"k": {"type": "integer"}}}
TOOLS = [{"name": f"tool-{n}", "description": f"Does {n}.", "input_schema": SCHEMA} for n in range(3)]
# Name: what a call has beside its text; `{word}` makes it new each time.
CASES: dict[str, dict[str, Any]] = {
    "same": {"system": "Be brief."},
    "tools": {"system": "Be brief.", "tools": TOOLS},
    "new": {"system": "Be brief, {word}."},
    "examples": {"system": "Be brief."},
    "chat": {"system": "Be brief."},
}
EXAMPLES = [{"role": role, "content": f"{role} says {n}"} for n in range(10) for role in ("user", "assistant")]
CHAT_TURNS = 5  # then another conversation begins


@dataclass(frozen=True)
class Setting:
    """So many clients, so many calls of each, and how long the model takes to answer."""

    calls: int
    clients: int
    answer_s: float

    def __str__(self) -> str:
        who = "One client" if self.clients == 1 else f"{self.clients} clients at once"
        return f"{who}, {self.calls} calls each, answered {f'after {self.answer_s:g} s' if self.answer_s else 'at once'}"

    @classmethod
    def read(cls, text: str) -> Setting:
        """`60,1,0`. Raises ValueError."""
        calls, clients, answer_s = text.split(",")
        return cls(int(calls), int(clients), float(answer_s))


SETTINGS = (Setting(60, 1, 0), Setting(30, 1, 1), Setting(40, 4, 0), Setting(8, 20, 0))


@dataclass
class Run:
    """What the clients of one case did. `sent` holds each call by its word, with the time at which it was sent."""

    case: str
    answer_s: float
    sent: dict[str, tuple[dict[str, Any], float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    roads: dict[str, str] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)  # milliseconds from the request to upstream
    chats: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # what each client's conversation has so far
    lock: threading.Lock = field(default_factory=threading.Lock)

    def past(self, who: int, number: int) -> list[dict[str, Any]]:
        """The messages before the next one."""
        if self.case == "chat" and number % CHAT_TURNS == 0:
            self.chats[who] = []
        return self.chats[who] if self.case == "chat" else EXAMPLES if self.case == "examples" else []

    def call(self, harness: Harness, who: int, number: int) -> None:
        """One call; its answer must hold its own word and nothing else."""
        word = f"word-{who}-{number}-end"
        more = {k: v.format(word=word) if isinstance(v, str) else v for k, v in CASES[self.case].items()}
        text = f"question {word} [[wait {self.answer_s}]][[say answer {word}]]"
        messages = [*self.past(who, number), {"role": "user", "content": text}]
        body = {"model": MODEL, "max_tokens": 1024, "messages": messages, **more}
        with self.lock:
            self.sent[word] = body, time.monotonic()
        reply = client.post(harness.url, body)
        with self.lock:
            self.roads[word] = reply.road
            if reply.status != 200 or [b.get("text") for b in reply.value["content"]] != [f"answer {word}"]:
                self.wrong.append(f"{word}: {reply.status} {reply.body[:200]!r}")
        if self.case == "chat" and reply.status == 200:
            self.chats[who] = [*messages, {"role": "assistant", "content": reply.value["content"]}]

    def judge(self, harness: Harness) -> Series:
        """Milliseconds from each request to upstream; what is wrong is noted."""
        found = Series(self.case)
        for record in harness.api.messages():
            asked = WORD.findall(json.dumps(record.body["messages"][-1]))
            body, at = self.sent.get(asked[0] if asked else "", ({}, 0.0))
            words = set(WORD.findall(json.dumps(record.body)))
            if not words or words != set(WORD.findall(json.dumps(body))):
                self.wrong.append(f"one request holds {sorted(words)}")
                continue
            self.took[asked[0]] = 1000 * (record.arrived - at)
            found.samples.append(self.took[asked[0]])
            self.wrong += differences(body, record.body)
        if len(found.samples) != len(self.sent):
            self.wrong.append(f"{len(found.samples)} requests for {len(self.sent)} calls")
        return found

    @property
    def slowest(self) -> str:
        """The slowest calls, with their roads and numbers: where the last percent comes from."""
        words = sorted(self.took, key=lambda word: self.took[word])[-SHOWN:]
        return ", ".join(f"{self.took[word]:.0f} ms ({self.roads.get(word)}, {word})" for word in reversed(words))


def at_once(clients: int, calls: int, work: Callable[[int, int], None]) -> float:
    """So many clients make so many calls each, one after another: calls a second, all together."""

    def client_of(who: int) -> None:
        for number in range(calls):
            work(who, number)

    threads = [threading.Thread(target=client_of, args=(who,)) for who in range(clients)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients * calls / (time.monotonic() - begun)


def child_seconds(pid: int) -> float:
    """Processor time of a daemon's children: of those that have ended, and of those that run."""
    daemon = psutil.Process(pid)
    used: float = daemon.cpu_times().children_user + daemon.cpu_times().children_system
    for child in daemon.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += child.cpu_times().user + child.cpu_times().system
    return used


def run(claude: str, case: str, clients: int, calls: int, answer_s: float) -> tuple[Run, Series, float, float]:
    """One case in a daemon of its own: what became of it, the times, calls a second, the children's CPU seconds a call."""
    done = Run(case, answer_s)
    with (
        tempfile.TemporaryDirectory(prefix="relayd-back-to-back-") as root,
        Harness(root, claude, {"warm_model": MODEL}) as harness,
    ):
        time.sleep(SETTLE_S)
        before = child_seconds(harness.pid)
        rate = at_once(clients, calls, lambda who, number: done.call(harness, who, number))
        return done, done.judge(harness), rate, (child_seconds(harness.pid) - before) / (clients * calls)


def wrapped(claude: str, calls: int, clients: int, answer_s: float) -> tuple[Series, float]:
    """`claude -p`, one call after another: milliseconds to upstream; then by so many at once: calls a second."""
    found = Series("claude -p")
    prompt = f"question [[wait {answer_s}]][[say answer]]"
    with (
        tempfile.TemporaryDirectory(prefix="relayd-back-to-back-") as root,
        Harness(root, claude, {"idle": 0, "warm_model": MODEL}) as harness,
    ):
        for _ in range(calls):
            found.samples.append(rivals.wrapper(harness, claude, MODEL, "question [[say answer]]"))
            time.sleep(PAUSE_S)
        rate = at_once(clients, PRINTS, lambda who, number: rivals.print_once(harness, claude, MODEL, prompt))
    return found, rate


HEAD = "| case | median ms | of `claude -p` | p95 of its | p99 / median | calls / s | of its | CPU s a call | roads | wrong |"


def _row(done: Run, times: Series, rate: float, cpu_s: float, peer: Series, print_rate: float) -> str:
    middle, late = times.median, times.part(0.95)
    roads = ", ".join(f"{count} {road}" for road, count in Counter(done.roads.values()).most_common())
    in_time = f"{middle:.0f} | {middle / peer.median:.2f} | {late / peer.part(0.95):.2f} | {times.part(0.99) / middle:.1f}"
    return f"| {times.name} | {in_time} | {rate:.2f} | {rate / print_rate:.1f} | {cpu_s:.2f} | {roads} | {len(done.wrong)} |"


def table(claude: str, setting: Setting) -> int:
    """Print a table with a row for each case, and where the slowest calls were; how much was wrong."""
    peer, print_rate = wrapped(claude, min(setting.calls, 12), setting.clients, setting.answer_s)
    by_many = f"by as many at once {print_rate:.2f} calls a second"
    print(f"### {setting}\n\n`claude -p`: median {peer.median:.0f} ms, p95 {peer.part(0.95):.0f}; {by_many}.\n\n{HEAD}")
    print("|---" * HEAD.count(" | ") + "|---|", flush=True)
    wrong: list[str] = []
    slowest: list[str] = []
    for case in CASES:
        done, times, rate, cpu_s = run(claude, case, setting.clients, setting.calls, setting.answer_s)
        print(_row(done, times, rate, cpu_s, peer, print_rate), flush=True)
        wrong += done.wrong
        slowest.append(f"- slowest, {case}: {done.slowest}")
    print("\n" + "\n".join(slowest + [f"- wrong: {text[:400]}" for text in wrong[:20]]) + "\n", flush=True)
    return len(wrong)


def main() -> int:
    """Print the tables; 0 if nothing was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("settings", nargs="*", type=Setting.read, help="CALLS,CLIENTS,SECONDS; default: all of the report")
    options = parser.parse_args()
    return 1 if sum([table(options.claude, setting) for setting in options.settings or SETTINGS]) else 0


if __name__ == "__main__":
    sys.exit(main())
