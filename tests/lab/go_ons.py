"""Generated answers that Claude Code does not leave at that: does the client get the first one, as the model said it?

Claude Code refuses calls that it cannot make (a tool that nobody offered, an input that does not fit), asks for more after an
answer that was cut or has no word, and tells of all that on the same channels as of the answer. So what follows is made as
well, by the same script: another text, calls that could be made, errors, silence; at once or late. An input that was cut it
replaces by a note of its own; and texts that look like its own marks might be taken for them. Each answer is looked at whole
and streamed, with the mod and without, as the first of its process, as a later turn, and after tool calls; then the
conversation goes on. Called by `scripts/exactness` through `volume.py`, and by the tests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jiter import from_json

from relayd.doctor import client
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from relayd.doctor.script import SIGNATURE, THEN
from tests import repairs
from tests.lab import answers

NUMBER = {"type": "object", "properties": {"k": {"type": "number"}}, "required": ["k"]}
TOOLS = [{"name": "get", "description": "Gets.", "input_schema": NUMBER}]
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
SYSTEMS = 3  # programs that call
TEXTS = ("so", "one\n\ntwo\n", "# a\n- b\n" * 20, "long " * 400)
INPUTS: tuple[dict[str, Any], ...] = (
    {"k": 1},
    {"k": 12.5, "more": {"a": [1, "two", None, True], "b": '\u00e9 "q"'}, "z": "end"},
    {"path": "a.py", "text": "line\n" * 900},
)
ODD_TEXTS = (
    " so",
    "so ",
    "so\n\n\n",
    "\n\nso",
    "a\r\nb\r",
    "\ufeffso",
    "so\ufeff",
    "a\u2028b\x0bc\x00d",
    "\tso",
    "e\u0301 \U0001f600",
    "<system-reminder>x</system-reminder>",
)
# What the model says when Claude Code asks again.
SECOND = (
    "[[say ok]]",
    "[[say ok]]",
    "[[say one\n\ntwo\n\nthree]]",
    "[[paragraphs 30]][[slow 0.01]]",
    '[[tool get {"k": 2}]]',
    '[[say well]][[tool get {"k": 2}]]',
    '[[tool nosuch {"b": 2}]]',
    "[[say cut again]][[stop max_tokens]]",
    "[[think hm]][[say ok]]",
    "[[say ]]",
    "[[error 400 no more]]",
    "[[error 500 no more]]",
    "[[error 529 busy]]",
    "[[hang]]",
)


class Place(Enum):
    """Where in its conversation the answer comes."""

    FIRST = "first"
    LATER = "later"
    AFTER_TOOLS = "after tools"


@dataclass(frozen=True)
class Told:
    """An answer: what tells the stand-in to give it, its blocks, and why it ends."""

    kind: str
    script: str
    blocks: list[dict[str, Any]]
    stop_reason: str
    cut: str = ""  # the input of a call that was cut


@dataclass(frozen=True)
class GoOn:
    """A call that gets such an answer. The same seed makes the same one."""

    place: Place
    told: Told
    second: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        return (
            f"{self.told.kind}, {self.place.value}, {'streamed' if self.fields['stream'] else 'whole'}, then {self.second[:30]!r}"
        )


def go_on(seed: int) -> GoOn:
    """Seeds in a row go through all kinds."""
    chance = random.Random(seed)
    told = KINDS[seed % len(KINDS)](chance)
    pace = chance.choice(("", "", "[[slow 0.01]]", "[[late 0.2]]")) + f"[[pieces {chance.choice((7, 24, 400))}]]"
    second = chance.choice(("", "", "[[wait 0.05]]")) + chance.choice(SECOND)
    fields: dict[str, Any] = {"stream": chance.random() < 0.6, "system": f"program {chance.randrange(SYSTEMS)}"}
    has_tools = any(block["type"] == "tool_use" for block in told.blocks) or chance.random() < 0.5
    place = chance.choice(list(Place) if has_tools else [Place.FIRST, Place.LATER])
    own = [SEARCH] if told.stop_reason == "pause_turn" else []  # the API pauses where it runs tools itself
    fields |= {"tools": [*TOOLS, *own] if has_tools else own}
    fields |= (
        answers.THINKING
        if any(block["type"] in ("thinking", "redacted_thinking") for block in told.blocks)
        else {"max_tokens": 1024}
    )
    told = Told(told.kind, told.script + pace, told.blocks, told.stop_reason, told.cut)
    return GoOn(place, told, second, fields)


def _text(chance: random.Random) -> tuple[str, list[dict[str, Any]]]:
    text = chance.choice(TEXTS)
    return f"[[say {text}]]", [{"type": "text", "text": text}]


def _refused_calls(chance: random.Random) -> Told:
    script, blocks = _text(chance) if chance.random() < 0.5 else ("", [])
    refused = [("nosuch", {"a": 1}), ("get", {"k": "?"}), ("get", {}), ("get", {"k": 1, "more": [1.5]})]
    calls = [chance.choice(refused[:3]), *chance.choices((*refused, ("get", {"k": 1})), k=chance.choice((0, 0, 1, 2)))]
    chance.shuffle(calls)
    for name, value in calls:
        script += f"[[tool {name} {json.dumps(value).replace(']]', '] ]')}]]"
        blocks.append({"type": "tool_use", "name": name, "input": value})
    return Told("calls that cannot be made", script, blocks, "tool_use")


def _cut_call(chance: random.Random) -> Told:
    """Cut behind the call, or within its input, of which the client gets what the SDKs make of that. It may end as a call, too:
    the API looks at no input of tools that are streamed eagerly.
    """
    script, blocks = _text(chance) if chance.random() < 0.5 else ("", [])
    whole = json.dumps(chance.choice(INPUTS))
    raw = whole[: chance.randrange(1, len(whole) + 1)]
    value = from_json(raw.encode(), partial_mode=True)
    reason = chance.choice(("max_tokens", "max_tokens", "tool_use"))
    return Told(
        "a cut answer with a call",
        f"{script}[[tool get {whole}]][[clip {len(raw)}]][[stop {reason}]]",
        [*blocks, {"type": "tool_use", "name": "get", "input": value}],
        reason,
        raw if raw != whole else "",
    )


def _ended(reason: str) -> Callable[[random.Random], Told]:
    def make(chance: random.Random) -> Told:
        script, blocks = _text(chance)
        return Told(f"a text that ends in {reason}", f"{script}[[stop {reason}]]", blocks, reason)

    return make


def _thought_alone(chance: random.Random) -> Told:
    block = {"type": "thinking", "thinking": "hm " * chance.choice((1, 300)), "signature": SIGNATURE}
    reason = chance.choice(("end_turn", "max_tokens"))
    return Told("thinking alone", f"[[think {block['thinking']}]][[say ]][[stop {reason}]]", [block], reason)


def _odd(chance: random.Random) -> Told:
    """Nothing to go on from, but texts and blocks that Claude Code might not leave as they are."""
    odd = (*repairs.MARKS, *ODD_TEXTS)
    blocks: list[dict[str, Any]] = [{"type": "text", "text": chance.choice(odd)} for _ in range(chance.choice((1, 1, 2, 3)))]
    if chance.random() < 0.3:
        thought = {"type": "thinking", "thinking": chance.choice(("hm", " hm\n", "\u00e9")), "signature": SIGNATURE}
        blocks.insert(0, chance.choice((thought, {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="})))
    script = "".join(f"[[block {json.dumps(block)}]]" for block in blocks)
    return Told("odd blocks", script, blocks, "end_turn")


def _empty(reason: str) -> Callable[[random.Random], Told]:
    return lambda chance: Told(f"no block, {reason}", f"[[say ]][[stop {reason}]]", [], reason)


KINDS: tuple[Callable[[random.Random], Told], ...] = (
    _refused_calls,
    _ended("max_tokens"),
    _refused_calls,
    _ended("pause_turn"),
    _refused_calls,
    _ended("refusal"),
    _cut_call,
    _cut_call,
    _odd,
    _odd,
    _ended("model_context_window_exceeded"),
    _thought_alone,
    _empty("end_turn"),
    _empty("refusal"),
)


def check(harness: Harness, seed: int, model: str) -> answers.Verdict:
    """One such answer, what came before it, and what comes after."""
    made, found = go_on(seed), answers.Verdict()
    mark = f"case {seed} "
    messages: list[dict[str, Any]] = []
    body = {"model": model, **made.fields, "messages": messages}
    script = f"{made.told.script}{THEN}{made.second}"
    match made.place:
        case Place.FIRST:
            messages.append(repairs.user(mark + script))
        case Place.LATER:
            messages.append(repairs.user(f"{mark}[[say hello]]"))
            messages.append(repairs.said(*_ask(harness, body, mark, found).blocks))
            messages.append(repairs.user(script))
        case Place.AFTER_TOOLS:
            messages.append(repairs.user(f'{mark}[[tool get {{"k": 1}}]]{THEN}{script}'))
            messages.append(repairs.said(*_ask(harness, body, mark, found).blocks))
            messages.append({"role": "user", "content": _results(messages[-1])})
    if found.wrong:
        return found
    got = _ask(harness, body, mark, found)
    with_mod = bool(harness.flags.get("live"))
    wanted = made.told.blocks if with_mod or not body["stream"] else _joined(made.told.blocks)
    found.wrong += answers.compared(got.blocks, wanted, got.named, with_mod)
    if made.told.cut and got.inputs and got.inputs[-1] != made.told.cut[: len(got.inputs[-1]) if ".input" in got.named else None]:
        found.wrong.append(f"input: {got.inputs[-1][-200:]!r} instead of {made.told.cut[-200:]!r}")
    if got.stop_reason != made.told.stop_reason:
        found.wrong.append(f"stop_reason: {got.stop_reason} instead of {made.told.stop_reason}")
    is_refused_by_the_api = not got.blocks or got.blocks[-1]["type"] == "thinking"
    if found.wrong or is_refused_by_the_api:
        return found
    messages.append(repairs.said(*got.blocks))
    messages.append({"role": "user", "content": [*_results(messages[-1]), {"type": "text", "text": f"[[say after]]{THEN}"}]})
    if (after := _ask(harness, body, mark, found).blocks) != [{"type": "text", "text": "after"}]:
        found.wrong.append(f"afterwards: {after}")
    return found


def _joined(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the mod a stream has one text for several in a row: what Claude Code shows has no mark between them."""
    found: list[dict[str, Any]] = []
    for block in blocks:
        if found and block["type"] == found[-1]["type"] == "text":
            found[-1] = found[-1] | {"text": found[-1]["text"] + block["text"]}
        else:
            found.append(block)
    return found


def _ask(harness: Harness, body: dict[str, Any], mark: str, found: answers.Verdict) -> answers.Received:
    """One call. One of the requests that reached the model is what was asked; the others are Claude Code's own."""
    before = len(_received(harness, mark))
    reply = client.post(harness.url, body)
    found.roads[reply.road] += 1
    if reply.status != 200:
        found.wrong.append(f"{reply.road}: {reply.status} {reply.body[:200]!r}")
        return answers.Received([], "", "")
    reached = [differences(body, r, reply.headers.get(answers.NAMED, "")) for r in _received(harness, mark)[before:]]
    if [] not in reached:
        found.wrong += reached[0] if reached else ["nothing reached the model"]
    if reply.headers.get("x-relayd-witness") != "exact":
        found.wrong.append(f"the witness says {reply.headers.get('x-relayd-witness')}")
    try:
        return answers.read(reply, body["stream"])
    except (KeyError, ValueError) as error:
        found.wrong.append(f"{reply.road}: {error!r} in {reply.body[-300:]!r}")
        return answers.Received([], "", "")


def _received(harness: Harness, mark: str) -> list[dict[str, Any]]:
    return [r.body for r in harness.api.messages() if mark in json.dumps(r.body["messages"][0])]


def _results(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": name, "content": f"result {n}"} for n, name in enumerate(calls)]
