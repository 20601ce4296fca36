"""Throws from each method of the core and the codecs in turn, in a simulated world, while calls are under way.

A script is played once to see which methods it uses after its first call has begun, and how often; then once for each of them, with
an exception at one of its uses. Judged afterwards: every client has got its answer or one well-formed error, at most one call was
lost, the next calls of all kinds are right, and nothing is left. Run by `tests/test_every_method_may_throw.py` and `scripts/siege --throws`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from relayd.core import events as ev
from relayd.core.transitions import State
from tests.siege.judge import judge
from tests.siege.methods import Method, Recorder, Thrower
from tests.siege.simulation import Simulation

MODEL = "claude-sonnet-5"
TOOL = {"name": "get", "description": "Gets", "input_schema": {"type": "object", "properties": {"k": {"type": "integer"}}}}
CHAT_TOOL = {"type": "function", "function": {"name": "get", "description": "Gets", "parameters": TOOL["input_schema"]}}
ANSWER_LIMIT_S = 40.0  # of the simulation's time: every deadline of a call has passed long before
PATHS = {False: "/v1/messages", True: "/v1/chat/completions"}
RESTING = {State.WAITING, State.READY, State.KEPT, State.SPAWNING}


@dataclass
class Wanted:
    """What a client must get: `text` to the letter, an error if that is empty, any answer at all for a small question."""

    client: int
    what: str
    text: str | None = ""
    is_chat: bool = False
    may_fail: bool = False  # an error is as good, unprovoked too


@dataclass
class Play:
    """One script being played. `arm` switches the hook on."""

    sim: Simulation
    arm: Callable[[], None]
    wanted: list[Wanted] = field(default_factory=list)

    def ask(self, text: str, says: str | None = None, is_chat: bool = False, **fields: Any) -> int:
        """A call with one message, or with a whole conversation in `messages`; headers in `headers`."""
        headers, may_fail = fields.pop("headers", {}), fields.pop("may_fail", False)
        value = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}
        client = self.sim.call("POST", PATHS[is_chat], value, **headers)
        what = f"{'chat' if is_chat else 'call'} {text!r}{' streamed' if fields.get('stream') else ''}"
        self.wanted.append(Wanted(client, what, text.removeprefix("echo ") if says is None else says, is_chat, may_fail))
        return client

    def question(self, method: str, path: str, value: Any = None, **headers: str) -> int:
        """A small question, right or wrong: it must be answered."""
        path, _, query = path.partition("?")
        client = self.sim.call(method, path, value, query, **headers)
        self.wanted.append(Wanted(client, f"{method} {path}", None))
        return client

    def wait(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        self.sim.run(seconds)

    def settle(self) -> None:
        """Until all that were asked have answers, or none can come any more."""
        replies = [self.sim.replies[w.client] for w in self.wanted]
        self.sim.run(ANSWER_LIMIT_S, lambda: all(r.has_come or r.status == 101 for r in replies))

    def value(self, client: int) -> dict[str, Any]:
        """A whole answer; nothing unless it is one."""
        reply = self.sim.replies[client]
        return json.loads(reply.body) if reply.status == 200 and not reply.is_stream and reply.is_over else {}


Script = Callable[[Play], None]


def messages(play: Play) -> None:
    """Whole and streamed calls, one that leaves, a dashboard that looks on."""
    sim = play.sim
    play.ask("slow a\nb\nc\nd", "slow a\nb\nc\nd", stream=True)
    play.arm()
    viewer = play.question("GET", "/v1/live", upgrade="websocket", connection="upgrade", sec_websocket_key="x", sec_websocket_version="13")
    play.ask("echo one\ntwo", system="Be brief.", temperature=0.5, metadata={})
    gone = play.ask("slow gone\naway", stream=True)
    play.wait(0.15)
    sim.tell(ev.FrameArrived(viewer, json.dumps({"watch": next(iter(sim.processes), "")})))
    sim.tell(ev.ViewerCaughtUp(viewer))
    sim.leave(gone)
    play.wanted = [w for w in play.wanted if w.client != gone]
    play.wait(0.2)
    sim.tell(ev.FrameArrived(viewer, "no JSON"))
    play.settle()
    play.wait(3.0)


def chat(play: Play) -> None:
    """The other shape."""
    play.ask("slow a\nb\nc", "slow a\nb\nc", True, stream=True, stream_options={"include_usage": True})
    play.arm()
    play.ask("echo one\ntwo", is_chat=True, seed=1)
    play.ask('echo {"a":1}', is_chat=True, response_format={"type": "json_object"})
    play.ask("", "", True, messages=[{"role": "user", "content": 5}])
    play.settle()


def tools(play: Play) -> None:
    """Calls that park, whose results are brought, or other ones."""
    clients = []
    for is_chat, is_stream in ((False, False), (False, True), (True, False)):
        kind = CHAT_TOOL if is_chat else TOOL
        clients.append(play.ask(f"tool {is_chat} {is_stream}", 'using[get {"k": 1}]', is_chat, tools=[kind], stream=is_stream))
        play.arm()
    play.settle()
    for client, result in zip(clients[:1] * 2, ("a result", "another"), strict=True):
        answer = play.value(client)
        if answer:
            call = next(b for b in answer["content"] if b["type"] == "tool_use")
            said = [{"role": "user", "content": "tool False False"}, {"role": "assistant", "content": answer["content"]}]
            brought = {"type": "tool_result", "tool_use_id": call["id"], "content": result}
            history = [*said, {"role": "user", "content": [brought]}]
            play.ask("results", f"got {result}", tools=[TOOL], messages=history)
            play.settle()
    play.wait(12.0)


def sessions(play: Play) -> None:
    """Sticky sessions: calls in order, one that leaves, deletion under a call; counting."""
    name = {"x_relayd_session": "s"}
    play.ask("slow first\nline", "slow first\nline", headers=name)
    play.arm()
    play.ask("echo second", headers=name, stream=True)
    gone = play.ask("echo third", headers=name)
    play.question("POST", "/v1/messages/count_tokens", {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})
    play.question("GET", "/v1/sessions")
    play.question("GET", "/v1/sessions/s")
    play.sim.leave(gone)
    play.wanted = [w for w in play.wanted if w.client != gone]
    play.settle()
    play.ask("slow fourth\nx", headers=name)
    play.question("DELETE", "/v1/sessions/s")
    play.ask("echo fifth", headers=name)
    play.settle()
    play.wait(1900.0)


def failures(play: Play) -> None:
    """What goes wrong without anybody's throwing: crashes, API errors, silence, wrong requests, a full queue."""
    play.ask("crash now", "")
    play.arm()
    play.ask("fail rate_limit API Error: Request rejected (429) · slow", "", stream=True)
    play.settle()
    play.ask("hang", "", stream=True)
    play.ask("echo not JSON", "not JSON", is_chat=True)
    for number in range(8):
        play.ask(f"echo {number}", may_fail=True)
    play.sim.tell(ev.RequestRefused(play.question("GET", "/v1/nothing") + 1_000_000, 400, "wrong framing"))
    play.question("POST", "/v1/messages", b"{")
    play.question("GET", "/v1/messages")
    play.question("POST", "/hooks/" + "x" * 22, {})
    play.settle()
    play.wait(65.0)


def questions(play: Play) -> None:
    """Everything that is answered at once, beside a call."""
    play.ask("slow a\nb\nc\nd\ne\nf", "slow a\nb\nc\nd\ne\nf")
    play.arm()
    for path in ("health", "version", "availability", "license", "models", "models?limit=3", "models/claude-sonnet-5", "status"):
        play.question("GET", f"/v1/{path}")
    for path in ("/metrics", "/", "/dashboard/app.js", "/api/hello"):
        play.question("GET", path)
    play.question("POST", "/v1/license/refresh", {})
    play.question("OPTIONS", "/v1/messages", origin="https://mine.example")
    play.question("GET", "/v1/health", origin="https://mine.example")
    play.question("GET", "/v1/health", host="evil.example")
    for process in list(play.sim.processes.values())[:1]:
        door = process.door("hooks").replace("/hooks/", "/mcp/")
        for method in ("initialize", "ping", "notifications/x", "nonsense"):
            play.question("POST", door, {"jsonrpc": "2.0", "id": 1, "method": method})
        play.question("POST", process.door("hooks"), b"nonsense")
        play.question("POST", process.door("telemetry"), b"nonsense")
    play.settle()


def typed(play: Play) -> None:
    """Messages that are typed into processes that stand at their prompt, by keys and by the editor."""
    play.ask("echo one")
    play.arm()
    play.settle()
    talk = [{"role": "user", "content": "echo one"}, {"role": "assistant", "content": "one"}]
    play.ask("two", "two", messages=[*talk, {"role": "user", "content": "echo two"}], stream=True)
    play.ask("echo with\ta tab")
    play.settle()
    play.ask("echo other", messages=[*talk, {"role": "user", "content": [{"type": "text", "text": "echo x"}, {"type": "text", "text": "echo other"}]}], says=None)
    play.wanted.pop()  # what the process makes of two texts is not looked at
    play.wait(5.0)
    play.wait(130.0)


def updates(play: Play) -> None:
    """Another binary, another configuration, under a call."""
    play.ask("slow a\nb\nc", "slow a\nb\nc", stream=True)
    play.arm()
    play.sim.tell(ev.ClaudeChanged("another"))
    play.wait(0.3)
    play.ask("echo one", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048, stop_sequences=["never said"])
    play.ask("echo two", tools=[TOOL], tool_choice={"type": "none"})
    play.ask('echo {"a": 1}', output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}})
    play.settle()


def ending(play: Play) -> None:
    """The end, asked for under calls that take longer than it waits."""
    play.ask("slow a\nb\nc", "slow a\nb\nc", stream=True)
    play.ask("hang", "", stream=True)
    play.arm()
    play.wait(0.05)
    for number in range(6):
        play.ask(f"echo {number}", may_fail=True)
    play.sim.tell(ev.ShutdownAsked())
    play.ask("echo late", "")
    play.settle()


SCRIPTS: dict[str, tuple[Script, dict[str, Any]]] = {
    "messages": (messages, {}),
    "chat": (chat, {}),
    "tools": (tools, {}),
    "sessions": (sessions, {}),
    "failures": (failures, {"max": 2, "queue_max": 6, "idle": 1}),
    "questions": (questions, {"allowed_origins": "https://mine.example", "assets": {"": ("text/html", b"x")}}),
    "typed": (typed, {"typing": True, "kept": 2, "mover": "/bin/mv"}),
    "updates": (updates, {}),
    "ending": (ending, {"max": 3}),
}


@dataclass(frozen=True)
class Case:
    """One throw: where, in which script, at which use."""

    method: Method
    script: str
    use: int

    def __str__(self) -> str:
        return f"{self.method} in {self.script}, use {self.use}"


def uses() -> dict[str, Counter[Method]]:
    """Which methods each script uses while it is armed, and how often. A script that fails unprovoked is an error."""
    found = {}
    for name in SCRIPTS:
        recorder = Recorder()
        problems = play_with(name, recorder)
        assert not problems, f"{name} fails without an exception: {problems}"
        found[name] = recorder.uses
    return found


def cases(used: dict[str, Counter[Method]], methods: list[Method], per_method: int) -> Iterator[Case]:
    """The throws: for each method the first use in every script that uses it, then later ones."""
    for method in methods:
        counts = {name: counter[method] for name, counter in used.items() if counter[method]}
        chosen = [Case(method, name, 1) for name in counts]
        for name, count in counts.items():
            chosen += [Case(method, name, use) for use in dict.fromkeys((count, 2, count // 2)) if 1 < use <= count]
        yield from chosen[:per_method]


def throw(case: Case) -> list[str]:
    """What was wrong after this throw; nothing if all was as it must be."""
    thrower = Thrower(case.method, case.use)
    problems = play_with(case.script, thrower)
    return problems if thrower.has_thrown or problems else ["it was not reached"]


def play_with(name: str, hook: Recorder | Thrower) -> list[str]:
    """Play a script under a hook; what was wrong."""
    script, flags = SCRIPTS[name]
    sim = Simulation(**flags)
    sim.run(2.0)

    def arm() -> None:
        sim.hook = hook

    play = Play(sim, arm)
    script(play)
    play.settle()
    sim.hook = None
    may_lose = 1 if isinstance(hook, Thrower) else 0
    problems = [*sim.faults, *_judged(play, may_lose)]
    if not sim.is_finished and name != "ending":
        problems += _next_calls(sim, flags)
    return problems + _left(sim)


def _judged(play: Play, may_lose: int) -> list[str]:
    problems, lost = [], []
    for wanted in play.wanted:
        reply = play.sim.replies[wanted.client]
        if not reply.has_come and reply.status != 101:
            problems.append(f"{wanted.what} hangs (status {reply.status})")
            continue
        if wanted.text is None:
            continue
        if reply.was_closed and not reply.is_over:
            verdict = "closed"
        else:
            verdict = judge(reply.status, reply.headers.get("content-type", ""), reply.body, wanted.is_chat, wanted.text)
        if verdict.startswith("BAD"):
            problems.append(f"{wanted.what}: {verdict}")
        elif verdict != "right" and wanted.text and not wanted.may_fail:
            lost.append(f"{wanted.what}: {verdict}")
    return problems if len(lost) <= may_lose else [*problems, f"{len(lost)} calls were lost: {lost}"]


def _next_calls(sim: Simulation, flags: dict[str, Any]) -> list[str]:
    """Everybody else's next call: one of each kind."""
    sim.run(70.0)  # a rate limit of the script is over
    play = Play(sim, lambda: None)
    play.ask("echo next\ncall")
    play.settle()
    play.ask("echo next\nstream", stream=True)
    play.ask("echo next chat", is_chat=True, stream=True)
    play.settle()
    play.ask("tool next", 'using[get {"k": 1}]', tools=[TOOL])
    play.settle()
    play.ask("echo next in session", headers={"x_relayd_session": "s"})
    play.settle()
    return [f"afterwards: {problem}" for problem in [*sim.faults, *_judged(play, 0)] if problem not in sim.faults or sim.hook]


def _left(sim: Simulation) -> list[str]:
    """Nothing may be left: first at rest, then after the end."""
    problems = []
    if not sim.is_finished:
        sim.run(200.0)
        if sim.relay.calls or sim.relay.queue:
            problems.append(f"calls are left: {list(sim.relay.calls.values())}, queue {list(sim.relay.queue)}")
        problems += [f"{s!r} does not rest" for s in sim.relay.pool.sessions.values() if s.state not in RESTING]
        problems += [f"the timer {key} is left" for key in sim.timers if key[0] == "call"]
        problems += [f"session {n} is busy" for n in sim.relay.conversations.names() if sim.relay.conversations.is_busy(n)]
        sim.tell(ev.ShutdownAsked())
        sim.run(60.0, lambda: sim.is_finished)
    if not sim.is_finished:
        problems.append(f"it does not end: {sim.relay!r}")
    if sim.processes:
        problems.append(f"processes are left: {list(sim.processes)}")
    return problems
