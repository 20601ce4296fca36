"""The pool and the hub, driven by facts alone: who gets a process, who waits, who is told no."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from relayd.claude.reminders import Machine
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.host import Host
from relayd.core.launch_keys import dump_keys, load_keys
from relayd.core.relay import Relay
from relayd.core.session.states import State
from relayd.core.timers import CallDue, CallTimer, RelayDue, RelayTimer, SlotDue, SlotTimer
from relayd.core.viewers import TOKEN_LIMIT_S
from relayd.http.keys import Keys
from relayd.http.messages import HttpRequest
from tests.helpers import told_body

HEADERS = {"host": "127.0.0.1:7421", "content-type": "application/json"}
BUSY, IDLE = "\x1b]0;◐ Claude Code\x07".encode(), "\x1b]0;✳ Claude Code\x07".encode()
HEADING = "Claude Code v2.1.330\x1b]0;✳ Claude Code\x07".encode()
MACHINE = Machine("linux", "bash", "Linux 6")
NEAR = Host(
    "/bin/claude",
    "/state",
    "/claude",
    "/state/workspace",
    "http://127.0.0.1:7421",
    {},
    True,
    MACHINE,
    lambda now: "t",
    lambda now: "d",
    lambda now: now,
)


class World:
    """A relay with a clock, its orders so far, and shorthands for facts."""

    def __init__(self, near: Host = NEAR, **flags: Any) -> None:
        self.config = Config(**({"typing": False, "kept": 0, "witness": False} | flags))
        self.relay = Relay(self.config, near, [], 7421)
        self.now = 100.0
        self.orders: list[do.Action] = []
        self.clients = 0
        self.take(self.relay.start(self.now))

    def take(self, orders: list[do.Action]) -> list[do.Action]:
        self.orders += orders
        return orders

    def tell(self, event: Any) -> list[do.Action]:
        """What the core orders; a hook comes back to it at once."""
        orders = self.take(self.relay.handle(event, self.now))
        hooks = [order.then for order in orders if isinstance(order, do.ReadBodies) and order.then is not None]
        return [*orders, *(order for hook in hooks for order in self.tell(hook))]

    def ask(self, text: str = "hi", **fields: Any) -> int:
        self.clients += 1
        value = {"model": "claude-sonnet-5", "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}
        self.tell(ev.RequestArrived(self.clients, HttpRequest("POST", "/v1/messages", "", HEADERS, json.dumps(value).encode())))
        return self.clients

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tell(ev.TimerFired(RelayTimer(RelayDue.REFILL)))

    def boot(self) -> None:
        for session in list(self.relay.pool.sessions.values()):
            if session.state is State.PRIMING:
                self.load(session.slot)
            if session.state is State.SPAWNING:
                self.tell(ev.SlotSpawned(session.slot, 1))
                if session.spec.mode is do.Mode.PROMPT:
                    self.tell(ev.PtyOutput(session.slot, HEADING))
                else:
                    self.tell(ev.GateOpened(session.slot))

    def load(self, slot: str) -> None:
        """What was to be loaded is loaded."""
        self.tell(ev.PtyOutput(slot, b"\x1b]0;\xe2\xa0\x82 Claude Code\x07"))
        self.tell(ev.PtyOutput(slot, HEADING))

    def die(self, slot: str) -> None:
        self.tell(ev.ChildExited(slot, 0))
        self.tell(ev.PtyClosed(slot))

    def hook(self, slot: str, **value: Any) -> list[do.Action]:
        birth = self.relay.pool.sessions[slot].spec
        secret, value = birth.secret, {"session_id": self.relay.pool.sessions[slot].conversation} | value
        self.clients += 1
        return self.tell(
            ev.RequestArrived(self.clients, HttpRequest("POST", f"/hooks/{secret}", "", HEADERS, json.dumps(value).encode()))
        )

    def told(self, slot: str) -> None:
        """Claude Code tells what it has sent, and that is what was asked."""
        witness = self.relay.pool.sessions[slot].witness
        assert witness is not None
        self.tell(ev.RequestTold(slot, told_body(witness.request)))
        self.tell(ev.BodiesRead(slot))

    def grew(self, slot: str, data: bytes) -> ev.TranscriptGrew:
        """Its conversation's transcript has so much more."""
        return ev.TranscriptGrew(slot, self.relay.pool.sessions[slot].conversation, data)

    def finish(self, slot: str, text: str = "ok", is_settled: bool = True) -> None:
        self.tell(ev.PtyOutput(slot, BUSY))
        if self.config.witness:
            self.told(slot)
        self.answered(slot, text)
        if is_settled and slot in self.relay.pool.sessions:
            self.tell(ev.PtyOutput(slot, IDLE))

    def answered(self, slot: str, text: str) -> None:
        """What Claude Code tells of an answer."""
        self.hook(slot, hook_event_name="MessageDisplay", message_id=f"u{self.clients}", index=0, final=True, delta=text)
        self.hook(slot, hook_event_name="Stop", last_assistant_message=text)
        line = {
            "type": "assistant",
            "message": {
                "id": f"msg_{self.clients}",
                "model": "m",
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "usage": {},
            },
        }
        self.tell(self.grew(slot, json.dumps(line).encode() + b"\n"))

    def answer(self, client: int) -> tuple[int, Any]:
        found = [o for o in self.orders if isinstance(o, do.Respond) and o.client == client]
        assert len(found) == 1, found
        return found[0].status, json.loads(found[0].body)

    def states(self) -> list[str]:
        return sorted(s.state.value for s in self.relay.pool.sessions.values())

    def slot_of(self, client: int) -> str:
        call = next(c for c in self.relay.calls.by_number.values() if c.client == client)
        assert call.slot
        return call.slot


def test_the_pool_is_warm_before_the_first_call_and_refilled_after_it() -> None:
    world = World()
    world.boot()
    assert world.states() == ["waiting", "waiting"]
    client = world.ask()
    assert world.states() == ["starting", "waiting"]
    world.wait(1.0)
    assert world.states() == ["spawning", "starting", "waiting"]
    world.finish(world.slot_of(client))
    assert world.answer(client)[0] == 200


def test_a_key_that_nobody_waits_for_is_started_cold_and_then_kept_warm() -> None:
    world = World()
    world.boot()
    client = world.ask(model="claude-opus-5-5")
    assert world.relay.pool.sessions[world.slot_of(client)].spec.key.model == "claude-opus-5-5"
    assert world.states() == ["spawning", "waiting", "waiting"]
    world.wait(1.0)
    free = [s.spec.key.model for s in world.relay.pool.sessions.values() if s.is_free]
    assert free.count("claude-opus-5-5") == 2


def test_calls_beyond_the_limit_wait_in_order_and_get_their_turn() -> None:
    world = World(max=2, idle=1)
    clients = [world.ask(str(n)) for n in range(4)]
    assert [c.stage.value for c in world.relay.calls.by_number.values()] == ["held", "held", "queued", "queued"]
    world.boot()
    slot = world.slot_of(clients[0])
    world.finish(slot)
    world.die(slot)
    assert [c.stage.value for c in world.relay.calls.by_number.values()] == ["held", "held", "queued"]
    assert world.slot_of(clients[2])


def test_a_free_process_of_another_key_makes_room() -> None:
    world = World(max=2, idle=2)
    world.boot()
    world.ask(model="claude-opus-5-5")
    assert sorted(world.states()) == ["killing", "waiting"]
    world.die(next(s.slot for s in world.relay.pool.sessions.values() if s.state is State.KILLING))
    assert [c.stage.value for c in world.relay.calls.by_number.values()] == ["held"]


def test_a_full_queue_and_a_long_wait_are_529_with_retry_after() -> None:
    world = World(max=1, idle=0, queue_max=1)
    first, second, third = world.ask(), world.ask(), world.ask()
    assert world.answer(third)[0] == 529
    number = next(n for n, c in world.relay.calls.by_number.items() if c.client == second)
    world.tell(ev.TimerFired(CallTimer(number, CallDue.QUEUE)))
    status, error = world.answer(second)
    assert (status, error["error"]["type"]) == (529, "overloaded_error")
    headers = next(o.headers for o in world.orders if isinstance(o, do.Respond) and o.client == second)
    assert dict(headers)["retry-after"]
    assert first in [c.client for c in world.relay.calls.by_number.values()]


def test_old_and_outdated_processes_are_replaced() -> None:
    world = World(slot_max_age_s=60.0)
    world.boot()
    old = set(world.relay.pool.sessions)
    world.wait(61.0)
    assert world.states() == ["killing", "killing", "spawning", "spawning"]
    for slot in old:
        world.die(slot)
    world.boot()
    fresh = set(world.relay.pool.sessions)
    world.tell(ev.ClaudeChanged("new"))
    assert all(world.relay.pool.sessions[s].state is State.KILLING for s in fresh)


def test_a_claude_that_dies_at_once_is_not_started_in_a_loop() -> None:
    world = World(idle=1)
    spawned = 0
    for _ in range(50):
        for slot in list(world.relay.pool.sessions):
            spawned += 1
            world.die(slot)
        world.wait(1.0)
    assert spawned < 12


def test_a_client_that_leaves_frees_its_place_in_the_queue_or_its_process() -> None:
    world = World(max=1, idle=0)
    first, second = world.ask(), world.ask()
    world.tell(ev.ClientLeft(second))
    assert not world.relay.calls.queue
    world.boot()
    slot = world.slot_of(first)
    world.tell(ev.ClientLeft(first))
    assert world.relay.pool.sessions[slot].state is State.KILLING
    assert not world.relay.calls.by_number


def test_hooks_with_a_wrong_secret_or_body_change_nothing() -> None:
    world = World()
    world.boot()
    path = "/hooks/" + "x" * 22
    world.tell(ev.RequestArrived(99, HttpRequest("POST", path, "", HEADERS, b"{}")))
    assert world.answer(99)[0] == 404
    slot = next(iter(world.relay.pool.sessions))
    secret = world.relay.pool.sessions[slot].spec.secret
    for client, body in enumerate((b"nonsense", b"[]", b'{"hook_event_name":"Stop"}'), start=200):
        world.tell(ev.RequestArrived(client, HttpRequest("POST", f"/hooks/{secret}", "", HEADERS, body)))
    assert world.answer(200)[0] == 400
    assert world.answer(201)[0] == 400


def test_a_bug_dooms_the_session_it_met_and_nothing_else() -> None:
    """A gate that opens twice is impossible; if it does all the same, that process ends and the daemon goes on."""
    world = World()
    world.boot()
    first, second = list(world.relay.pool.sessions)
    world.tell(ev.GateOpened(first))
    assert world.relay.pool.sessions[first].state is State.KILLING
    assert world.relay.pool.sessions[second].state is State.WAITING
    assert any(isinstance(o, do.Log) and o.level == "error" for o in world.orders)
    client = world.ask()
    world.finish(world.slot_of(client))
    assert world.answer(client)[0] == 200


def test_every_answer_carries_a_request_id_that_the_error_repeats() -> None:
    world = World()
    for client, (method, path, status) in enumerate(
        (("GET", "/nope", 404), ("GET", "/v1/messages", 405), ("POST", "/v1/messages", 400)), start=50
    ):
        world.tell(ev.RequestArrived(client, HttpRequest(method, path, "", HEADERS, b"")))
        found, error = world.answer(client)
        headers = dict(next(o.headers for o in world.orders if isinstance(o, do.Respond) and o.client == client))
        assert found == status
        assert headers["request-id"] == error["request_id"]


def test_a_held_stream_gives_a_real_status_to_an_early_error_and_an_event_to_a_late_one() -> None:
    world = World()
    world.boot()
    early, late = world.ask(stream=True), world.ask(stream=True)
    slots = {c: world.slot_of(c) for c in (early, late)}
    world.hook(
        slots[early], hook_event_name="StopFailure", error="server_error", last_assistant_message="API Error: 529 Overloaded"
    )
    world.tell(ev.TimerFired(SlotTimer(slots[early], SlotDue.LAG)))
    assert world.answer(early)[0] == 529
    number = next(n for n, c in world.relay.calls.by_number.items() if c.client == late)
    world.tell(ev.TimerFired(CallTimer(number, CallDue.HOLD)))
    assert [o.status for o in world.orders if isinstance(o, do.StartStream) and o.client == late] == [200]
    world.hook(
        slots[late], hook_event_name="StopFailure", error="server_error", last_assistant_message="API Error: 529 Overloaded"
    )
    world.tell(ev.TimerFired(SlotTimer(slots[late], SlotDue.LAG)))
    sent = b"".join(o.data for o in world.orders if isinstance(o, do.SendChunk) and o.client == late)
    assert sent.count(b"event: error") == 1
    assert any(isinstance(o, do.EndStream) and o.client == late for o in world.orders)


def test_a_silent_stream_is_kept_alive_by_pings() -> None:
    world = World()
    world.boot()
    client = world.ask(stream=True)
    slot = world.slot_of(client)
    world.hook(slot, hook_event_name="MessageDisplay", message_id="u", index=0, final=False, delta="a\n")
    number = next(n for n, c in world.relay.calls.by_number.items() if c.client == client)
    orders = world.tell(ev.TimerFired(CallTimer(number, CallDue.PING)))
    assert b"event: ping" in b"".join(o.data for o in orders if isinstance(o, do.SendChunk))


def test_shutdown_lets_running_calls_finish_and_then_ends() -> None:
    world = World(max=2, idle=2)
    world.boot()
    running, other = world.ask(), world.ask()
    queued = world.ask()
    world.tell(ev.ShutdownAsked())
    assert world.answer(queued)[0] == 529
    refused = world.ask()
    assert world.answer(refused)[0] == 529
    slots = [world.slot_of(running), world.slot_of(other)]
    for slot in slots:
        world.finish(slot)
        world.die(slot)
    assert world.answer(running)[0] == 200
    assert any(isinstance(o, do.Finish) for o in world.orders)


def test_shutdown_does_not_wait_for_ever() -> None:
    world = World(max=1, idle=1)
    world.boot()
    client = world.ask()
    slot = world.slot_of(client)
    world.tell(ev.ShutdownAsked())
    world.tell(ev.TimerFired(RelayTimer(RelayDue.FORCE)))
    assert world.answer(client)[0] == 500
    world.die(slot)
    assert any(isinstance(o, do.Finish) for o in world.orders)


def test_small_questions_are_answered_without_a_process() -> None:
    world = World()
    world.boot()
    answers = {}
    for client, path in enumerate(("health", "version", "availability", "license"), start=70):
        world.tell(ev.RequestArrived(client, HttpRequest("GET", f"/v1/{path}", "", HEADERS, b"")))
        status, answers[path] = world.answer(client)
        assert status == 200
    assert answers["health"]["pool"]["processes"] == {"waiting": 2}
    assert (answers["availability"], answers["license"]["valid"]) == ({"available": True}, True)
    world.tell(ev.RequestArrived(80, HttpRequest("POST", "/v1/license/refresh", "", HEADERS, b"{}")))
    assert world.answer(80)[0] == 200


def test_words_of_a_call_are_not_remembered() -> None:
    world = World()
    world.ask(model="claude-opus-5-5", stop_sequences=["SECRET"])
    assert not any(b"SECRET" in o.data for o in world.orders if isinstance(o, do.Remember))


def test_launch_keys_survive_a_restart() -> None:
    world = World()
    world.ask(model="claude-opus-5-5", max_tokens=7000, thinking={"type": "adaptive"}, output_config={"effort": "low"})
    remembered = [o.data for o in world.orders if isinstance(o, do.Remember)]
    keys = load_keys(remembered[-1])
    assert [str(k) for k in keys] == ["claude-opus-5-5/7000/adaptive/low"]
    assert load_keys(dump_keys(keys)) == keys
    assert load_keys(b"broken") == load_keys(b'[["x"]]') == []


def test_late_facts_about_the_dead_change_nothing() -> None:
    """Facts about processes that are long gone are not an error: fds and children are reported late."""
    world = World()
    world.boot()
    slot = next(iter(world.relay.pool.sessions))
    world.die(slot)
    for late in (
        ev.PtyOutput(slot, b"x"),
        ev.ChildExited(slot, 0),
        ev.TranscriptGrew(slot, slot, b"x"),
        ev.TimerFired(SlotTimer(slot, SlotDue.STATE)),
    ):
        assert not [o for o in world.tell(late) if isinstance(o, do.RemoveSlot)]


def test_a_dashboard_that_never_sends_the_token_is_let_go() -> None:
    """It stayed for ever, with a place of its own and a tick every second."""
    world = World(replace(NEAR, keys=Keys("sesame")))
    live = HttpRequest("GET", "/v1/live", "", {"host": "127.0.0.1:7421", "upgrade": "websocket"}, b"")
    for client in (1, 2):
        world.tell(ev.RequestArrived(client, live))
    world.tell(ev.FrameArrived(1, '{"token":"sesame"}'))
    for seconds in (1.0, TOKEN_LIMIT_S):
        assert do.CloseClient(2) not in world.orders
        world.now += seconds
        world.tell(ev.TimerFired(RelayTimer(RelayDue.VIEWERS)))
    assert [o for o in world.orders if isinstance(o, do.CloseClient)] == [do.CloseClient(2)]


def test_a_process_that_is_dying_is_waited_for_and_no_other_gives_way() -> None:
    world = World(max=2, idle=2)
    world.boot()
    first = world.ask(model="claude-opus-5-5")
    second = world.ask(model="claude-opus-5-5")
    assert world.states() == ["killing", "waiting"]
    world.die(next(s.slot for s in world.relay.pool.sessions.values() if s.state is State.KILLING))
    world.boot()
    assert world.relay.calls.by_client[first].slot
    assert world.relay.calls.by_client[second].slot is None
    assert world.states() == ["killing", "starting"]


def question(world: World, path: str) -> Any:
    """What a small question is answered."""
    world.clients += 1
    world.tell(ev.RequestArrived(world.clients, HttpRequest("GET", path, "", HEADERS, b"")))
    found = next(o for o in world.orders if isinstance(o, do.Respond) and o.client == world.clients)
    return json.loads(found.body) if path != "/metrics" else found.body.decode()


def told_plan(world: World, secret: str, percent: float) -> int:
    """The mod tells how much of the five-hour window is used, and that it resets an hour after the epoch; the status."""
    world.clients += 1
    limits = [{"kind": "five_hour", "percentUsed": percent, "resetsAt": "1970-01-01T01:00:00Z"}]
    body = json.dumps({"limits": limits}).encode()
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", f"/plan/{secret}", "", HEADERS, body)))
    return world.answer(world.clients)[0]


def test_what_a_process_tells_of_the_plan_stops_calls_before_a_process_is_touched() -> None:
    world = World(plan_stop_percent=80)
    world.boot()
    secret = next(iter(world.relay.pool.sessions.values())).spec.secret
    assert told_plan(world, "a" * 22, 99) == 404, "only our own processes are believed"
    assert question(world, "/v1/usage")["plan"]["known"] is False
    assert told_plan(world, secret, 81) == 200
    assert question(world, "/v1/status")["plan"]["windows"][0]["used_percent"] == 81
    assert 'relayd_plan_used_percent{window="five_hour"} 81' in question(world, "/metrics")
    status, body = world.answer(world.ask())
    assert (status, body["error"]["type"]) == (429, "rate_limit_error")
    assert "81 % of the plan's five-hour window is used" in body["error"]["message"]
    world.now = 3600.0
    world.ask()
    assert len(world.relay.calls.by_number) == 1, "the window has begun anew"


def test_the_status_says_how_many_requests_were_proven() -> None:
    world = World(kept=1, reuse=2, witness=True)
    world.boot()
    client = world.ask()
    world.finish(world.slot_of(client))
    assert question(world, "/v1/status")["witness"] == {"exact": 1, "changed": 0, "unseen": 0}


@pytest.mark.parametrize("is_late", [False, True])
def test_the_cost_of_a_call_is_in_its_record_and_in_the_totals(is_late: bool) -> None:
    """An answer may be given before Claude Code has told what it cost."""
    world = World(kept=1, reuse=2) if is_late else World()
    world.boot()
    client = world.ask()
    slot = world.slot_of(client)
    attributes = {"event.name": "api_request", "query_source": "repl_main_thread", "cost_usd": "0.25", "output_tokens": "3"}
    record = {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()]}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    secret = world.relay.pool.sessions[slot].spec.secret
    report = ev.RequestArrived(99, HttpRequest("POST", f"/telemetry/{secret}/v1/logs", "", HEADERS, body))
    for event in (None, report) if is_late else (report, None):
        if event is None:
            world.finish(slot)
            assert world.answer(client)[0] == 200
        else:
            world.tell(event)
    written = [json.loads(order.line) for order in world.orders if isinstance(order, do.Record)]
    assert [found["cost_usd"] for found in written] == ([0.0, 0.25] if is_late else [0.25])
    assert len({found["id"] for found in written}) == 1
    assert len(world.relay.journal.recent) == 1
    assert world.relay.journal.recent[-1].cost_usd == 0.25
    usage = question(world, "/v1/usage")
    assert (usage["cost_usd"], usage["keys"][""]["cost_usd"]) == (0.25, 0.25)
