"""Dashboards that look on: who sees what, and who is sent away."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.timers import RelayDue, RelayTimer
from relayd.core.viewers import TIMER, TOKEN_LIMIT_S, Viewers
from relayd.http.keys import Keys
from tests.core.test_pool_and_relay import World

PAGE = 900


def frames(orders: list[do.Action]) -> list[dict[str, Any]]:
    return [json.loads(o.text) for o in orders if isinstance(o, do.SendFrame)]


def look(world: World, value: Any) -> list[do.Action]:
    return world.tell(ev.FrameArrived(PAGE, value if isinstance(value, str) else json.dumps(value)))


def test_a_page_gets_the_status_every_second_until_it_leaves() -> None:
    viewers = Viewers(Keys(), {})
    assert viewers.opened(1, 0.0) == [do.Upgrade(1), do.SetTimer(TIMER, 0.0)]
    orders = viewers.tick({"a": 1}, list, 5.0)
    assert frames(orders) == [{"type": "status", "a": 1}, {"type": "calls", "calls": []}]
    assert orders[-1] == do.SetTimer(TIMER, 6.0)
    assert frames(viewers.tick({"a": 1}, list, 6.0)) == [{"type": "status", "a": 1}], "the earlier calls come once"
    viewers.left(1)
    assert viewers.tick({"a": 1}, list, 6.0) == []
    assert not viewers


def test_without_the_token_a_page_sees_nothing_and_is_sent_away_in_the_end() -> None:
    viewers = Viewers(Keys("secret"), {})
    assert frames(viewers.opened(1, 0.0)) == [{"type": "token"}]
    assert frames(viewers.tick({"a": 1}, list, TOKEN_LIMIT_S)) == []
    assert viewers.output("s", b"x") == []
    assert frames(viewers.told(1, '{"token": "wrong"}', 1.0)) == [{"type": "token", "wrong": True}]
    assert frames(viewers.tick({"a": 1}, list, TOKEN_LIMIT_S)) == []
    assert do.CloseClient(1) in viewers.tick({"a": 1}, list, TOKEN_LIMIT_S + 0.1)
    assert not viewers


def test_with_the_token_it_does_and_stays() -> None:
    viewers = Viewers(Keys("secret"), {})
    viewers.opened(1, 0.0)
    assert viewers.told(1, '{"token": "secret"}', 1.0) == [do.SetTimer(TIMER, 1.0)]
    assert frames(viewers.tick({"a": 1}, list, TOKEN_LIMIT_S + 9))[0] == {"type": "status", "a": 1}


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "{}", '{"wach": "s"}', "null"])
def test_a_message_that_makes_no_sense_ends_the_connection(text: str) -> None:
    viewers = Viewers(Keys(), {})
    viewers.opened(1, 0.0)
    assert viewers.told(1, text, 0.0) == [do.CloseClient(1)]
    assert viewers.told(1, text, 0.0) == []  # it is gone already


def test_watching_before_the_token_ends_the_connection() -> None:
    viewers = Viewers(Keys("secret"), {})
    viewers.opened(1, 0.0)
    assert viewers.told(1, '{"watch": "s"}', 0.0) == [do.CloseClient(1)]


def test_a_terminal_is_drawn_from_its_beginning_and_then_as_it_comes() -> None:
    world = World()
    world.boot()
    slot = next(iter(world.relay.pool.sessions))
    world.relay.front.viewers.opened(PAGE, world.now)
    world.tell(ev.PtyOutput(slot, b"first"))
    (whole,) = frames(look(world, {"watch": slot}))
    assert base64.b64decode(whole["data"]).endswith(b"first")
    assert (whole["reset"], whole["columns"], whole["rows"]) == (True, world.config.columns, world.config.rows)
    (piece,) = frames(world.tell(ev.PtyOutput(slot, b"then")))
    assert (piece["slot"], base64.b64decode(piece["data"])) == (slot, b"then")
    dropped, again = frames(world.tell(ev.ViewerCaughtUp(PAGE)))
    assert dropped == {"type": "dropped"}
    assert base64.b64decode(again["data"]).endswith(b"firstthen")
    assert look(world, {"watch": None}) == []
    assert frames(world.tell(ev.PtyOutput(slot, b"unseen"))) == []
    assert frames(look(world, {"watch": "no-such"})) == [{"type": "terminal", "slot": "no-such", "gone": True}]
    world.tell(ev.ClientLeft(PAGE))
    assert world.tell(ev.ViewerCaughtUp(PAGE)) == []


def test_the_relay_tells_the_status_when_it_is_time() -> None:
    world = World()
    assert world.tell(ev.TimerFired(RelayTimer(RelayDue.VIEWERS))) == []
    world.relay.front.viewers.opened(PAGE, world.now)
    status, _ = frames(world.tell(ev.TimerFired(RelayTimer(RelayDue.VIEWERS))))
    assert (status["type"], len(status["slots"])) == ("status", len(world.relay.pool.sessions))
