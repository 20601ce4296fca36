"""What an event costs does not depend on how much is kept: counted in function calls, not in seconds."""

from __future__ import annotations

import sys
from typing import Any

from relayd.core import events as ev
from relayd.core.timers import RelayDue, RelayTimer
from tests.core.test_conversations import QUIET, Client


def work(world: Client, event: Any) -> int:
    """How many functions are called, and how many built-in ones, while the relay handles an event."""
    count = 0

    def counted(frame: Any, kind: str, argument: Any) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    sys.setprofile(counted)
    try:
        world.relay.handle(event, world.now)
    finally:
        sys.setprofile(None)
    return count


def store(world: Client, many: int) -> None:
    """Sticky sessions, made as a client makes them, but without a process each."""
    template = world.relay.engine.conversations
    lease = template.begin(_name("s"), world.now)
    for number in range(many):
        copy = template.begin(_name(f"s{number}"), world.now)
        template._store(copy, lease.held, 10)
        template._end(copy)
    template._end(lease)


def _name(text: str) -> Any:
    from relayd.core.conversation_names import SESSION, Name

    return Name(SESSION, text)


def test_work_per_event_is_the_same_with_ten_thousand_conversations() -> None:
    """Each event of any process walked through all conversations: 74 µs empty, 674 µs with 1,000 sticky sessions."""
    costs = []
    for many in (1, 10_000):
        world = Client(**(QUIET | {"conversations_max": 20_000}))
        store(world, many)
        client = world.say("a", "fresh")
        slot = world.slot_of(client)
        events = (
            ev.PtyOutput(slot, b"x"),
            ev.ClientLeft(999),
            ev.TimerFired(RelayTimer(RelayDue.REFILL)),
            ev.TimerFired(RelayTimer(RelayDue.EXPIRE)),
        )
        costs.append([work(world, event) for event in events])
    few, many_costs = costs
    assert all(abs(a - b) <= 5 for a, b in zip(few, many_costs, strict=True)), costs


def test_work_per_event_is_the_same_after_two_thousand_launch_keys() -> None:
    """2,000 launch keys made each event cost 7 ms."""
    costs = []
    for many in (1, 2_000):
        world = Client(**QUIET)
        for number in range(many):
            world.tell(ev.ClientLeft(world.ask(max_tokens=1000 + number)))
            for slot in list(world.relay.pool.sessions):
                world.die(slot)
            world.orders.clear()
        client = world.say("a", "fresh")
        costs.append(work(world, ev.PtyOutput(world.slot_of(client), b"x")))
    assert abs(costs[0] - costs[1]) <= 5, costs


def test_an_event_that_frees_no_process_does_not_look_at_the_pool(monkeypatch: Any) -> None:
    world = Client(**QUIET)
    client = world.say("a", "s")
    slot = world.slot_of(client)
    world.boot()
    looks = 0
    original = world.relay.engine.scheduler.planner.plan

    def plan(now: float) -> Any:
        nonlocal looks
        looks += 1
        return original(now)

    monkeypatch.setattr(world.relay.engine.scheduler.planner, "plan", plan)
    for _ in range(100):
        world.tell(ev.PtyOutput(slot, b"x"))
        world.tell(ev.ClientLeft(999))
    assert looks == 0
