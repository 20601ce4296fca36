"""A `claude` that does not start with the mod is started without it: the mod may cost no answer."""

from __future__ import annotations

import dataclasses

from relayd.claude import mod
from relayd.core import actions as do
from relayd.core import events as ev
from tests.core.test_pool_and_relay import NEAR, World


def world() -> World:
    return World(dataclasses.replace(NEAR, mod_directory="/state/mod"), live=True, idle=0)


def with_mod(spawn: do.SpawnSlot) -> bool:
    assert ("--plugin-dir" in spawn.launch.argv) == (mod.ADDRESS in spawn.launch.env)
    return mod.ADDRESS in spawn.launch.env


def spawns(found: World) -> list[do.SpawnSlot]:
    return [order for order in found.orders if isinstance(order, do.SpawnSlot)]


def test_a_process_that_ends_at_once_is_followed_by_one_without_the_mod() -> None:
    found = world()
    found.ask("hello", stream=True)
    first = spawns(found)[-1]
    assert with_mod(first)
    found.tell(ev.SlotSpawned(first.slot, 7))
    found.tell(ev.PtyClosed(first.slot))
    found.tell(ev.ChildExited(first.slot, 1))
    second = spawns(found)[-1]
    assert second.slot != first.slot
    assert not with_mod(second)
    found.tell(ev.SlotSpawned(second.slot, 8))
    found.tell(ev.PtyClosed(second.slot))
    found.tell(ev.ChildExited(second.slot, 1))
    assert not found.relay.pool.launcher.mod_trial.is_refused  # that one failed, too


def test_a_process_that_is_started_for_a_call_that_does_not_stream_has_no_use_for_it() -> None:
    """Loading it takes 0.1 s, and the call waits for that. With tools it has: only the mod tells their inputs exactly."""
    found = world()
    found.ask("hello")
    assert not with_mod(spawns(found)[-1])
    found.ask("hello", tools=[{"name": "get", "input_schema": {"type": "object"}}])
    assert with_mod(spawns(found)[-1])
