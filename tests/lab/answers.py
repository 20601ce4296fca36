"""Generated answers with tool calls: does the client get what the model said, and the model what the client sent back?

The stand-in is told what to say: text, thinking, several calls with any input, in pieces, slowly, with an end that comes
late. Each turn goes through two rounds of results, most of which a parked process takes, the others another one. Whole and
streamed, with the mod and without. Called by `scripts/exactness` through `volume.py`, and by the tests.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from jiter import from_json

from relayd.doctor import client
from relayd.doctor.conversations import image
from relayd.doctor.exactness import as_json, by_javascript, differences
from relayd.doctor.harness import Harness
from relayd.doctor.script import SIGNATURE
from tests import repairs
from tests.helpers import events_of

NAMED = "x-relayd-inexact"
ROUNDS_MAX = 4
PROTO = "__proto__"
THINKING = {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2000}}


@dataclass(frozen=True)
class Story:
    """A request, and the blocks of each answer, by what was said before and what is called."""

    body: dict[str, Any]
    before: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    final: str


@dataclass(frozen=True)
class Received:
    """An answer: its blocks, what it named as inexact, why it ended; and of a stream the JSON of its calls' inputs."""

    blocks: list[dict[str, Any]]
    named: str
    stop_reason: str
    inputs: tuple[str, ...] = ()


@dataclass
class Verdict:
    """What became of a story: differences, and how many calls took each road."""

    wrong: list[str] = field(default_factory=list)
    roads: Counter[str] = field(default_factory=Counter)


def story(seed: int, with_mod: bool) -> Story:
    """The same seed gives the same story. Without the mod an input has no `__proto__`: that it is lost does not show."""
    chance = random.Random(seed)
    before: list[dict[str, Any]] = []
    directives: list[str] = []
    thinks = chance.random() < 0.4
    if thinks:
        before.append({"type": "thinking", "thinking": "hm " * chance.choice((1, 30, 3000)), "signature": SIGNATURE})
        directives.append(f"[[think {before[-1]['thinking']}]]")
    if chance.random() < 0.6:
        before.append({"type": "text", "text": chance.choice(("so", "one\n\ntwo", "# a\n- b\n" * 20, "long " * 2000))})
        directives.append(f"[[say {before[-1]['text']}]]")
    calls = [{"name": "get", "input": _input(chance, with_mod)} for _ in range(chance.choice((1, 1, 2, 3)))]
    for made in calls:
        raw = json.dumps(made["input"]).replace("]]", "] ]").replace("]]", "] ]")
        directives.append(f"[[tools {len(calls) + 1} get {raw}]]")
    final = chance.choice(("done", "all\n\nis well " * 30))
    directives.append(f"[[final {final}]]")
    directives += [f"[[late {chance.choice((0.05, 0.2, 0.7))}]]"] * (chance.random() < 0.4)
    directives += ["[[slow 0.01]]"] * (chance.random() < 0.3 and not any(len(b.get("text", "")) > 900 for b in before))
    directives.append(f"[[pieces {chance.choice((7, 24, 400))}]]")
    body: dict[str, Any] = {"max_tokens": 1024, "tools": repairs.TOOLS, "system": f"[story {seed}]"}
    body |= {"messages": [{"role": "user", "content": "".join(directives)}], "stream": chance.random() < 0.5}
    return Story(body | (THINKING if thinks else {}), before, calls, final)


def _input(chance: random.Random, with_mod: bool) -> dict[str, Any]:
    found = {name: repairs.value(chance) for name in chance.sample(("a", "b", "2", "1"), chance.randint(0, 3))}
    kept: dict[str, Any] = found if with_mod else json.loads(json.dumps(found).replace(PROTO, "__other__"))
    return kept


def check(harness: Harness, seed: int, model: str) -> Verdict:
    """One story, to its end."""
    with_mod = bool(harness.flags.get("live"))
    told = story(seed, with_mod)
    chance = random.Random(f"results {seed}")
    body = {"model": model, **told.body, "messages": list(told.body["messages"])}
    found = Verdict()
    for number in range(ROUNDS_MAX):
        reply = client.post(harness.url, body).expect()
        found.roads[reply.road] += 1
        received = [r.body for r in harness.api.messages() if r.body["system"][-1]["text"] == body["system"]]
        if len(received) != number + 1:
            found.wrong.append(f"round {number}: {len(received)} upstream requests")
            break
        found.wrong += [f"round {number}: {d}" for d in differences(body, received[-1], reply.headers.get(NAMED, ""))]
        got = read(reply, body["stream"])
        content = got.blocks
        is_last = number == 2
        final = [{"type": "text", "text": told.final}] if number else []
        wanted = _joined([*told.before, *final, *([] if is_last else told.calls)])
        found.wrong += [f"round {number}, {reply.road}: {d}" for d in compared(content, wanted, got.named, with_mod)]
        if found.wrong or is_last:
            break
        body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": _results(chance, content)}]
    return found


def _joined(wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stand-in puts all it says into one text."""
    texts = [b["text"] for b in wanted if b.get("type") == "text"]
    rest = [b for b in wanted if b.get("type") != "text"]
    place = sum(b.get("type") == "thinking" for b in rest)
    return [*rest[:place], *([{"type": "text", "text": "\n".join(texts)}] if texts else []), *rest[place:]]


def read(reply: client.Reply, is_stream: bool) -> Received:
    """An answer, as a client puts it together. Raises KeyError for an event of another kind, such as an error."""
    named = reply.headers.get(NAMED, "")
    if not is_stream:
        blocks = [{k: v for k, v in b.items() if k not in ("caller", "citations")} for b in reply.value["content"]]
        return Received(blocks, named, reply.value["stop_reason"])
    blocks, reason = [], ""
    for event in events_of(reply.body):
        if event["type"] == "content_block_start":
            blocks.append({k: v for k, v in event["content_block"].items() if k not in ("caller", "citations")})
            blocks[-1] |= {"input": ""} if "input" in blocks[-1] else {}
        elif event["type"] == "content_block_delta":
            for name, piece in event["delta"].items():
                if name != "type":
                    blocks[-1]["input" if name == "partial_json" else name] += piece
        elif event["type"] == "message_delta":
            reason = event["delta"]["stop_reason"]
        elif event["type"] == "error":
            raise KeyError(event["error"]["message"])
    notes = [line for line in reply.body.decode().split("\n") if line.startswith(f": {NAMED}: ")]
    whole = [b | ({"input": from_json((b["input"] or "{}").encode(), partial_mode=True)} if "input" in b else {}) for b in blocks]
    return Received(whole, named + "".join(notes), reason, tuple(b["input"] for b in blocks if "input" in b))


def compared(content: list[dict[str, Any]], wanted: list[dict[str, Any]], named: str, with_mod: bool) -> list[str]:
    if [b["type"] for b in content] != [b.get("type", "tool_use") for b in wanted]:
        return [f"answer: {[b['type'] for b in content]} instead of {[b.get('type', 'tool_use') for b in wanted]}"]
    found = []
    for number, (got, want) in enumerate(zip(content, wanted, strict=True)):
        if got["type"] != "tool_use":
            found += [f"answer.{number}: {str(got)[:200]} instead of {str(want)[:200]}"] * (got != want)
        elif (got["name"], as_json(got["input"], True)) != (want["name"], as_json(want["input"], True)):
            is_excused = f"content.{number}.input" in named or (not with_mod and not _shows(want["input"]))
            told = by_javascript(got["input"])
            if not is_excused or told not in (by_javascript(want["input"]), by_javascript(_without_proto(want["input"]))):
                found.append(f"answer.{number}: {got['input']!r} instead of {want['input']!r}; named: {named!r}")
    return found


def _without_proto(value: Any) -> Any:
    """What is left of an input when the pieces of its call are lost."""
    return json.loads(json.dumps(value), object_hook=lambda found: {k: v for k, v in found.items() if k != PROTO})


def _shows(value: Any) -> bool:
    """True if what JavaScript changes of a value may be seen in what it has made of it."""
    if isinstance(value, dict):
        return (len(value) > 1 and any(k.isdecimal() for k in value)) or any(map(_shows, value.values()))
    if isinstance(value, list):
        return any(map(_shows, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()


def _results(chance: random.Random, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results = []
    for block in content:
        if block["type"] == "tool_use":
            given: Any = chance.choice(("it", "a\n\tb ", "long " * 5000, [{"type": "text", "text": "one"}], "it"))
            if chance.random() < 0.1:
                given = [image(chance)]
            results.append({"type": "tool_result", "tool_use_id": block["id"], "content": given})
    if chance.random() < 0.3:
        chance.shuffle(results)
    return results
