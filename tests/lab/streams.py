"""`scripts/streams`: markdown of every kind, streamed over every road, compared with what the model sent.

python -m tests.lab.streams --claude PATH [--lines 2000] [--clients 4] [--rate 60] [--hostile 0]

Each road gets so many lines, at `--rate` tokens a second, on `/v1/messages` and on the chat route. With `--hostile SHARE`,
that share of the mod's posts is lost, doubled, reordered, delayed or refused on the way (`hostile_sink.py`). A stream is
wrong if its text, its order of blocks or its end is not the model's; it is hung if nothing comes for a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import statistics
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
from tests.helpers import blocks_of_stream
from tests.lab.hostile_sink import PROGRAM, VARIABLE, Sink

MODEL = "claude-sonnet-4-6"
TOKEN_CHARS = 4
HUNG_S = 60.0
GROUP_LIMIT_S = 480.0  # of one daemon: on a busy machine some roads are rarely taken
LINES_A_CALL = 20
SYSTEM = "Answer as you are told."
TOOL: dict[str, Any] = {"name": "get", "description": "d", "input_schema": {"type": "object"}}
CHAT_TOOL = {"type": "function", "function": {"name": "get", "description": "d", "parameters": {"type": "object"}}}
THINK = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
PAUSE_S = 1.0  # until what calls begin with is loaded ahead, and no longer than a person would take
# Roads, keys of the daemon whose calls take them, and the kinds of its conversations; the later ones bring what the first has
# too little of: its processes are at work.
KINDS = ("text", "text", "thought", "tool")
DAEMONS: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "reused parked": ({}, (*KINDS, "chat", "parked")),
    "warm": ({}, ("chat",)),
    "primed": ({}, ("common",)),
    "ready": ({"reuse": 1}, ("apart",)),
    "waiting": ({"typing": False}, (*KINDS, "apart", "apart")),
    "cold": ({"idle": 0, "typing": False, "reuse": 1}, KINDS),
}
WORDS = (
    "lorem",
    "ipsum",
    "四五六",
    "見出し",
    "naïve",
    "Ünïcödé",
    "👩‍👩‍👧",
    "e\u0301",
    "`code`",
    "**bold**",
    "_it_",
    "[a](b)",
    "\\(x^2\\)",
    "&amp;",
    "<b>",
)
FIRST = ("# ", "## ", "- ", "  - ", "1. ", "> ", "    ", "\t", "* [ ] ", "", "", "", "|", "---", "```py", "```", "$$", "\\[")
LAST = ("", "", "", "  ", "\r", " \\", "|", "\u2028", "\x1b[31m", "\x07", "\ufeff", "\x7f", "\u200b")
Body = dict[str, Any]


def markdown(chance: random.Random, lines: int) -> str:
    """So many lines of it; some are empty, most are odd. It has a word, so that it is an answer at all."""
    found = [
        chance.choice(FIRST) + " ".join(chance.choices(WORDS, k=chance.randint(0, 9))) + chance.choice(LAST)
        for _ in range(lines - 1)
    ]
    return "\n".join([*found, "end"])


def escaped(text: str) -> str:
    """In letters that can be typed, without the mark that ends an argument."""
    return json.dumps(text)[1:-1].replace("]", "\\u005d")


class Streams:
    """Streams on one daemon; `done` counts roads, `wrong` says what must not be."""

    def __init__(self, harness: Harness, rate: float, kinds: tuple[str, ...]) -> None:
        self._harness = harness
        self._pace = f"[[escaped]][[pieces {TOKEN_CHARS}]][[slow {1 / rate:.4f}]]"
        known = (self.text, self.thought, self.tool, self.chat, self.parked, self.common, self.apart)
        self._kinds = [kind for name in kinds for kind in known if kind.__name__ == name]
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.events: list[int] = []
        self.wrong: list[str] = []

    def __repr__(self) -> str:
        return f"<Streams {self.lines.total()} wrong={len(self.wrong)}>"

    def run(self, number: int) -> None:
        """A conversation."""
        chance = random.Random(number)
        kind = chance.choice(self._kinds)
        try:
            kind(chance, number)
        except (OSError, RuntimeError, AssertionError, ValueError, KeyError) as error:
            with self._lock:
                self.wrong.append(f"{number} {kind.__name__}: {type(error).__name__} {str(error)[:400]}")

    def text(self, chance: random.Random, number: int) -> None:
        """Text, on one of the two routes."""
        text = markdown(chance, LINES_A_CALL)
        self._exactly(self._body(f"[[say {escaped(text)}]]", chance, number), chance.random() < 0.3, text=text)

    def common(self, chance: random.Random, number: int) -> None:
        """Text, with a system prompt that others have, too, from a program that takes a moment between two calls."""
        self._text_after_a_pause(chance, number, SYSTEM)

    def apart(self, chance: random.Random, number: int) -> None:
        """The same with a system prompt of its own."""
        self._text_after_a_pause(chance, number, f"{SYSTEM} {number}")

    def _text_after_a_pause(self, chance: random.Random, number: int, system: str) -> None:
        time.sleep(PAUSE_S)
        text = markdown(chance, LINES_A_CALL)
        self._exactly(self._body(f"[[say {escaped(text)}]]", chance, number) | {"system": system}, False, text=text)

    def thought(self, chance: random.Random, number: int) -> None:
        """Thinking, and then text."""
        thought, text = (markdown(chance, LINES_A_CALL // 2) for _ in range(2))
        body = self._body(f"[[think {escaped(thought)}]][[say {escaped(text)}]]", chance, number)
        self._exactly(body | THINK, chance.random() < 0.3, text=text, thinking=thought)

    def tool(self, chance: random.Random, number: int) -> None:
        """Two calls with long inputs, after text or without."""
        inputs = [{"k": markdown(chance, LINES_A_CALL // 2)} for _ in range(2)]
        text = chance.choice(("", "first\n\nthis"))
        said = f"[[say {escaped(text)}]]" if text else ""
        calls = "".join(f'[[tool get {{"k": "{escaped(each["k"])}"}}]]' for each in inputs)
        self._exactly(self._body(said + calls, chance, number), chance.random() < 0.3, text=text, inputs=inputs)

    def chat(self, chance: random.Random, number: int) -> None:
        """Three turns: the second finds its process where the first left it."""
        body = self._body("", chance, number) | {"messages": []}
        for _ in range(3):
            text = markdown(chance, LINES_A_CALL // 2)
            body["messages"].append({"role": "user", "content": f"[[say {escaped(text)}]]{self._pace}"})
            blocks = self._exactly(body, False, text=text)
            body["messages"].append({"role": "assistant", "content": blocks})

    def parked(self, chance: random.Random, number: int) -> None:
        """A tool's result, and the answer to it."""
        text = markdown(chance, LINES_A_CALL)
        body = self._body(f'[[tools 1 get {{"k": 1}}]][[final {escaped(text)}]]', chance, number) | {"tools": [TOOL]}
        blocks = self._exactly(body, False, inputs=[{"k": 1}])
        result = {"type": "tool_result", "tool_use_id": blocks[-1]["id"], "content": "got it"}
        body["messages"] += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        self._exactly(body, False, text=text)

    def _body(self, prompt: str, chance: random.Random, number: int) -> Body:
        system = SYSTEM if chance.random() < 0.6 else f"{SYSTEM} {number}"
        message = {"role": "user", "content": f"{prompt}{self._pace}"}
        return {"model": MODEL, "max_tokens": 4096, "system": system, "messages": [message], "stream": True}

    def _exactly(
        self, body: Body, by_chat: bool, text: str = "", thinking: str = "", inputs: list[Body] | None = None
    ) -> list[Body]:
        """Stream it; the blocks, which must be these."""
        if inputs:
            body = body | {"tools": [TOOL]}
        reply = client.post(self._harness.url, to_chat(body) if by_chat else body, path=ROUTES[by_chat], limit_s=HUNG_S).expect()
        found = (of_chat if by_chat else blocks_of_stream)(reply.body)
        want = expected(text, thinking, inputs or [])
        assert plain(found) == want, difference(plain(found), want)
        with self._lock:
            self.done[reply.road] += 1
            self.done["chat route" if by_chat else "messages"] += 1
            self.lines[reply.road] += text.count("\n") + thinking.count("\n") + sum(str(i["k"]).count("\n") for i in inputs or [])
            self.events.append(reply.body.count(b"data: "))
        return found


ROUTES = {False: "/v1/messages", True: "/v1/chat/completions"}


def to_chat(body: Body) -> Body:
    """The same request on the chat route."""
    messages = [{"role": "system", "content": body["system"]}, *body["messages"]]
    more = {"tools": [CHAT_TOOL]} if "tools" in body else {}
    kept = {key: value for key, value in body.items() if key in ("model", "max_tokens", "stream", "thinking")}
    return kept | {"messages": messages} | more


def expected(text: str, thinking: str, inputs: list[Body]) -> list[tuple[str, Any]]:
    """The blocks that must come, as pairs of a kind and what it holds."""
    thought = [("thinking", thinking)] if thinking else []
    said = [("text", text)] if text else []
    return [*thought, *said, *(("tool_use", each) for each in inputs)]


def plain(blocks: list[Body]) -> list[tuple[str, Any]]:
    """The same of blocks that came."""
    keys = {"text": "text", "thinking": "thinking", "tool_use": "input"}
    return [(block["type"], block[keys[block["type"]]]) for block in blocks]


def difference(found: list[tuple[str, Any]], want: list[tuple[str, Any]]) -> str:
    """Where they part."""
    if [kind for kind, _ in found] != [kind for kind, _ in want]:
        return f"blocks {[kind for kind, _ in found]} instead of {[kind for kind, _ in want]}"
    for (kind, one), (_, other) in zip(found, want, strict=True):
        ours, theirs = json.dumps(one, ensure_ascii=False), json.dumps(other, ensure_ascii=False)
        place = next((n for n, (a, b) in enumerate(itertools.zip_longest(ours, theirs)) if a != b), None)
        if place is not None:
            shown = slice(max(0, place - 20), place + 40)
            return f"{kind} at {place} of {len(theirs)}: {ours[shown]!r} instead of {theirs[shown]!r}"
    return "the same"


def of_chat(data: bytes) -> list[Body]:
    """The blocks of the chat route's stream."""
    lines = [line[6:].decode() for line in data.split(b"\n") if line.startswith(b"data: ")]  # U+2028 ends no line here
    assert lines[-1] == "[DONE]", lines[-1]
    thought, said, calls = "", "", list[list[str]]()
    for chunk in map(json.loads, lines[:-1]):
        for choice in chunk["choices"]:
            delta = choice["delta"]
            thought += delta.get("reasoning_content") or ""
            said += delta.get("content") or ""
            for call in delta.get("tool_calls") or []:
                if call["index"] == len(calls):
                    calls.append([])
                calls[call["index"]].append(call["function"].get("arguments") or "")
    blocks: list[Body] = [{"type": "thinking", "thinking": thought}] if thought else []
    blocks += [{"type": "text", "text": said}] if said else []
    return blocks + [{"type": "tool_use", "input": json.loads("".join(parts))} for parts in calls]


@contextlib.contextmanager
def daemon(claude: str, flags: dict[str, object], sink: Sink | None) -> Iterator[Harness]:
    """A daemon, whose mods post to the sink if there is one."""
    with tempfile.TemporaryDirectory(prefix="relayd-streams-") as root:
        harness = Harness(root, claude, {"warm_model": MODEL, "live": True, "queue_wait_s": 300, **flags})
        if sink is not None:
            harness.program, harness.environment = PROGRAM, {VARIABLE: sink.url}
        with harness:
            yield harness


def measure(options: argparse.Namespace, roads: str, sink: Sink | None) -> int:
    """All lines of one daemon's roads; how many streams were wrong, and how many roads had too few lines."""
    flags, kinds = DAEMONS[roads]
    begun = time.monotonic()
    with daemon(options.claude, flags, sink) as harness, ThreadPoolExecutor(options.clients) as workers:
        streams = Streams(harness, options.rate, kinds)
        numbers = itertools.count(options.seed * 1_000_000)
        while min(streams.lines[road] for road in roads.split()) < options.lines and len(streams.wrong) < 20:
            if time.monotonic() - begun > GROUP_LIMIT_S:
                break
            list(workers.map(streams.run, itertools.islice(numbers, 4 * options.clients)))
    events = statistics.median(streams.events or [0])
    print(f"{roads}: {dict(streams.lines)} lines, {dict(streams.done)} streams, {events:.0f} events a stream (median)")
    short = [road for road in roads.split() if streams.lines[road] < options.lines]
    print(
        f"  {len(streams.wrong)} wrong, short of lines: {', '.join(short) or 'none'}; {time.monotonic() - begun:.0f} s"
        + "".join(f"\n  {each}" for each in streams.wrong)
    )
    return len(streams.wrong) + len(short)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--lines", type=int, default=2000, help="for each road")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rate", type=float, default=60.0, help="tokens a second")
    parser.add_argument("--hostile", type=float, default=0.0, help="the share of the mod's posts that is harmed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="the daemon of this road alone")
    options = parser.parse_args()
    sink = Sink(options.hostile, options.seed) if options.hostile else None
    if sink is not None:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
    wrong = sum(measure(options, roads, sink) for roads in DAEMONS if options.only in roads)
    if sink is not None:
        print(f"the mod's posts: {dict(sink.done)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
