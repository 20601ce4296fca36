"""An update of Claude Code under a running daemon: what it can do is known anew, without a restart."""

from __future__ import annotations

from relayd.claude.capabilities import Capabilities
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.session.states import State
from tests.core.test_pool_and_relay import World

TOOL = {"name": "t", "description": "", "input_schema": {"type": "object"}}


def test_an_update_lifts_a_refusal_and_another_brings_one_back() -> None:
    """The doctor's verdict was read once: after an update, calls with tools were refused in the name of the old version."""
    world = World(max=20)
    world.tell(ev.ClaudeChanged("old", Capabilities(no_tools="tools: Claude Code 2.1.257 does not")))
    status, error = world.answer(world.ask(tools=[TOOL]))
    assert (status, "2.1.257" in error["error"]["message"]) == (400, True)
    world.tell(ev.ClaudeChanged("new", Capabilities()))
    assert world.slot_of(world.ask(tools=[TOOL]))
    world.tell(ev.ClaudeChanged("broken", Capabilities(refusal="conversations cannot be handed over")))
    assert world.answer(world.ask())[0] == 500


def test_what_waits_is_replaced_and_started_in_the_new_way() -> None:
    world = World(typing=True, idle=1)
    world.tell(ev.ClaudeChanged("new", Capabilities(typing=False)))
    for slot in [s.slot for s in world.relay.pool.sessions.values() if s.state is State.KILLING]:
        world.die(slot)
    world.wait(1.0)
    assert {s.spec.mode for s in world.relay.pool.sessions.values() if s.is_free} == {do.Mode.GATE}
    world.tell(ev.ClaudeChanged("newer", Capabilities()))
    for slot in [s.slot for s in world.relay.pool.sessions.values() if s.state is State.KILLING]:
        world.die(slot)
    world.wait(1.0)
    assert {s.spec.mode for s in world.relay.pool.sessions.values() if s.is_free} == {do.Mode.PROMPT}
