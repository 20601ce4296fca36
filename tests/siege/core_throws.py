"""Throws from each method of the core and the codecs in turn, in a simulated world, while calls are under way.

A script is played once to see which methods it uses after its first call has begun, and how often; then once for each of
them, with an exception at one of its uses. Judged afterwards: every client has got its answer or one well-formed error, at
most one call was lost, the next calls of all kinds are right, and nothing is left. Run by
`tests/daemon/test_every_method_may_throw.py` and `scripts/siege --throws`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from relayd.core import events as ev
from relayd.core.timers import CallTimer
from tests.siege.judge import judge
from tests.siege.methods import Method, Recorder, Thrower
from tests.siege.scripts import SCRIPTS, TOOL, Play
from tests.siege.simulation import Simulation

RESTING = ("waiting", "ready", "priming", "primed", "kept", "spawning")


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


def sample(used: dict[str, Counter[Method]], methods: list[Method], part: int, parts: int) -> Iterator[Case]:
    """One throw for each method of a part of them: a use and a script that change from method to method."""
    for number, method in enumerate(methods):
        found = list(cases(used, [method], len(used) * 4))
        if found and number % parts == part:
            yield found[number % len(found)]


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
        problems += _next_calls(sim)
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


def _next_calls(sim: Simulation) -> list[str]:
    """Everybody else's next call: one of each kind."""
    before = len(sim.faults)
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
    return [f"afterwards: {problem}" for problem in [*sim.faults[before:], *_judged(play, 0)]]


def _left(sim: Simulation) -> list[str]:
    """Nothing may be left: first at rest, then after the end."""
    problems = []
    if not sim.is_finished:
        sim.run(200.0)
        if sim.relay.calls.by_number or sim.relay.calls.queue:
            problems.append(f"calls are left: {list(sim.relay.calls.by_number.values())}, queue {list(sim.relay.calls.queue)}")
        problems += [f"{s!r} does not rest" for s in sim.relay.pool.sessions.values() if s.state.value not in RESTING]
        problems += [f"the timer {key} is left" for key in sim.timers if isinstance(key, CallTimer)]
        kept = Play(sim, lambda: None).value(sim.call("GET", "/v1/sessions", x_api_key=sim.token)).get("data")
        problems += ["sessions are not told"] if kept is None else [f"session {s['id']} is busy" for s in kept if s["busy"]]
        sim.tell(ev.ShutdownAsked())
        sim.run(60.0, lambda: sim.is_finished)
    if not sim.is_finished:
        problems.append(f"it does not end: {sim.relay!r}")
    if sim.processes:
        problems.append(f"processes are left: {list(sim.processes)}")
    return problems
