"""A bug in one part costs what it was about, and is said in the log; the next call is answered."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.timers import CallDue, CallTimer, RelayDue, RelayTimer, SlotDue, SlotTimer
from relayd.errors import ApiError
from tests.core.test_pool_and_relay import World

Act = Callable[[World, int], Any]
NO = ApiError(400, "no")


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
    "a refused request": (
        "front.http.refuse",
        lambda w, c: w.tell(ev.RequestRefused(c, ApiError(400, "no"))),
        "RequestRefused met",
    ),
    "what a dashboard says": ("front.viewers.told", lambda w, c: w.tell(ev.FrameArrived(900, "x")), "FrameArrived met a bug"),
    "a process's deadline": (
        "engine.driver.drive",
        lambda w, c: w.tell(ev.TimerFired(SlotTimer(slot(w, c), SlotDue.STATE))),
        "TimerFired met a bug",
    ),
    "a fact about a process": (
        "engine.driver.drive",
        lambda w, c: w.tell(ev.ChildExited(slot(w, c), 1)),
        "ChildExited met a bug",
    ),
    "a new claude": ("pool.updated", lambda w, c: w.tell(ev.ClaudeChanged("new")), "ClaudeChanged met a bug"),
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


def test_a_bug_in_the_end_does_not_keep_the_daemon_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(max=1, idle=1)
    world.boot()
    client = world.ask()
    with monkeypatch.context() as broken:
        broken.setattr(world.relay.front.ending, "asked", lambda now: 1 / 0)
        orders = world.tell(ev.ShutdownAsked())
    assert any(isinstance(o, do.SetTimer) and o.key == RelayTimer(RelayDue.FORCE) for o in orders)
    late = world.ask()
    assert world.answer(late)[0] == 529  # it takes no more calls
    world.tell(ev.TimerFired(RelayTimer(RelayDue.FORCE)))
    assert world.answer(client)[0] == 500


def test_a_bug_in_a_calls_own_deadline_ends_that_call_and_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.boot()
    client = world.ask(stream=True)
    call = world.relay.calls.by_client[client]
    with monkeypatch.context() as broken:
        broken.setattr(call, "hold_due", lambda now: 1 / 0)
        world.tell(ev.TimerFired(CallTimer(call.number, CallDue.HOLD)))
    assert world.answer(client)[0] == 500
    assert not world.relay.pool.sessions[call.slot or ""].is_live
    assert client not in world.relay.calls.by_client


def test_what_the_pool_cannot_learn_costs_nobody_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The orders of the event were lost with it: a call whose turn had ended hung."""
    world = World()
    world.boot()
    client = world.ask()
    with monkeypatch.context() as broken:
        broken.setattr(world.relay.engine.driver, "_keep_books", lambda *_: 1 / 0)
        world.finish(slot(world, client))
        assert world.answer(client)[0] == 200
        before = list(world.relay.pool.sessions)
        for name in before:
            world.die(name)
    assert not set(before) & set(world.relay.pool.sessions)  # each place has come free


def test_an_error_is_told_once_although_a_bug_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.boot()
    client = world.ask()
    call = world.relay.calls.by_client[client]
    with monkeypatch.context() as broken:
        broken.setattr(call, "_take", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            call.fail(NO, world.now)
    told = [o.status for o in [*call.fail(NO, world.now), *call.fail(NO, world.now)] if isinstance(o, do.Respond)]
    assert told == [400]


def test_a_call_that_waits_for_a_process_is_gone_after_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else would ever take it from the table: it has no process whose end could."""
    world = World(max=1, idle=1)
    world.boot()
    world.ask()
    client = world.ask()
    call = world.relay.calls.by_client[client]
    monkeypatch.setattr(call, "ping_due", lambda now: 1 / 0)
    world.tell(ev.TimerFired(CallTimer(call.number, CallDue.PING)))
    assert world.answer(client)[0] == 500
    assert call.number not in world.relay.calls.by_number
    assert call.number not in world.relay.calls.queue
