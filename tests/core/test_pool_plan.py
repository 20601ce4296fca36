"""When processes are started and loaded ahead: while the model answers, not while a call is on its way to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayd.core import events as ev
from relayd.core.call import Road
from relayd.core.pool import ANSWER_S, START_HOLD_S
from relayd.core.pool_plan import LAST_CONVERSATIONS, LOOK_SOON_S
from relayd.core.roads import PATIENCE_S
from relayd.core.session.record import UPSTREAM_S, Session
from relayd.core.session.states import State
from tests.core.test_pool_and_relay import BUSY, HEADING, IDLE, NEAR, World
from tests.core.test_reuse import BRIEF, answer, call, carry, sessions
from tests.core.test_typing import conversation, world_of


def running(world: World, text: str, **fields: str) -> Session:
    """A call whose turn has begun just now."""
    session = call(world, text, **fields)
    carry(world, session)
    world.tell(ev.PtyOutput(session.slot, BUSY))
    assert session.state is State.RUNNING
    return session


@pytest.mark.parametrize("is_settled", [True, False])
def test_what_calls_begin_with_is_loaded_while_the_model_answers_not_when_it_has(is_settled: bool) -> None:
    """It was loaded at the moment of an answer, when a program calls again at once: that call took 170 ms to the model instead
    of 95.
    """
    world = world_of(idle=2, kept=2, max=5, refill_delay_s=1)
    for number in range(5):
        answer(world, call(world, f"call {number}", **BRIEF))
        for _ in range(4):
            world.wait(0.5)
            world.boot()
    session = running(world, "call 5", **BRIEF)
    world.finish(session.slot, is_settled=is_settled)
    before = len(sessions(world, State.PRIMED))
    assert not sessions(world, State.PRIMING)  # a program would call now
    following = running(world, "call 6", **BRIEF)
    assert following is not session
    world.tell(ev.PtyOutput(session.slot, IDLE))
    world.wait(1.0)
    assert not sessions(world, State.PRIMING)
    world.told(following.slot)
    world.wait(LOOK_SOON_S)
    assert (before, len(sessions(world, State.PRIMING))) == (1, 1)


def test_a_used_process_is_replaced_as_soon_as_its_call_has_reached_the_model() -> None:
    """It was replaced a second after the call, which is when many answers end: the next call met the start."""
    world = world_of(idle=1, kept=1, max=5, refill_delay_s=1)
    session = call(world, "one")
    for at in (0.05, 0.2):
        world.wait(at)
        assert not sessions(world, State.SPAWNING), "the call is not at the model yet"
    carry(world, session)
    world.tell(ev.PtyOutput(session.slot, BUSY))
    world.wait(0.2)
    assert not sessions(world, State.SPAWNING)
    world.told(session.slot)
    world.wait(LOOK_SOON_S)
    assert len(sessions(world, State.SPAWNING)) == 1


def test_while_a_call_is_on_its_way_the_pool_looks_again_soon() -> None:
    world = world_of(idle=1, kept=1, max=5, refill_delay_s=1)
    call(world, "one")
    look = world.relay.engine.scheduler.planner.next_look(world.now)
    assert look - world.now <= LOOK_SOON_S


def test_an_early_start_leaves_a_place_for_a_call_of_another_kind() -> None:
    world = world_of(idle=1, kept=1, max=2, refill_delay_s=1)
    session = running(world, "one")
    world.told(session.slot)
    world.wait(LOOK_SOON_S)
    assert list(world.relay.pool.sessions.values()) == [session]
    other = world.ask("two", max_tokens=7)
    assert world.relay.pool.sessions[world.slot_of(other)].state is State.SPAWNING


@pytest.mark.parametrize("tells", [True, False])
def test_a_start_waits_while_as_many_calls_are_on_their_way_as_there_are_processors(tells: bool) -> None:
    """Four clients that began at once waited for four starts beside each other, 2.6 to 3.8 seconds each: two of them could have
    had their answers after one, and their processes the others' calls.
    """
    near = replace(NEAR, processors=2)
    world = World(near, typing=True, witness=tells, idle=0, kept=4, max=5, refill_delay_s=60)
    clients = [world.ask(f"call {n}") for n in range(4)]
    assert len(world.relay.pool.sessions) == 2
    world.boot()
    first = world.relay.pool.sessions[world.slot_of(clients[0])]
    world.tell(ev.PtyOutput(first.slot, BUSY))
    assert first.state is State.RUNNING
    world.wait(UPSTREAM_S / 2)
    assert len(world.relay.pool.sessions) == 2
    if tells:
        world.told(first.slot)
        world.wait(ANSWER_S / 2)
        assert len(world.relay.pool.sessions) == 2  # the answer may come at once
    world.wait(max(UPSTREAM_S, ANSWER_S))
    assert len(world.relay.pool.sessions) == 3  # the model has the first call


def test_a_call_that_waits_for_a_start_holds_up_no_call_of_another_kind() -> None:
    world = World(replace(NEAR, processors=1), typing=True, idle=1, kept=4, max=5, refill_delay_s=60)
    world.boot()
    clients = [world.ask("one", max_tokens=7), world.ask("two", max_tokens=7), world.ask("three")]
    assert len(world.relay.calls.queue) == 1
    assert world.relay.pool.sessions[world.slot_of(clients[2])].state is State.LOADING


def test_a_new_process_is_warmed_before_it_gets_a_call_while_others_serve_them() -> None:
    """One call in fifty went to a process that had just started: beside others that used all processors its first conversation
    took two seconds, four times as long as the median.
    """
    world = World(replace(NEAR, processors=1), typing=True, witness=True, idle=0, kept=1, max=2, refill_delay_s=60)
    session = running(world, "one", **BRIEF)
    for text in ("two", "three"):
        world.finish(session.slot)
        session = running(world, text, **BRIEF)
    world.told(session.slot)
    session.served = session.spec.config.reuse - LAST_CONVERSATIONS + 1
    waiting = world.ask("four", **BRIEF)
    (successor,) = sessions(world, State.SPAWNING)
    world.tell(ev.SlotSpawned(successor.slot, 1))
    world.tell(ev.PtyOutput(successor.slot, HEADING))
    assert (successor.state, successor.call) == (State.PRIMING, None)
    world.load(successor.slot)
    assert world.slot_of(waiting) == successor.slot
    assert world.relay.calls.by_number[successor.call or 0].road is Road.PRIMED


def test_a_free_process_of_a_kind_that_nobody_uses_gives_its_place_to_a_successor() -> None:
    """Two processes at their fiftieth conversations had one successor between them: what had been made ready when the daemon
    started, and was never used, held the places as long as calls came back to back. Three calls waited for two seconds.
    """
    world = World(replace(NEAR, processors=1), typing=True, witness=True, idle=1, kept=1, max=2, refill_delay_s=60)
    unused = next(iter(world.relay.pool.sessions.values()))
    world.boot()
    session = running(world, "one", max_tokens=7)
    world.told(session.slot)
    world.wait(0.0)
    assert unused.state is not State.KILLING
    session.served = session.spec.config.reuse - LAST_CONVERSATIONS + 1
    world.wait(0.0)
    assert unused.state is State.KILLING
    world.die(unused.slot)
    assert [s.spec.key for s in sessions(world, State.SPAWNING)] == [session.spec.key]


def test_no_process_is_started_ahead_while_the_calls_need_all_processors() -> None:
    """Between two calls of four programs a third process was started on two cores: the calls took twice as long meanwhile, and
    the one that got it two seconds.
    """
    world = World(replace(NEAR, processors=1), typing=True, witness=True, idle=1, kept=1, max=5, refill_delay_s=1)
    world.boot()
    session = running(world, "one")
    world.told(session.slot)
    world.wait(LOOK_SOON_S)
    assert len(world.relay.pool.sessions) == 1
    world.wait(ANSWER_S)  # the model takes its time, so there is some to spare
    assert len(world.relay.pool.sessions) == 2


def test_a_call_that_waits_for_a_place_holds_up_none_for_which_there_is_a_process() -> None:
    """It waited until the process that gave way had ended, beside a free one of its own kind."""
    world = World(replace(NEAR, processors=1), typing=True, idle=2, kept=0, max=2, refill_delay_s=60)
    world.boot()
    leaving, other = world.relay.pool.sessions.values()
    waiting = world.ask("one", max_tokens=7)
    assert leaving.state is State.KILLING
    assert world.slot_of(world.ask("two")) == other.slot
    assert waiting in world.relay.calls.by_client


def test_calls_of_one_kind_do_not_keep_all_processes_to_themselves() -> None:
    """While one of two processes puts its turn away, none gives way to a call of another kind; the next call of theirs must not
    take the other one, or it would be so for ever.
    """
    world = world_of(idle=0, kept=2, max=2, refill_delay_s=60)
    first, second = running(world, "one"), running(world, "two")
    world.finish(first.slot, is_settled=False)
    world.ask("other", max_tokens=7)
    world.finish(second.slot)
    late = world.ask("three")
    assert second.is_settled
    assert len(world.relay.calls.queue) == 2
    world.tell(ev.PtyOutput(first.slot, IDLE))
    assert first.state is State.KILLING
    assert world.slot_of(late) == second.slot


def test_a_call_that_others_hold_up_for_too_long_gets_its_start() -> None:
    """They may be stuck."""
    world = World(replace(NEAR, processors=1), typing=True, idle=0, kept=4, max=5, refill_delay_s=60)
    world.ask("one")
    waiting = world.ask("two")
    world.wait(START_HOLD_S - 0.1)
    assert len(world.relay.pool.sessions) == 1
    world.wait(0.1)
    assert world.relay.pool.sessions[world.slot_of(waiting)].state is State.SPAWNING


def test_a_conversation_that_goes_on_does_not_pass_a_call_for_ever() -> None:
    """Of four programs with a chat each, two went on at once, again and again, each in its own process; the others waited for
    three seconds, and with all places taken they would have waited for as long as the two went on.
    """
    world = World(replace(NEAR, processors=1), typing=True, witness=True, idle=1, kept=1, max=2, refill_delay_s=60)
    world.boot()
    session = running(world, "one")
    world.finish(session.slot, "two", is_settled=False)
    waiting = world.ask("other")
    passing = conversation(world, "one", "two", "three")
    assert world.slot_of(passing) == session.slot
    carry(world, session)
    world.finish(session.slot, "four", is_settled=False)
    world.wait(PATIENCE_S + 0.1)
    late = conversation(world, "one", "two", "three", "four", "five")
    assert list(world.relay.calls.queue) == [2, 4]
    world.tell(ev.PtyOutput(session.slot, IDLE))
    assert world.slot_of(waiting) == session.slot
    assert late in world.relay.calls.by_client


def test_a_process_with_few_conversations_left_has_a_successor_although_calls_wait() -> None:
    """Three processes ended together, at their fiftieth conversations, and the calls of four programs waited for as many starts:
    6 seconds, and 11 on a busy machine.
    """
    world = World(replace(NEAR, processors=1), typing=True, witness=True, idle=0, kept=1, max=3, refill_delay_s=60)
    session = running(world, "one")
    world.ask("two")
    session.served = session.spec.config.reuse - LAST_CONVERSATIONS + 1
    world.wait(0.0)
    assert len(world.relay.calls.queue) == 1
    assert len(sessions(world, State.SPAWNING)) == 1
