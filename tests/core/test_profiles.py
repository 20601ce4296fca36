"""Several logins: which one a call is for, what is its own, and that nothing goes over to another by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from relayd import profiles
from relayd.config import load
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.profile_choice import choose
from relayd.core.timers import SlotDue, SlotTimer
from relayd.errors import ApiError, ConfigError
from relayd.http.keys import Keys, NamedKey, digest_of, dump, read
from relayd.http.messages import HttpRequest
from tests.core.test_http_api import send, value
from tests.core.test_pool_and_relay import HEADERS, NEAR, World
from tests.core.test_roads import TOOL, asks_for_a_tool, result

TABLE = "work=/claude-work, lab=/claude-lab"
DIRECTORIES = {"work": "/claude-work", "lab": "/claude-lab"}
KEY = NamedKey("batch", digest_of("secret"), profile="lab")


def world_of(near: Any = NEAR, **flags: Any) -> World:
    world = World(replace(near, profiles=DIRECTORIES), profiles=TABLE, **flags)
    world.boot()
    return world


def ask(world: World, profile: str = "", path: str = "/v1/messages", messages: Any = None, **fields: Any) -> int:
    world.clients += 1
    headers = HEADERS | ({"x-relayd-profile": profile} if profile else {}) | fields.pop("headers", {})
    said = messages or [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "claude-sonnet-5", "max_tokens": 1024, "messages": said, **fields}).encode()
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", path, "", headers, body)))
    world.boot()
    return world.clients


def spawned(world: World, client: int) -> do.SpawnSlot:
    slot = world.slot_of(client)
    return next(order for order in world.orders if isinstance(order, do.SpawnSlot) and order.slot == slot)


@pytest.mark.parametrize("text", ["work", "=/x", "work=x", "a b=/x", "a=/x,a=/y", "a=", ",".join(f"p{n}=/x" for n in range(21))])
def test_tables_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="profiles"):
        load("", {}, {"profiles": text})


def test_the_table() -> None:
    assert profiles.table(TABLE) == DIRECTORIES
    assert profiles.table("a=~/.claude-a, w=C:\\Users\\x") == {"a": "~/.claude-a", "w": "C:\\Users\\x"}
    assert profiles.table("") == {}


def test_the_header_or_the_key_says_which() -> None:
    assert choose({}, None, TABLE) == ""
    assert choose({"x-relayd-profile": "work"}, None, TABLE) == "work"
    assert choose({}, KEY, TABLE) == choose({"x-relayd-profile": "lab"}, KEY, TABLE) == "lab"
    with pytest.raises(ApiError, match="the key batch is for the profile lab") as found:
        choose({"x-relayd-profile": "work"}, KEY, TABLE)
    assert found.value.status == 403
    for name, table, known in (("home", TABLE, "work, lab"), ("work", "", "none")):
        with pytest.raises(ApiError, match=f"known: {known}") as found:
            choose({"x-relayd-profile": name}, None, table)
        assert found.value.status == 400


def test_keys_keep_their_profile_in_their_file() -> None:
    assert read(dump((KEY,))) == (KEY,)
    old = json.loads(dump((KEY,)))
    del old["keys"][0]["profile"]
    assert read(json.dumps(old).encode())[0].profile == ""
    old["keys"][0]["profile"] = "a b"
    with pytest.raises(ValueError, match="profile"):
        read(json.dumps(old).encode())


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_an_unknown_profile_is_a_400_that_names_the_known_ones(path: str) -> None:
    world = world_of()
    client = ask(world, "home", path)
    status, answer = world.answer(client)
    assert status == 400
    assert "known: work, lab" in answer["error"]["message"]


def test_each_profile_has_processes_of_its_own_with_its_directory_and_no_login_of_the_environment() -> None:
    near = replace(NEAR, environment={"ANTHROPIC_API_KEY": "k", "CLAUDE_CONFIG_DIR": "/claude", "PATH": "/bin"})
    world = world_of(near)
    own, work, lab = spawned(world, ask(world)), spawned(world, ask(world, "work")), spawned(world, ask(world, "lab"))
    assert len({order.slot for order in (own, work, lab)}) == 3
    assert own.launch.env["CLAUDE_CONFIG_DIR"] == "/claude"
    assert own.launch.env["ANTHROPIC_API_KEY"] == "k"
    assert work.launch.env["CLAUDE_CONFIG_DIR"] == "/claude-work"
    assert "ANTHROPIC_API_KEY" not in work.launch.env
    assert work.launch.env["PATH"] == "/bin"
    assert work.paths.transcript.startswith("/claude-work/projects/")
    assert lab.paths.transcript.startswith("/claude-lab/projects/")


def test_a_free_process_of_one_profile_never_serves_another() -> None:
    world = world_of(idle=3, max=6)
    first = ask(world, "work")
    world.finish(world.slot_of(first))
    world.wait(1.0)
    world.boot()
    waiting = {s.slot: s.spec.key.profile for s in world.relay.pool.sessions.values() if s.is_free}
    assert "work" in waiting.values()  # the pool keeps ready what calls use
    client = ask(world, "lab")
    assert world.relay.calls.by_client[client].slot not in waiting


def test_results_of_tools_do_not_go_on_in_another_profile() -> None:
    world = world_of()
    slot, _ = asks_for_a_tool(world)
    client = ask(world, "work", messages=result(), tools=[TOOL])
    assert world.relay.calls.by_client[client].slot != slot


def test_a_limited_profile_is_limited_although_another_is_free() -> None:
    """Going over to another login by itself would be a way round the limit of the first."""
    world = world_of()
    world.relay.engine.limits.rates.failed("work: claude-sonnet-5", ApiError(429, "used up", retry_after_s=3600), world.now)
    spawns = len([o for o in world.orders if isinstance(o, do.SpawnSlot)])
    client = ask(world, "work")
    assert world.answer(client)[0] == 429
    assert len([o for o in world.orders if isinstance(o, do.SpawnSlot)]) == spawns
    for profile in ("", "lab"):
        assert ask(world, profile) in world.relay.calls.by_client


def test_a_call_that_is_limited_in_its_turn_is_a_429_and_teaches_its_own_profile() -> None:
    world = world_of()
    client = ask(world, "work")
    slot = world.slot_of(client)
    text = "API Error: 429 try again in 100 seconds"
    world.hook(slot, hook_event_name="StopFailure", error="rate_limit", last_assistant_message=text)
    world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.LAG)))
    assert world.answer(client)[0] == 429
    assert value(world, "GET", "/v1/health")["rate_limit"]["models"] == {"work: claude-sonnet-5": 100}
    assert ask(world, "lab") in world.relay.calls.by_client


def test_each_profile_has_a_plan_of_its_own() -> None:
    world = world_of(plan_stop_percent=80)
    client = ask(world, "work")
    secret = world.relay.pool.sessions[world.slot_of(client)].spec.secret
    limits = [{"kind": "five_hour", "percentUsed": 90, "resetsAt": "1970-01-01T01:00:00Z"}]
    send(world, "POST", f"/plan/{secret}", json.dumps({"limits": limits}).encode())
    world.finish(world.slot_of(client))
    assert world.answer(ask(world, "work"))[0] == 429
    assert ask(world, "lab") in world.relay.calls.by_client
    status = value(world, "GET", "/v1/status")
    assert status["plan"]["known"] is False
    work = status["profiles"]["work"]
    assert (work["plan"]["windows"][0]["used_percent"], work["calls"]) == (90, {"200": 1})
    assert sum(status["profiles"]["lab"]["processes"].values()) >= 1
    assert [record["profile"] for record in status["recent"] if record["status"] == 200] == ["work"]
    metrics = send(world, "GET", "/metrics").body.decode()
    assert 'relayd_plan_used_percent{profile="work",window="five_hour"} 90' in metrics
    assert 'relayd_profile_calls_total{profile="work",status="200"} 1' in metrics
    assert 'relayd_profile_processes{profile="lab"}' in metrics
    assert "profile=" not in send(World(), "GET", "/metrics").body.decode()


def test_a_key_brings_its_profile() -> None:
    world = world_of(replace(NEAR, keys=Keys("token", (KEY,))))
    client = ask(world, headers={"x-api-key": "secret"})
    assert spawned(world, client).launch.env["CLAUDE_CONFIG_DIR"] == "/claude-lab"
