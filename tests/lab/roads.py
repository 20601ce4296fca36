"""How long each road into Claude Code takes, from the request's last byte to the upstream request. Called by `bench.py`.

Four daemons: one as it comes, whose calls begin alike (`primed`) or each in its own way (`ready`, `warm`), one that only replays
(`waiting`), one with nothing warm (`cold`). Roads take turns, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from relayd.doctor import client
from relayd.doctor.checks import TOOL
from relayd.doctor.conversations import image
from relayd.doctor.harness import Harness
from tests.lab import rivals
from tests.lab.series import Series

MODEL = "claude-sonnet-4-6"
WORDS = "a sentence of ordinary prose that a person might well ask about. "
SETTLE_S = 1.8  # until the pool has refilled and the machine is quiet
FLAGS: dict[str, dict[str, object]] = {
    "primed": {},
    "ready": {},
    "waiting": {"typing": False},
    "cold": {"idle": 0, "typing": False},
}
SERIES = (
    *("warm", "primed", "ready", "edited", "tools", "waiting", "cold", "tools cold"),
    *("claude -p", "peer", "direct", "whole", "stream"),
)


def request(text: str, *history: str, system: str = "Answer.") -> dict[str, Any]:
    """A call of about a kilobyte, with the conversation before it."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": t} for n, t in enumerate([*history, text])]
    return {"model": MODEL, "max_tokens": 1024, "system": system, "messages": messages}


def with_tools(system: str) -> dict[str, Any]:
    """A call that offers a tool and shows a picture."""
    content = [image(random.Random(1)), {"type": "text", "text": prompt()}]
    return request("", system=system) | {"tools": [TOOL], "messages": [{"role": "user", "content": content}]}


def prompt(answer: str = "[[say ok]]") -> str:
    """The same text for everybody."""
    return f"{answer} {WORDS * 15}".strip()


@contextlib.contextmanager
def daemons(root: str, claude: str) -> Iterator[dict[str, Harness]]:
    """The three."""
    with contextlib.ExitStack() as held:
        flags = {name: {"warm_model": MODEL, **more} for name, more in FLAGS.items()}
        yield {name: held.enter_context(Harness(f"{root}/{name}", claude, more)) for name, more in flags.items()}


def call(harness: Harness, body: dict[str, Any], road: str) -> tuple[float, float]:
    """Milliseconds to the upstream request, and from its end to the client's last byte. The road must be the one meant."""
    harness.api.clear()
    reply = client.post(harness.url, body).expect()
    if reply.road != road:
        print(f"a call took the road {reply.road} instead of {road}", file=sys.stderr)
    record = harness.api.messages()[0]
    return 1000 * (record.arrived - reply.sent), 1000 * (reply.ended - (record.finished or reply.ended))


def _system(road: str, number: int) -> str:
    """Calls of the road `primed` begin alike; what others begin with comes once."""
    return "Answer." if road == "primed" else f"Answer {number}."


def measure(hosts: dict[str, Harness], claude: str, rounds: int, peer: rivals.Peer | None) -> list[Series]:
    """All roads and rivals, in turns."""
    found = {name: Series(name) for name in SERIES}
    for name, harness in hosts.items():
        for number in (-2, -1):  # what has come twice is loaded ahead
            client.post(harness.url, request(f"[[say hello]] {name}", system=_system(name, number))).expect()
        client.post(harness.url, with_tools("Answer first.")).expect()
    for number in range(rounds):
        time.sleep(SETTLE_S)
        for road in ("primed", "ready", "waiting", "cold"):
            system = _system(road, number)
            way, _ = call(hosts[road], request(prompt(), system=system), road)
            found[road].samples.append(way)
            if road == "ready":
                time.sleep(0.3)
                way, _ = call(hosts[road], request(prompt("[[say so]]"), prompt(), "ok", system=system), "warm")
                found["warm"].samples.append(way)
            time.sleep(SETTLE_S / 2)
        system = f"Answer {number}, too."
        more = (
            ("edited", request(f"- \t{prompt()}", system=system), "ready"),
            ("tools", with_tools(f"{system} Or use a tool."), "ready"),
            ("tools cold", with_tools(system), "cold"),
        )
        for name, body, road in more:
            time.sleep(SETTLE_S)
            found[name].samples.append(call(hosts[road], body, road)[0])
        time.sleep(SETTLE_S / 2)
        found["claude -p"].samples.append(rivals.wrapper(hosts["cold"], claude, MODEL, prompt()))
        if peer:
            found["peer"].samples.append(peer.measure(MODEL, prompt()))
        found["direct"].samples.append(rivals.direct(hosts["cold"], request(prompt())))
        time.sleep(SETTLE_S / 2)
        streamed = number % 2 == 1
        _, lag = call(hosts["waiting"], request(f"\t{prompt('[[paragraphs 5]][[slow 0.05]]')}") | {"stream": streamed}, "waiting")
        found["stream" if streamed else "whole"].samples.append(lag)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return [s for s in found.values() if s.samples]
