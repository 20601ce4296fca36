"""Sticky sessions under calls that run: deletion, order, patience, and what they weigh."""

from __future__ import annotations

from typing import Any

from relayd.anthropic.request import Held
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.conversation_names import SESSION, Name
from relayd.core.conversations import Conversations
from relayd.core.timers import CallDue, CallTimer
from tests.core.test_conversations import QUIET, Client


def running(world: Client) -> list[int]:
    return sorted(call.client for call in world.relay.calls.by_number.values())


def waiting_numbers(world: Client) -> list[int]:
    return [o.key.call for o in world.orders if isinstance(o, do.SetTimer) and _is_turn(o.key)]


def _is_turn(key: Any) -> bool:
    return isinstance(key, CallTimer) and key.due is CallDue.TURN


def test_what_a_deleted_session_said_does_not_come_back() -> None:
    """A ran in session S, S was deleted, B began a new S; when A ended its history was stored in B's S, and the next call
    of S was told the words that the client had deleted."""
    world = Client(**QUIET)
    first = world.say("a secret", "s")
    world.call("DELETE", "/v1/sessions/s")
    second = world.say("hello", "s")
    world.done(first)
    world.done(second)
    assert world.get("/v1/sessions")["data"][0]["messages"] == 2
    third = world.say("more", "s")
    call = next(c for c in world.relay.calls.by_number.values() if c.client == third)
    assert "secret" not in repr(call.request.messages)


def test_a_call_that_has_lost_its_session_does_not_free_the_next_one() -> None:
    """When A of the deleted session ended, B's session counted as free, and C ran beside B: calls of one session out of order."""
    world = Client(**QUIET)
    first = world.say("a", "s")
    world.call("DELETE", "/v1/sessions/s")
    second, third = world.say("b", "s"), world.say("c", "s")
    world.done(first)
    assert running(world) == [second]
    world.done(second)
    assert running(world) == [third]


def test_a_failed_call_of_a_deleted_session_changes_nothing() -> None:
    world = Client(**QUIET)
    first = world.say("a", "s")
    world.call("DELETE", "/v1/sessions/s")
    second, _ = world.say("b", "s"), world.say("c", "s")
    world.tell(ev.ClientLeft(first))
    assert running(world) == [second]


def test_a_call_waits_for_its_session_for_a_bounded_time_only() -> None:
    """The queue's limit began only when a call had left the line of its session: before that it waited for ever."""
    world = Client(**QUIET)
    first, second, third = world.say("a", "s"), world.say("b", "s"), world.say("c", "s")
    number = waiting_numbers(world)[0]
    world.tell(ev.TimerFired(CallTimer(number, CallDue.TURN)))
    status, error = world.answer(second)
    assert (status, error["error"]["type"]) == (529, "overloaded_error")
    world.tell(ev.TimerFired(CallTimer(number, CallDue.TURN)))  # a timer that fires late finds nothing
    world.done(first)
    assert running(world) == [third]


def test_a_client_that_leaves_the_line_of_its_session_is_skipped() -> None:
    world = Client(**QUIET)
    first, second, third = world.say("a", "s"), world.say("b", "s"), world.say("c", "s")
    world.tell(ev.ClientLeft(second))
    world.done(first)
    assert running(world) == [third]


def test_a_bad_request_in_the_line_does_not_hold_up_the_next() -> None:
    """What is wrong with a request that waits may show only when the history is known, as here: a result of no tool call."""
    world = Client(**QUIET)
    first = world.say("a", "s")
    result = {"type": "tool_result", "tool_use_id": "toolu_none", "content": "x"}
    bad = world.say([{"role": "user", "content": [result]}], "s")
    third = world.say("c", "s")
    world.done(first)
    assert world.answer(bad)[0] == 400
    assert running(world) == [third]


def test_tools_count_as_stored_bytes() -> None:
    """10 MB of tools counted as nothing, so that 1,000 sessions could hold 32 MB each."""
    world = Client(**QUIET)
    tool = {"name": "t", "description": "d" * 50_000, "input_schema": {"type": "object", "title": "x" * 50_000}}
    world.done(world.say("a", "s", tools=[tool]))
    assert world.get("/v1/sessions/s")["bytes"] > 100_000


def test_what_expires_is_gone_at_its_limit() -> None:
    """It was kept up to its limit and was to be looked at again at just that moment: a timer that fired on time set itself
    for the same moment again, without end."""
    store = Conversations(Config())
    store.release(store.begin(Name(SESSION, "empty"), 0.0))
    lease = store.begin(Name(SESSION, "s"), 0.0)
    lease.held = Held(("stored",))
    store.release(lease)
    look = store.expire(1.0)
    assert look == Config().session_idle_s
    assert store.expire(look) is None
    assert store.totals()["kept"] == 0
