"""`scripts/soak`: a mixed load on the real Claude Code for a long time; memory and fds must stay flat.

Whole answers, streams, conversations that go on, tools, sticky sessions, clients that leave, errors. Prints a line a
minute and a verdict at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import Any

from relayd.doctor import client
from relayd.doctor.conversations import image
from relayd.doctor.harness import Harness
from tests.helpers import connect, request_bytes
from tests.lab.fault_world import verdict
from tests.lab.load import fds, resident_mb

MODEL = "claude-sonnet-4-6"
TOOL = {"name": "get", "description": "Gets", "input_schema": {"type": "object"}}
PAUSE_S = 0.8
GROWTH_MAX_MB = 4.0
FDS_SLACK = 12


def ask(text: str, **fields: Any) -> dict[str, Any]:
    """A request."""
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}


def leave(url: str, body: dict[str, Any], chance: random.Random) -> None:
    """Ask, and go away within a second."""
    with connect(url) as sock:
        sock.sendall(request_bytes(url, body))
        time.sleep(chance.random())


class Soak:
    """Clients on one daemon until `stop` is set; `done` counts what they did."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.stop = threading.Event()
        self.done: Counter[str] = Counter()
        self._kinds = (self.whole, self.stream, self.goes_on, self.tools, self.sticky, self.leaves, self.fails)

    def __repr__(self) -> str:
        return f"<Soak {dict(self.done)}>"

    def client(self, seed: int) -> None:
        """One client's life."""
        chance = random.Random(seed)
        while not self.stop.is_set():
            kind = chance.choice(self._kinds)
            try:
                kind(chance)
                self.done[kind.__name__] += 1
            except (OSError, RuntimeError, AssertionError, ValueError, KeyError) as error:
                self.done[f"FAILED {kind.__name__}: {type(error).__name__} {str(error)[:80]}"] += 1
            self.stop.wait(PAUSE_S * 2 * chance.random())
            self.harness.api.clear()

    def whole(self, chance: random.Random) -> None:
        """One whole answer, to a text that is typed, brought by the editor or replayed, with or without a picture."""
        said = f"number {chance.randrange(1000)}"
        body = ask(chance.choice(("", "- \t", "!")) + f"[[say {said}]]")
        if chance.random() < 0.3:
            body["messages"][0]["content"] = [image(chance), {"type": "text", "text": body["messages"][0]["content"]}]
        assert self._content(body)[0]["text"] == said

    def stream(self, chance: random.Random) -> None:
        """One stream."""
        body = ask("[[paragraphs 5]][[slow 0.02]]", stream=True)
        found = verdict(client.post(self.harness.url, body), json.dumps(body).encode())
        assert found == "ok", found

    def goes_on(self, chance: random.Random) -> None:
        """Three turns of a conversation."""
        body = ask("[[say one]] of three", system=f"Case {chance.randrange(10**6)}.")
        for text in ("[[say two]] of three", "[[say three]] of three"):
            body["messages"] += [{"role": "assistant", "content": self._content(body)}, {"role": "user", "content": text}]
        assert self._content(body)[0]["text"] == "three"

    def tools(self, chance: random.Random) -> None:
        """Two rounds of a tool."""
        body = ask('[[tools 2 get {"k": 1}]] [[final done]]', tools=[TOOL])
        for _ in range(2):
            content = self._content(body)
            result = [{"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "it"}]
            body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": result}]
        assert self._content(body)[0]["text"] == "done"

    def sticky(self, chance: random.Random) -> None:
        """Two calls of a named session."""
        name = {"x-relayd-session": f"s{chance.randrange(10**9)}"}
        for text in ("[[say a]] b", "[[say c]] d"):
            client.post(self.harness.url, ask(text), name).expect()

    def leaves(self, chance: random.Random) -> None:
        """A client that does not wait for its answer."""
        leave(self.harness.url, ask("[[long 2000]][[slow 0.05]]", stream=True), chance)

    def fails(self, chance: random.Random) -> None:
        """An error of the API."""
        assert client.post(self.harness.url, ask("[[error 529 busy]]")).status == 529

    def _content(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.post(self.harness.url, body).expect().value["content"]
        return found


def main() -> int:
    """Run it; 0 if nothing failed and nothing grew."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=2)
    options = parser.parse_args()
    rows = []
    print("| minute | calls | daemon's memory MB | fds |\n|---|---|---|---|", flush=True)
    flags: dict[str, object] = {"warm_model": MODEL}
    with tempfile.TemporaryDirectory(prefix="relayd-soak-") as root, Harness(root, options.claude, flags) as harness:
        soak = Soak(harness)
        threads = [threading.Thread(target=soak.client, args=(n,)) for n in range(options.clients)]
        for thread in threads:
            thread.start()
        for minute in range(int(options.minutes)):
            time.sleep(60)
            rows.append((resident_mb(harness.pid), fds(harness.pid)))
            print(f"| {minute + 1} | {sum(soak.done.values())} | {rows[-1][0]:.1f} | {rows[-1][1]} |", flush=True)
        soak.stop.set()
        for thread in threads:
            thread.join()
        ended = harness.stop()
    failed = {k: n for k, n in soak.done.items() if k.startswith("FAILED")}
    half = len(rows) // 2
    grown = max(r[0] for r in rows[half:]) - max(r[0] for r in rows[: half or 1])
    opened = max(r[1] for r in rows[half:]) - max(r[1] for r in rows[: half or 1])
    print(f"\n{dict(soak.done)}\nsecond half against first: {grown:+.1f} MB, {opened:+d} fds; exit code {ended}")
    return 0 if not failed and ended == 0 and grown <= GROWTH_MAX_MB and opened <= FDS_SLACK else 1


if __name__ == "__main__":
    sys.exit(main())
