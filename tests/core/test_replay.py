"""Which process answers a call whose own is lost."""

from __future__ import annotations

import pytest

from relayd.core import events as ev
from relayd.core.session.states import State
from relayd.core.timers import SlotDue, SlotTimer
from tests.core.test_pool_and_relay import World


@pytest.mark.parametrize("places", [2, 3])
def test_a_process_that_gives_no_sign_of_life_is_followed_by_a_new_one(places: int) -> None:
    """All processes were stopped: the call went from the first, after its limit, to the second, and failed after that one's.
    A stopped process looks like one that waits.
    """
    world = World(idle=2, max=places, refill_delay_s=60)
    world.boot()
    waiting = set(world.relay.pool.sessions)
    client = world.ask("one")
    stuck = world.slot_of(client)
    world.tell(ev.TimerFired(SlotTimer(stuck, SlotDue.STATE)))
    world.die(stuck)
    session = world.relay.pool.sessions[world.slot_of(client)]
    assert session.slot not in waiting
    assert session.state is State.SPAWNING


def test_a_process_that_has_died_is_followed_by_one_that_waits() -> None:
    world = World(idle=2, max=3, refill_delay_s=60)
    world.boot()
    waiting = set(world.relay.pool.sessions)
    client = world.ask("one")
    died = world.slot_of(client)
    world.die(died)
    assert {world.slot_of(client)} == waiting - {died}


def test_a_process_that_does_not_boot_is_followed_by_one_that_waits() -> None:
    """It says nothing of those that have booted; and on a busy machine another one would not boot in time either."""
    world = World(idle=0, max=3, refill_delay_s=60)
    clients = [world.ask("one"), world.ask("two")]
    stuck, waiting = (world.slot_of(client) for client in clients)
    world.tell(ev.ClientLeft(clients[1]))
    world.tell(ev.SlotSpawned(waiting, 1))
    world.tell(ev.GateOpened(waiting))
    world.tell(ev.TimerFired(SlotTimer(stuck, SlotDue.STATE)))
    assert world.slot_of(clients[0]) == waiting
