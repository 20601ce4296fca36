"""One call's answer, in the form that is still possible at each of its stages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.anthropic.answer import Answer, Usage
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.call import Stage
from relayd.core.session.turn import Finished
from relayd.core.timers import CallDue, CallTimer
from relayd.errors import ApiError
from tests.core.test_pool_and_relay import World


def asked(**fields: Any) -> tuple[World, Any]:
    """A world, and its one call, which is at work."""
    world = World()
    world.boot()
    client = world.ask(**fields)
    return world, next(c for c in world.relay.calls.by_number.values() if c.client == client)


def due(world: World, call: Any, which: CallDue) -> list[do.Action]:
    return world.tell(ev.TimerFired(CallTimer(call.number, which)))


def chunks(orders: list[do.Action]) -> bytes:
    return b"".join(o.data for o in orders if isinstance(o, do.SendChunk))


def test_a_silent_stream_is_opened_when_its_hold_is_over_and_then_pinged() -> None:
    world, call = asked(stream=True)
    assert chunks(due(world, call, CallDue.PING)) == b""  # nothing is open yet
    opened = due(world, call, CallDue.HOLD)
    assert any(isinstance(o, do.StartStream) and o.status == 200 for o in opened)
    assert chunks(opened).startswith(b"event: message_start")
    assert chunks(due(world, call, CallDue.HOLD)) == b""  # once
    assert b"event: ping" in chunks(due(world, call, CallDue.PING))


def test_a_stream_that_another_process_goes_on_with_has_one_beginning() -> None:
    """Its head was out, but no word of an answer, when its process was lost."""
    world, call = asked(stream=True)
    opened = due(world, call, CallDue.HOLD)
    world.die(call.slot)
    world.boot()
    begun = len(world.orders)
    world.finish(call.slot)
    sent = chunks(opened) + chunks(world.orders[begun:])
    assert [sent.count(name) for name in (b"event: message_start", b"event: message_stop")] == [1, 1]
    assert sum(isinstance(o, do.StartStream) for o in world.orders) == 1


def test_an_error_before_the_stream_is_a_status_and_after_it_an_event() -> None:
    for is_open in (False, True):
        world, call = asked(stream=True)
        if is_open:
            due(world, call, CallDue.HOLD)
        orders = call.fail(ApiError(529, "busy"), world.now)
        statuses = [o.status for o in orders if isinstance(o, do.Respond)]
        assert statuses == ([] if is_open else [529])
        assert (b"event: error" in chunks(orders)) is is_open
        assert any(isinstance(o, do.EndStream) for o in orders) is is_open
        assert call.stage is Stage.DONE
        assert call.fail(ApiError(500, "again"), world.now) == []  # it has ended


@pytest.mark.parametrize("is_open", [False, True])
def test_what_of_an_answer_may_have_changed_is_named_in_the_head_or_after_it(is_open: bool) -> None:
    world, call = asked(stream=True)
    if is_open:
        due(world, call, CallDue.HOLD)
    answer = Answer("msg_1", "m", (), "tool_use", Usage(), inexact=("content.0.input", "stop_sequence"))
    orders = call.part(Finished(answer), world.now)
    heads = [dict(o.headers) for o in orders if isinstance(o, do.StartStream)]
    named = [head.get("x-relayd-inexact") for head in heads]
    assert named == ([] if is_open else ["content.0.input, stop_sequence"])
    assert b"\n\n: x-relayd-inexact: content.0.input, stop_sequence\n\nevent: message_delta" in b"\n\n" + chunks(orders)


def test_a_call_for_which_no_process_comes_free_is_told_so() -> None:
    world, call = asked()
    (answer,) = [o for o in due(world, call, CallDue.QUEUE) if isinstance(o, do.Respond)]
    assert answer.status == 529
    assert "no Claude Code process came free" in json.loads(answer.body)["error"]["message"]
    assert due(world, call, CallDue.QUEUE) == []


def test_headers_name_what_was_ignored_and_how_long_it_took() -> None:
    world, call = asked(service_tier="auto", inference_geo="eu")
    world.now += 2.0
    world.finish(world.slot_of(call.client))
    (answer,) = [o for o in world.orders if isinstance(o, do.Respond) and o.client == call.client]
    headers = dict(answer.headers)
    assert set(headers["x-relayd-ignored"].split(", ")) == set(call.request.ignored)
    assert "claude;dur=2000.0" in headers["server-timing"]


def test_only_a_stream_has_its_head_held() -> None:
    for is_stream in (True, False):
        world, call = asked(stream=is_stream)
        timers = [o.key for o in world.orders if isinstance(o, do.SetTimer)]
        assert (CallTimer(call.number, CallDue.HOLD) in timers) is is_stream
