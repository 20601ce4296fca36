"""What the installed `claude` can do: each capability by a real call through a real daemon against the stand-in.

No account is used and nothing leaves the machine. A check returns what it has seen or raises `Missing`.
Called by `commands/doctor.py`; the daemon reads the kept report at its start (`verdict.py`).
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from relayd.doctor import client
from relayd.doctor.client import Reply
from relayd.doctor.conversations import conversation, image
from relayd.doctor.exactness import differences, without_reminders
from relayd.doctor.harness import Harness

MODEL = "claude-sonnet-4-6"
CALL_LIMIT_S = 45.0
TYPING_LIMIT_S = 12.0
LIVE_LIMIT_S = 20.0
SEEDS = range(1, 6)
ROUNDS = 5
AT_ONCE = 3  # calls, of those that do not depend on each other
TELL_TRIES = 3  # on a busy machine a request may be told too late to be compared
REFILL_LIMIT_S = 5.0
TOOL = {"name": "get", "description": "Gets ✓", "input_schema": {"type": "object", "properties": {"k": {"type": "integer"}}}}
SYSTEM = "Answer\tbriefly.\r\n  ✓ exactly "


class Missing(Exception):
    """The capability is not there; the message says what was seen instead."""


class NoAnswer(Missing):
    """The call itself failed. That may be this machine's fault, or the terminal's, and says nothing of the capability."""


@dataclass(frozen=True)
class Result:
    """One capability: is it there, what was seen, how long it took. `is_sure`: a call was answered that shows it."""

    name: str
    works: bool
    seen: str
    took_s: float
    is_sure: bool = True


def examine(
    harness: Harness, told: Callable[[Result], None] = lambda result: None, without: tuple[str, ...] = ()
) -> list[Result]:
    """Every check in order, but for those named. `told` hears of each as it ends."""
    results = []
    for name, check in CHECKS.items():
        if name in without:
            continue
        harness.api.clear()
        begun = time.monotonic()
        works, is_sure = False, True
        try:
            seen, works = check(harness), True
        except Missing as error:
            seen, is_sure = str(error), not isinstance(error, NoAnswer)
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
            seen, is_sure = f"{type(error).__name__}: {error}", False
        results.append(Result(name, works, seen, time.monotonic() - begun, is_sure))
        told(results[-1])
        if name == "replay" and not works:  # nothing else can work
            break
    return results


def post(harness: Harness, value: dict[str, Any]) -> Reply:
    """One call of the daemon."""
    return client.post(harness.url, value, limit_s=CALL_LIMIT_S)


def health(harness: Harness) -> dict[str, Any]:
    """What the daemon says of itself."""
    return client.get(harness.url, "/v1/health", CALL_LIMIT_S).value


def ask(text: str, **fields: Any) -> dict[str, Any]:
    """A small request."""
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}


def answered(harness: Harness, value: dict[str, Any]) -> dict[str, Any]:
    """The message that answers the call."""
    reply = post(harness, value)
    if reply.status != 200:
        raise NoAnswer(f"{reply.status}: {reply.value['error']['message'][:300]}")
    return reply.value


def exactly(harness: Harness, value: dict[str, Any], strictly: bool = False) -> None:
    """The call must reach the model as it was sent; reminders before it count only `strictly`."""
    answered(harness, value)
    received = harness.api.messages()[-1].body
    found = differences(value, received if strictly else without_reminders(value, received))
    if found:
        raise Missing(found[0])


def replay(harness: Harness) -> str:
    """A conversation of several turns."""
    turns = [("user", "one"), ("assistant", "two\t\r\n"), ("user", " three\n")]
    exactly(harness, ask("", system=SYSTEM, messages=[{"role": role, "content": text} for role, text in turns]))
    return "history and last message arrive byte for byte"


def gate(harness: Harness) -> str:
    """A process waits with its conversation still open."""
    deadline = time.monotonic() + CALL_LIMIT_S
    while time.monotonic() < deadline:
        if health(harness)["pool"]["processes"].get("waiting"):
            if post(harness, ask("\t[[say ok]]")).road != "waiting":
                raise Missing("a waiting process was not used")
            return "processes wait at their gate"
        time.sleep(0.1)
    raise Missing("no process reached its gate")


TYPED_ROADS = ("ready", "primed", "reused")  # by which a new conversation reaches a process at its prompt


def typing(harness: Harness) -> str:
    """Messages are typed: into a process at its prompt, and by keys and by the editor into one that has answered."""
    deadline = time.monotonic() + TYPING_LIMIT_S
    while post(harness, ask("[[say ok]] please", system=SYSTEM)).road not in TYPED_ROADS:
        if time.monotonic() > deadline:
            raise Missing(
                "no process takes messages at its prompt: all calls are replayed" + _told(harness, "all calls are replayed")
            )
        time.sleep(1)
    value = ask("", system=SYSTEM, messages=[{"role": "user", "content": "[[say ok]] please"}])
    for text in ("[[say ok]] and so on", "# by the\teditor @once\r\nmore"):
        value["messages"] += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": text}]
        road = post(harness, value).road
        found = differences(value, harness.api.messages()[-1].body)
        if road != "warm" or found:
            raise Missing(found[0] if found else f"the next message was not typed but went the road {road}")
    return "messages are typed, byte for byte"


def _told(harness: Harness, words: str) -> str:
    """What the daemon's log says of it."""
    found = next((line for line in reversed(harness.log) if words in line), "")
    return f"; {found.partition(': ')[2]}" if found else ""


def system_prompt(harness: Harness) -> str:
    """The system prompt, several of them, and none."""
    exactly(harness, ask("x", system=[{"type": "text", "text": SYSTEM}, {"type": "text", "text": "two"}]))
    try:
        exactly(harness, ask("x"))
    except Missing as error:
        raise Missing(f"arrives; but where there is none: {error}") from error
    return "arrives byte for byte, and none where there is none"


def nothing_added(harness: Harness) -> str:
    """No reminder of Claude Code's own in the conversation."""
    exactly(harness, ask("x", system=SYSTEM), strictly=True)
    return "no reminder is put into the conversation"


def tools(harness: Harness) -> str:
    """The client's tools are in the first request."""
    exactly(harness, ask("[[say no]]", system=SYSTEM, tools=[TOOL]))
    return "definitions are in the first request"


def parking(harness: Harness) -> str:
    """Two rounds of a tool in one process."""
    value = ask('[[tools 2 get {"k": 1}]] [[final done]]', tools=[TOOL])
    for _ in range(2):
        content = answered(harness, value)["content"]
        results = [{"type": "tool_result", "tool_use_id": b["id"], "content": "it"} for b in content if b["type"] == "tool_use"]
        value["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    answered(harness, value)
    used = {r.headers["x-claude-code-session-id"] for r in harness.api.messages()}
    if len(used) != 1:
        raise Missing(f"{len(used)} processes for one conversation: results are replayed, which is slower")
    return "a process waits for the results of its tools"


def parallel(harness: Harness) -> str:
    """Two calls in one answer."""
    content = answered(harness, ask('[[tool get {"k": 1}]] [[tool get {"k": 2}]]', tools=[TOOL]))["content"]
    if [b["type"] for b in content] != ["tool_use", "tool_use"]:
        raise Missing(f"{len(content)} blocks")
    return "come in one answer"


def deltas(harness: Harness) -> str:
    """Text while it is being written."""
    count = post(harness, ask("[[paragraphs 5]][[slow 0.02]]", stream=True)).body.count(b'"text_delta"')
    if count < 2:
        raise Missing(f"{count} pieces of text in a stream of five paragraphs")
    return f"{count} pieces for five paragraphs"


def live(harness: Harness) -> str:
    """Text before its line ends: the model's answer is held back until its beginning is here. A daemon of its own, since
    `claude` may refuse the mod.
    """
    with Harness(f"{harness.root}/live", harness.claude, harness.flags | {"live": True, "idle": 0}) as own:
        return _streams(own)


def _streams(harness: Harness) -> str:
    connection = http.client.HTTPConnection(urlsplit(harness.url).netloc, timeout=LIVE_LIMIT_S)
    try:
        body = json.dumps(ask(f"[[say {'word ' * 20}]][[hold]]", stream=True))
        connection.request("POST", "/v1/messages", body, {"content-type": "application/json"})
        answer, deadline = connection.getresponse(), time.monotonic() + LIVE_LIMIT_S
        while b'"text_delta"' not in answer.readline():
            if answer.isclosed() or time.monotonic() > deadline:  # pings go on
                raise Missing("text comes when its line is whole: the mod tells nothing")
        return "text comes as it is made"
    finally:
        harness.api.go_on.set()
        connection.close()


def thinking(harness: Harness) -> str:
    """A thinking block with its signature."""
    asked = {"type": "enabled", "budget_tokens": 2000}
    block = answered(harness, ask("[[think hm]][[say done]]", max_tokens=4000, thinking=asked))["content"][0]
    if (block["type"], block.get("thinking"), bool(block.get("signature"))) != ("thinking", "hm", True):
        raise Missing(f"a block of type {block['type']} came first")
    return "comes with its signature"


def exactness(harness: Harness) -> str:
    """Generated conversations with pictures, documents, tools and odd characters."""
    wrong = []
    for seed in SEEDS:
        try:
            exactly(harness, ask("", **({"system": SYSTEM} | conversation(seed))))
        except Missing as error:
            wrong.append(f"{seed}: {error}")
    if wrong:
        raise Missing(f"{len(SEEDS) - len(wrong)} of {len(SEEDS)} exact; {wrong[0]}")
    return f"{len(SEEDS)} of {len(SEEDS)} generated conversations"


def witness(harness: Harness) -> str:
    """Claude Code tells what it sends, and that is what was asked. A daemon of its own, since others fail where it is not."""
    with Harness(f"{harness.root}/witness", harness.claude, harness.flags | {"witness": True, "idle": 0}) as own:
        for number, case in enumerate((ask("[[say ok]]"), ask("", **({"system": SYSTEM} | conversation(SEEDS[0]))))):
            told = [witnessed(own, case)]
            while told[-1] == "unseen" and len(told) < TELL_TRIES:
                told.append(witnessed(own, case))
            if told[-1] != "exact":
                raise Missing(f"call {number + 1}: {told[-1]}")
    return "what Claude Code sends is what was asked"


def witnessed(harness: Harness, case: dict[str, Any]) -> str:
    """What the daemon says of the request that Claude Code has made of this call."""
    return post(harness, case).headers.get("x-relayd-witness", "an error")


def pictures(harness: Harness) -> str:
    """An image block."""
    import random

    exactly(
        harness,
        ask("", system=SYSTEM, messages=[{"role": "user", "content": [image(random.Random(1)), {"type": "text", "text": "x"}]}]),
    )
    return "arrive byte for byte"


def interrupt(harness: Harness) -> str:
    """A client that leaves ends the model's work."""
    connection = http.client.HTTPConnection(urlsplit(harness.url).netloc, timeout=CALL_LIMIT_S)
    connection.request("POST", "/v1/messages", json.dumps(ask("[[long 3000]][[slow 0.1]]")), {"content-type": "application/json"})
    deadline = time.monotonic() + CALL_LIMIT_S
    while not harness.api.messages() and time.monotonic() < deadline:
        time.sleep(0.01)
    connection.close()
    left = time.monotonic()
    while time.monotonic() < deadline:
        if harness.api.messages() and harness.api.messages()[0].aborted:
            return f"the request is aborted {1000 * (time.monotonic() - left):.0f} ms after the client has left"
        time.sleep(0.01)
    raise Missing("the model's request went on")


def errors(harness: Harness) -> str:
    """The API's errors with their status and text."""
    statuses = (400, 401, 404, 429, 500, 529)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        replies = list(threads.map(lambda status: post(harness, ask(f"[[error {status} as told]]")), statuses))
    for status, reply in zip(statuses, replies, strict=True):
        if reply.status != status or b"as told" not in reply.body:
            raise Missing(f"{reply.status} instead of {status}: {reply.body[:200]!r}")
    return "come through with status and text"


def speed(harness: Harness) -> str:
    """From the request to the model, with a process waiting."""
    times = []
    for _ in range(ROUNDS):
        _await(harness, "waiting", "ready", "primed")
        harness.api.clear()
        begun = time.monotonic()
        answered(harness, ask("[[say ok]]"))
        times.append(1000 * (harness.api.messages()[0].arrived - begun))
    return f"{statistics.median(times):.0f} ms from request to model"


def _await(harness: Harness, *states: str) -> None:
    """Until a process is in one of these states; for a while."""
    deadline = time.monotonic() + REFILL_LIMIT_S
    while time.monotonic() < deadline and not set(states) & set(health(harness)["pool"]["processes"]):
        time.sleep(0.05)


CHECKS: dict[str, Callable[[Harness], str]] = {
    "replay": replay,
    "gate": gate,
    "typing": typing,
    "system prompt": system_prompt,
    "nothing added": nothing_added,
    "pictures": pictures,
    "tools": tools,
    "parking": parking,
    "parallel calls": parallel,
    "stream": deltas,
    "live": live,
    "thinking": thinking,
    "exactness": exactness,
    "witness": witness,
    "interrupt": interrupt,
    "errors": errors,
    "speed": speed,
}
