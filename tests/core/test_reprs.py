"""What lives long says what it is in one line, and nothing that a client has said."""

from __future__ import annotations

import dataclasses
import gc
import types

from relayd.claude import hooks, pieces, telemetry, transcript
from relayd.core import actions, events, timers
from relayd.core.session import live, parts
from tests.core.test_pool_and_relay import World

LINE_MAX_CHARS = 300
SECRET = "PRIVATE-WORDS"


def reachable(start: object) -> list[object]:
    """Every object of ours that can be reached from `start`."""
    seen: dict[int, object] = {}
    waiting = [start]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, (type, types.ModuleType, types.FunctionType)):
            continue
        seen[id(one)] = one
        waiting += gc.get_referents(one)
    return [one for one in seen.values() if type(one).__module__.startswith("relayd.")]


def test_each_object_of_a_working_relay_is_one_line_that_tells_no_prompt() -> None:
    """A repr ends up in a log."""
    world = World()
    world.boot()
    world.finish(world.slot_of(world.ask(SECRET)))
    world.wait(1.0)
    world.boot()
    world.ask(SECRET)
    found = [one for one in reachable(world.relay) if "__repr__" in vars(type(one)) and not hasattr(one, "__dataclass_fields__")]
    assert len({type(one) for one in found}) > 20
    for one in found:
        text = repr(one)
        assert "\n" not in text
        assert len(text) <= LINE_MAX_CHARS, text
        assert SECRET not in text


def test_facts_orders_and_timers_are_values() -> None:
    """Nobody changes them on their way, and timers are the keys of tables."""
    for module in (actions, events, timers, live, parts, hooks, telemetry, transcript, pieces):
        for kind in vars(module).values():
            if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.__name__:
                assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
