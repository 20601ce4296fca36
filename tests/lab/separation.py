"""`scripts/isolation`: nothing of one conversation reaches the model in another, and no changed request is answered.

python -m tests.lab.separation --claude PATH [--count 2000] [--clients 4] [--meddle 0]

Conversations of all kinds go through processes that serve many: each has a secret in all that it says, in its tools' inputs and
results, and in its answers. No body that reaches the model may hold secrets of two, no client may see another's. With
`--meddle SHARE`, a hand in the file system changes that share of the transcripts on their way into Claude Code: no client may
get the answer to a changed question.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from relayd.doctor import client
from relayd.doctor.harness import Harness
from tests.lab.soak import MODEL, TOOL, leave

SYSTEMS = ("Be brief.", "Be long.", "")
THINK = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
SECRET = re.compile(r"secret-(\d+)-")
RIGHT, CHANGED = b"untouched", b"meddledxx"  # of one length
LOOK_S = 0.001
Body = dict[str, Any]


class Isolation:
    """Conversations on one daemon; `done` counts calls by kind, road and verdict, `wrong` says what must not be."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._kinds = (
            self.plain,
            self.plain,
            self.plain,
            self.streamed,
            self.chat,
            self.tools,
            self.thought,
            self.left,
            self.failed,
        )
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    def __repr__(self) -> str:
        return f"<Isolation {self.done.total()} wrong={len(self.wrong)}>"

    def run(self, number: int) -> None:
        """One conversation."""
        chance = random.Random(number)
        kind = chance.choice(self._kinds)
        try:
            kind(number, chance)
            self.done[kind.__name__] += 1
        except (OSError, RuntimeError, AssertionError, ValueError, KeyError) as error:
            self.wrong.append(f"{number} {kind.__name__}: {type(error).__name__} {str(error)[:200]}")

    def plain(self, number: int, chance: random.Random) -> None:
        """One text, that is typed, brought by the editor or replayed."""
        secret = f"secret-{number}-x"
        text = chance.choice(("", "", "- \t", "!")) + f"[[say {secret}]] for {secret}" + chance.choice(("", "", " "))
        self._answered(ask(text, chance), secret)

    def streamed(self, number: int, chance: random.Random) -> None:
        """A stream."""
        secret = f"secret-{number}-x"
        reply = self._post(ask(f"[[say {secret}]] {secret}", chance, stream=True))
        told = {found for found in SECRET.findall(reply.body.decode())}
        assert told == {str(number)}, f"the stream has {told}"

    def chat(self, number: int, chance: random.Random) -> None:
        """Three turns."""
        secret = f"secret-{number}-x"
        body = ask(f"[[say {secret}]] 1 {secret}", chance)
        for turn in (2, 3):
            content = self._answered(body, secret)
            body["messages"] += [
                {"role": "assistant", "content": content},
                {"role": "user", "content": f"[[say {secret}]] {turn}"},
            ]
        self._answered(body, secret)

    def tools(self, number: int, chance: random.Random) -> None:
        """A tool call; one in three is never answered, and its process waits for the result."""
        secret = f"secret-{number}-x"
        body = ask(f'[[tool get {{"k": "{secret}"}}]] [[final {secret}]]', chance, tools=[TOOL])
        content = self._content(body)
        assert content[-1]["input"] == {"k": secret}
        if chance.random() < 0.3:
            return
        result = [{"type": "tool_result", "tool_use_id": content[-1]["id"], "content": f"got {secret}"}]
        body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": result}]
        self._answered(body, secret)

    def thought(self, number: int, chance: random.Random) -> None:
        """An answer with thinking, sent back."""
        secret = f"secret-{number}-x"
        body = ask(f"[[think about {secret}]][[say {secret}]]", chance, **THINK)
        content = self._content(body)
        assert secret in content[0]["thinking"]
        body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": f"[[say {secret}]] 2"}]
        self._answered(body, secret)

    def left(self, number: int, chance: random.Random) -> None:
        """A client that does not wait for its answer."""
        leave(self._harness.url, ask(f"[[long 500]][[slow 0.02]] secret-{number}-x", chance, stream=True), chance)

    def failed(self, number: int, chance: random.Random) -> None:
        """An error of the API, which names the secret."""
        secret = f"secret-{number}-x"
        reply = self._post(ask(f"[[error 400 no {secret}]]", chance))
        assert reply.status == 400, reply.status

    def _answered(self, body: Body, secret: str) -> list[Body]:
        content = self._content(body)
        assert content[-1]["text"] == secret, content
        return content

    def _content(self, body: Body) -> list[Body]:
        reply = self._post(body).expect()
        found: list[Body] = reply.value["content"]
        return found

    def _post(self, body: Body) -> client.Reply:
        reply = client.post(self._harness.url, body)
        self.done[f"road {reply.road}"] += 1
        self.done[f"witness {reply.headers.get('x-relayd-witness')}"] += 1
        return reply

    def look(self) -> int:
        """Look through the bodies that have reached the model since; how many."""
        records = self._harness.api.messages()
        self._harness.api.clear()
        for record in records:
            met = set(SECRET.findall(json.dumps(record.body)))
            if len(met) > 1:
                self.wrong.append(f"one request has secrets of {sorted(met)}")
        return len(records)


def ask(text: str, chance: random.Random, **fields: Any) -> Body:
    """A request."""
    system = chance.choice(SYSTEMS)
    named = {"system": system} if system else {}
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **named, **fields}


class Meddler(threading.Thread):
    """Changes a share of the transcripts that relayd writes, before Claude Code reads them."""

    def __init__(self, place: str, share: float) -> None:
        super().__init__(daemon=True)
        self._place, self._share = pathlib.Path(place), share
        self._chance = random.Random(1)
        self.is_over = threading.Event()

    def run(self) -> None:
        """Until it is over."""
        seen: set[str] = set()
        while not self.is_over.wait(LOOK_S):
            for path in self._place.glob("projects/*/*.jsonl"):
                if str(path) not in seen:
                    seen |= {str(path)} if self._meddle(path) else set()

    def _meddle(self, path: pathlib.Path) -> bool:
        """True once the file has a conversation: then it is known whether it will be changed."""
        try:
            data = path.read_bytes()
            if RIGHT not in data:
                return False
            if self._chance.random() < self._share:
                with path.open("r+b") as file:
                    file.seek(data.rindex(RIGHT))
                    file.write(CHANGED)
        except OSError:
            pass
        return True


def meddled(harness: Harness, number: int) -> str:
    """One call whose transcript may be changed; the witness's word, or what is wrong."""
    text = f"[[say {RIGHT.decode()} {number}]] "  # the blank at its end cannot be typed
    body = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}]}
    reply = client.post(harness.url, body)
    if reply.status != 200:
        return f"status {reply.status}"
    said = reply.value["content"][0]["text"]
    witness = reply.headers.get("x-relayd-witness")
    return f"witness {witness}" if said == f"{RIGHT.decode()} {number}" else f"WRONG {said!r}, witness {witness}"


def meddle(harness: Harness, options: argparse.Namespace) -> int:
    """Calls with a hand in the file system; 0 if nobody got the answer to a changed question."""
    hand = Meddler(harness.isolation.config_dir, options.meddle)
    hand.start()
    with ThreadPoolExecutor(options.clients) as workers:
        found = Counter(workers.map(lambda number: meddled(harness, number), range(options.count)))
    hand.is_over.set()
    changed = sum(CHANGED.decode() in json.dumps(record.body) for record in harness.api.messages())
    print(f"{options.count} calls, {changed} changed requests reached the model; {dict(found)}")
    return 0 if changed and not [outcome for outcome in found if outcome.startswith(("WRONG", "witness unseen"))] else 1


def isolate(harness: Harness, options: argparse.Namespace) -> int:
    """Conversations of all kinds; 0 if nothing of one was found in another."""
    isolation, begun, bodies = Isolation(harness), time.monotonic(), 0
    with ThreadPoolExecutor(options.clients) as workers:
        for batch in batches(range(options.count), 100):
            list(workers.map(isolation.run, batch))
            time.sleep(1)  # for requests of clients that have left
            bodies += isolation.look()
            print(f"{batch[-1] + 1} conversations, {bodies} requests, {len(isolation.wrong)} wrong", flush=True)
    print(f"{dict(isolation.done)}\n{time.monotonic() - begun:.0f} s")
    print("\n".join(isolation.wrong))
    return 1 if isolation.wrong else 0


def batches(numbers: range, size: int) -> Iterator[list[int]]:
    """The numbers, some at a time."""
    rest = iter(numbers)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--meddle", type=float, default=0.0)
    options = parser.parse_args()
    flags: dict[str, object] = {"warm_model": MODEL}
    with tempfile.TemporaryDirectory(prefix="relayd-isolation-") as root, Harness(root, options.claude, flags) as harness:
        return meddle(harness, options) if options.meddle else isolate(harness, options)


if __name__ == "__main__":
    sys.exit(main())
