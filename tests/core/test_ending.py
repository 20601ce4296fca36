"""Every way out has an end: processes that cannot be ended, and a daemon that is told to end."""

from __future__ import annotations

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.session.states import State
from relayd.core.timers import RelayDue, RelayTimer, SlotDue, SlotTimer
from tests.core.test_pool_and_relay import World


def test_a_child_that_cannot_be_reaped_is_given_up_and_its_place_comes_free() -> None:
    """A child stuck in the kernel got KILL for ever, 200 times in 1,031 s: it held its place, and the daemon could not end."""
    world = World(max=1, idle=1)
    world.boot()
    slot = next(iter(world.relay.pool.sessions))
    world.tell(ev.PtyClosed(slot))
    for _ in range(10):
        if slot in world.relay.pool.sessions:
            world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.STATE)))
    assert slot not in world.relay.pool.sessions
    kills = [o for o in world.orders if isinstance(o, do.SignalChild) and (o.slot, o.name) == (slot, "KILL")]
    assert 1 <= len(kills) <= 3
    assert any(isinstance(o, do.Log) and "given up" in o.text for o in world.orders)
    assert any(isinstance(o, do.RemoveSlot) and o.slot == slot for o in world.orders)
    world.tell(ev.ChildExited(slot, -9))  # hours later


def test_the_daemon_ends_although_a_child_cannot_be_ended() -> None:
    world = World(max=1, idle=1)
    world.boot()
    client = world.ask()
    slot = world.slot_of(client)
    world.tell(ev.ShutdownAsked())
    world.tell(ev.TimerFired(RelayTimer(RelayDue.FORCE)))
    assert world.answer(client)[0] == 500
    assert not any(isinstance(o, do.Finish) for o in world.orders)
    for _ in range(10):
        world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.STATE)))
    assert any(isinstance(o, do.Finish) for o in world.orders)


def test_the_daemon_goes_at_the_last_limit_and_says_what_is_left() -> None:
    world = World(max=1, idle=1)
    world.boot()
    world.ask()
    world.tell(ev.ShutdownAsked())
    world.tell(ev.TimerFired(RelayTimer(RelayDue.FORCE)))
    leave = [o for o in world.orders if isinstance(o, do.SetTimer) and o.key == RelayTimer(RelayDue.LEAVE)]
    assert leave
    orders = world.tell(ev.TimerFired(RelayTimer(RelayDue.LEAVE)))
    assert any(isinstance(o, do.Finish) for o in orders)
    assert any(isinstance(o, do.Log) and "is left" in o.text for o in orders)


def test_a_second_request_to_end_does_not_wait() -> None:
    world = World(max=1, idle=1)
    world.boot()
    client = world.ask()
    world.tell(ev.ShutdownAsked())
    world.tell(ev.ShutdownAsked())
    assert world.answer(client)[0] == 500


def test_calls_that_wait_for_their_session_are_told_that_the_daemon_ends() -> None:
    from tests.core.test_conversations import QUIET, Client

    world = Client(**QUIET)
    world.say("a", "s")
    second = world.say("b", "s")
    world.tell(ev.ShutdownAsked())
    assert world.answer(second)[0] == 529


def test_every_state_on_the_way_to_the_grave_has_an_end_without_any_fact() -> None:
    """Deadlines alone lead from each state to DEAD: a child, a terminal or a hook that says nothing holds nobody up."""
    from tests.core.session.test_session import drive, session

    for state in (State.INTERRUPTING, State.HUNG_UP, State.KILLING, State.REAPING, State.DRAINING):
        s = session()
        s.state = state
        for _ in range(20):
            drive(s, ev.DeadlinePassed(SlotDue.STATE), 1.0)
        assert s.state is State.DEAD, state
