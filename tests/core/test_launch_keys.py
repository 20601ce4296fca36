"""Which kinds of process are kept ready: bounded, and one bad key slows itself alone."""

from __future__ import annotations

from dataclasses import replace

from relayd.claude import mod
from relayd.claude.launch import LaunchKey
from relayd.core import events as ev
from relayd.core.actions import Mode
from relayd.core.launch_keys import KINDS_MAX, Backoff, RecentKinds
from relayd.core.session.states import State
from tests.core.test_pool_and_relay import NEAR, World


def test_launch_keys_of_clients_that_came_and_left_are_bounded() -> None:
    """300 clients with different limits left 300 keys, each kept for a quarter of an hour and each up to 96 KB."""
    world = World()
    for number in range(300):
        world.tell(ev.ClientLeft(world.ask(max_tokens=1000 + number)))
    assert len(world.relay.pool.keys(world.now)) <= KINDS_MAX


def test_a_bad_key_slows_only_itself() -> None:
    """A model that does not exist backed off the whole pool for a minute: nobody's calls found a process ready."""
    world = World(idle=2)
    bad = world.ask(model="no-such-model")
    slot = world.slot_of(bad)
    world.die(slot)
    world.boot()
    good = world.ask(model="claude-opus-5-5")
    world.boot()
    world.finish(world.slot_of(good))
    world.wait(2.0)
    ready = [s for s in world.relay.pool.sessions.values() if s.is_free and s.spec.key.model == "claude-opus-5-5"]
    assert ready


def test_a_key_whose_processes_never_start_is_not_kept_ready_any_more() -> None:
    """A launch key that could not be started was kept, and tried again at each restart."""
    world = World(idle=1)
    world.tell(ev.ClientLeft(world.ask(model="no-such-model")))
    for _ in range(200):
        for session in list(world.relay.pool.sessions.values()):
            if session.spec.key.model == "no-such-model":
                world.die(session.slot)
            elif session.state is State.SPAWNING:
                world.boot()
        world.wait(1.0)
    assert "no-such-model" not in [key.model for key in world.relay.pool.keys(world.now)]
    assert any(s.is_free for s in world.relay.pool.sessions.values())


def test_pauses_grow_to_a_limit_and_end_with_the_first_success() -> None:
    backoff, key = Backoff(), LaunchKey("m", 1)
    pauses = [backoff.failed(key, 0.0)[1] for _ in range(12)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0
    backoff.served(key)
    assert backoff.until(key) == 0.0
    for number in range(1, 3 * KINDS_MAX):
        backoff.failed(LaunchKey("m", number), 0.0)
    assert len(backoff._failures) <= KINDS_MAX


def test_the_pause_of_a_key_begins_short_and_doubles_up_to_a_limit() -> None:
    backoff, key, other = Backoff(), LaunchKey("m", 9), LaunchKey("m", 10)
    assert [backoff.failed(key, 0.0) for _ in range(8)] == [(n + 1, min(60.0, 2.0**n)) for n in range(8)]
    assert (backoff.until(key), backoff.until(other)) == (60.0, 0.0)
    backoff.served(key)
    assert backoff.failed(key, 5.0) == (1, 1.0)
    assert backoff.until(key) == 6.0


def test_the_mod_is_behind_a_gate_only_where_calls_stream() -> None:
    """It was there for every call, and cost those that do not stream 0.15 s between gate and upstream."""
    world = World(replace(NEAR, mod_directory="/state/mod"), idle=1)
    world.boot()
    for streams, is_there in ((False, False), (True, True), (False, True)):
        world.finish(world.slot_of(world.ask(stream=streams)))
        world.wait(1.0)
        world.boot()
        free = [s for s in world.relay.pool.sessions.values() if s.is_free]
        assert [mod.ADDRESS in s.spec.launch.env for s in free] == [is_there]
        assert [s.state for s in free] == [State.WAITING]


def test_whether_a_kind_streams_is_forgotten_with_time_and_with_the_kind() -> None:
    kinds = RecentKinds([], LaunchKey("m", 1))
    kind = LaunchKey("m", 1), Mode.GATE
    assert kinds.streams(kind, 0.0, 900.0)  # nobody knows
    kinds.use(kind, True, 0.0)
    kinds.use(kind, False, 10.0)
    assert kinds.streams(kind, 899.0, 900.0)
    assert not kinds.streams(kind, 901.0, 900.0)
    for number in range(3 * KINDS_MAX):
        kinds.use((LaunchKey("m", number), Mode.GATE), True, 20.0)
    assert len(kinds._used) <= KINDS_MAX
    last = LaunchKey("m", 3 * KINDS_MAX - 1)
    kinds.use((last, Mode.GATE), False, 2000.0)
    assert not kinds.streams((last, Mode.GATE), 2000.0, 900.0)
    kinds.forget(last)
    assert kinds.streams((last, Mode.GATE), 2000.0, 900.0)  # nobody knows any more
