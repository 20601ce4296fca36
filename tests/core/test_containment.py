"""A bug in one part costs what it was about, and is said in the log; the next call is answered."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.timers import RelayDue, RelayTimer
from tests.core.test_pool_and_relay import World

Act = Callable[[World, int], Any]


def slot(world: World, client: int) -> str:
    return world.slot_of(client)


CASES: dict[str, tuple[str, Act, str]] = {
    "a dashboard": ("front.viewers.output", lambda w, c: w.tell(ev.PtyOutput(slot(w, c), b"x")), "a dashboard met a bug"),
    "the pool": ("pool.learn", lambda w, c: w.tell(ev.PtyOutput(slot(w, c), b"x")), "the pool met a bug"),
    "a page's headers": ("front.http.mark_pages", lambda w, c: w.wait(0.0), "an answer to a page met a bug"),
    "the scheduler": ("engine.scheduler.refill", lambda w, c: w.wait(0.0), "the scheduler met a bug"),
    "a delivery": ("engine.driver._delivery.deliver", lambda w, c: w.finish(slot(w, c)), "met a bug"),
    "the end of a connection": ("front.http.client_left", lambda w, c: w.tell(ev.ClientLeft(c)), "ClientLeft met a bug"),
    "a timer": ("engine.scheduler.expire", lambda w, c: w.tell(ev.TimerFired(RelayTimer(RelayDue.EXPIRE))), "TimerFired met"),
    "a call's start": ("front.admission.admit", lambda w, c: w.ask(), "met a bug"),
}


@pytest.mark.parametrize(("path", "act", "said"), CASES.values(), ids=CASES)
def test_a_bug_costs_what_it_was_about_and_is_said(path: str, act: Act, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.boot()
    client = world.ask()
    world.relay.front.viewers.opened(900, world.now)
    owner, _, name = path.rpartition(".")
    bugs = 0

    def throw(*_: Any) -> Any:
        nonlocal bugs
        bugs += 1
        raise KeyError("PRIVATE-WORDS")

    with monkeypatch.context() as broken:
        broken.setattr(operator.attrgetter(owner)(world.relay), name, throw)
        act(world, client)
    assert bugs
    texts = [o.text for o in world.orders if isinstance(o, do.Log) and o.level == "error"]
    assert any(said in text for text in texts), texts
    assert not any("PRIVATE-WORDS" in text for text in texts)
    world.wait(1.0)
    world.boot()
    after = world.ask()
    world.wait(1.0)
    world.boot()
    world.finish(world.slot_of(after))
    assert world.answer(after)[0] == 200
