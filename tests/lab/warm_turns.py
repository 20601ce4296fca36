"""Conversations that go on: each next message is typed into the process that has answered. Exact to the letter?

Texts are generated from what keys may carry, and from whatever a client may send, which the editor brings or which
is replayed. Called by `scripts/exactness` through `volume.py`, and by the tests.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from relayd.doctor import client, conversations
from relayd.doctor.checks import health
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz     ",
    "ABC xyz 0123456789 .,;:!?()[]{}<>\"'`~#$%^&*-_=+|\\/",
    "äöüßéèñçøåŁžшщюяλπΩאבגدش中文日本語한국어 ",
    "\U0001f600✨\U0001d54f\U00010348 e\u0301\u0300 ",
)
ODD = (
    "!ls",
    "/help",
    "a\ttab",
    "ends with a space ",
    "e\u0301 in two",
    "@README.md look",
    "@/etc/passwd look",
    "\x1b[31mred",
    "# remember",
    "a :smile:",
    "- a@b.c\r\n",
)
SIZES = (1, 5, 40, 200, 590, 601, 799, 1500, 3900)


@dataclass
class Chain:
    """What became of a conversation: differences, and how many calls took each road."""

    wrong: list[str] = field(default_factory=list)
    roads: Counter[str] = field(default_factory=Counter)


def text(chance: random.Random) -> str:
    """A message; most may be typed, many need the editor, some must be replayed."""
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(ODD)
    if kind < 0.2:
        return conversations.text(chance)
    if kind < 0.5:
        return "".join(c for c in conversations.text(chance) if c.isprintable() or c in "\n\t").strip() or "x"
    letters = [chance.choice(chance.choice(ALPHABETS)) for _ in range(chance.choice(SIZES))]
    for _ in range(chance.choice((0, 0, 1, 2, 3, 7, 20))):
        letters.insert(chance.randrange(len(letters) + 1), "\n")
    typed = chance.choice("aZ9ß中\"'([") + "".join(letters).strip() + chance.choice(".?!x")
    return unicodedata.normalize("NFC", typed)


def chain(harness: Harness, seed: int, model: str, turns: int) -> Chain:
    """One conversation of so many turns, the whole history sent each time. Nobody else may use the harness's stand-in mark."""
    chance = random.Random(seed)
    mark = f"[chain {seed}]"
    body: dict[str, Any] = {"model": model, "max_tokens": 1024, "system": mark, "messages": []}
    found = Chain()
    for turn in range(turns):
        body["messages"].append({"role": "user", "content": text(chance)})
        reply = client.post(harness.url, body).expect()
        found.roads[reply.road] += 1
        received = [r.body for r in harness.api.messages() if r.body["system"][-1]["text"] == mark]
        if len(received) != turn + 1:
            found.wrong.append(f"turn {turn}: {len(received)} upstream requests; {harness.log[-3:]}")
            break
        found.wrong += [
            f"turn {turn} ({reply.road}): {d}" for d in differences(body, received[-1], reply.headers.get("x-relayd-inexact", ""))
        ]
        body["messages"].append({"role": "assistant", "content": reply.value["content"] or "nothing"})
    return found


def at_prompt(harness: Harness) -> int:
    """How many processes stand at their prompt for a call."""
    found = health(harness)["pool"]["processes"]
    return int(found.get("ready", 0) + found.get("primed", 0))


def typed(seed: int, last: str) -> dict[str, Any]:
    """A generated conversation, ended by this text; what else is in its last message comes before that."""
    body = conversations.conversation(seed)
    message = body["messages"][-1]
    rest = [] if isinstance(message["content"], str) else message["content"]
    if rest and random.Random(seed).random() < 0.3:
        rest = [b for b in rest if b["type"] != "text"]
    body["messages"][-1] = message | {"content": [*rest, {"type": "text", "text": last}]}
    return body
