"""Message Batches: who runs when, what becomes a result and what waits, what is on disk, and what a restart makes of it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.batches import reply
from relayd.core.batches.recovery import BatchFiles
from relayd.core.batches.runner import AGAIN_S
from relayd.core.session.states import State
from relayd.core.storage import requests_path, results_path, state_path
from relayd.core.stored_at_start import StoredAtStart
from relayd.core.timers import CallDue, CallTimer, RelayDue, RelayTimer
from relayd.errors import ApiError
from tests.core.test_files import Stores, picture
from tests.core.test_pool_plan import running
from tests.core.test_reuse import carry
from tests.disk import Disk
from tests.siege.scripts import TOOL
from tests.siege.simulation import Simulation

DAY_S = 86_400


def params(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-5", "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}


def requests(count: int = 3, **fields: Any) -> dict[str, Any]:
    return {"requests": [{"custom_id": f"r{n}", "params": params(str(n), **fields)} for n in range(count)]}


def begun(data: bytes) -> tuple[bytes, tuple[tuple[bytes, int], ...]]:
    """A file of requests as the daemon reads it at the start."""
    head, *rest = data.splitlines(keepends=True) or [b""]
    return head, tuple((line[:160], len(line)) for line in rest if line.endswith(b"\n"))


class Batches(Stores):
    """A world that makes batches and sees them through."""

    def batch(self, value: Any = None, key: str = "", **headers: str) -> str:
        return str(self.value("POST", "/v1/messages/batches", value or requests(), key, **headers)["id"])

    def state(self, batch: str, key: str = "") -> dict[str, Any]:
        found = self.value("GET", f"/v1/messages/batches/{batch}", key=key)
        assert isinstance(found, dict)
        return found

    @property
    def at_work(self) -> list[str]:
        """The slots of requests of batches that run."""
        return [c.slot for c in self.relay.calls.by_number.values() if c.is_background and c.slot]

    def run_on(self, rounds: int = 30) -> None:
        """Until nothing is under way any more."""
        for _ in range(rounds):
            self.boot()
            for slot in self.at_work:
                self.finish(slot)
            self.bury()
            self.wait(0.1)

    def bury(self) -> None:
        """Processes that end have ended."""
        for session in list(self.relay.pool.sessions.values()):
            if not session.is_live:
                self.die(session.slot)

    def results(self, batch: str) -> dict[str, str]:
        """The kind of each result, as they are on disk."""
        lines = [json.loads(line) for line in self.disk.files.get(results_path(batch), b"").splitlines()]
        found = {line["custom_id"]: line["result"]["type"] for line in lines}
        assert len(found) == len(lines), "a request has two results"
        return found

    def restarted(self) -> Batches:
        """Another daemon on the same disk."""
        ids = {path.partition("/")[2].partition(".")[0] for path in self.disk.files if path.startswith("batches/")}
        found = []
        for name in sorted(ids):
            requests_file, state = (self.disk.files.get(path(name)) for path in (requests_path, state_path))
            results = self.disk.files.get(results_path(name), b"")
            is_open = state is None or b'"ended":0' in state
            lines = tuple(line[:160] for line in results.splitlines(keepends=True)) if is_open else ()
            given = requests_file if is_open and requests_file is not None else b""
            found.append(BatchFiles(name, *begun(given), state, lines, len(results)))
        again = Batches(self.disk)
        assert again.relay.front.storeroom.restore(StoredAtStart((), tuple(found))) == []
        again.now = self.now
        again.take(again.relay.start(again.now))
        return again


def test_a_batch_runs_and_its_results_are_there_when_it_has_ended() -> None:
    world = Batches()
    batch = world.batch()
    state = world.state(batch)
    assert (state["processing_status"], state["results_url"], state["ended_at"]) == ("in_progress", None, None)
    assert state["request_counts"] == {"processing": 3, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    assert state["expires_at"] != state["created_at"]
    world.run_on()
    state = world.state(batch)
    assert state["processing_status"] == "ended"
    assert state["request_counts"] == {"processing": 0, "succeeded": 3, "errored": 0, "canceled": 0, "expired": 0}
    assert state["results_url"] == f"http://127.0.0.1:7421/v1/messages/batches/{batch}/results"
    assert world.results(batch) == dict.fromkeys(("r0", "r1", "r2"), "succeeded")
    client = world.send("GET", f"/v1/messages/batches/{batch}/results")
    assert [(o.client, o.path) for o in world.sent] == [(client, results_path(batch))]
    assert requests_path(batch) not in world.disk.files, "the prompts go with the end"
    message = json.loads(world.disk.files[results_path(batch)].splitlines()[0])["result"]["message"]
    assert (message["type"], message["content"][0]["text"]) == ("message", "ok")


def test_a_batch_uses_one_process_again_and_again_and_leaves_the_others_to_live_calls() -> None:
    """Its own was putting the last turn away, so it took up another one, and live calls met processes that had forgotten
    what they had answered last.
    """
    world = Batches(typing=True, witness=True, idle=0, kept=2, max=3, batch_processes=1)
    first, second = (running(world, text) for text in ("one", "two"))
    for session in (first, second):
        world.finish(session.slot)
        world.now += 1
    world.batch()
    for _ in range(3):
        assert world.at_work == [first.slot]
        carry(world, first)
        world.finish(first.slot)
    assert second.state is State.KEPT


def test_a_new_batch_is_answered_when_it_is_on_disk() -> None:
    world = Batches()
    world.held = []
    client = world.send("POST", "/v1/messages/batches", requests())
    assert not [o for o in world.orders if isinstance(o, do.Respond)]
    world.release()
    assert world.answer(client)[0] == 200
    world.disk.is_full = True
    assert world.error("POST", "/v1/messages/batches", requests()) == (
        500,
        "the batch could not be stored: No space left on device",
    )


WRONG: dict[str, tuple[Any, str]] = {
    "none": ({}, "requests: Field required"),
    "no list": ({"requests": {}}, "requests: Input should be a valid list"),
    "empty": ({"requests": []}, "requests: List should have from 1 to 100000 items after validation, not 0"),
    "no object": ({"requests": [5]}, "requests.0: Input should be an object"),
    "no id": ({"requests": [{"params": {}}]}, "requests.0.custom_id: Field required"),
    "an odd id": (
        {"requests": [{"custom_id": "a b", "params": {}}]},
        "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
    ),
    "no params": ({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required"),
    "twice": ({"requests": [{"custom_id": "a", "params": {}}] * 2}, "requests: each custom_id must be unique within the batch"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_batch_is_refused(name: str) -> None:
    value, message = WRONG[name]
    assert Batches().error("POST", "/v1/messages/batches", value) == (400, message)


def test_what_is_wrong_in_one_request_is_its_own_error() -> None:
    world = Batches()
    wrong = {
        "stream": params(stream=True),
        "thread": params(thread={"type": "create"}),
        "no-tokens": params() | {"max_tokens": 0},
        "no-model": {"max_tokens": 5, "messages": []},
        "file": params() | {"messages": picture("file_none")},
        "right": params("right"),
        "deep": params(metadata={"a": {}}),
    }
    batch = world.batch({"requests": [{"custom_id": name, "params": value} for name, value in wrong.items()]})
    world.run_on()
    assert world.state(batch)["request_counts"] == {"processing": 0, "succeeded": 2, "errored": 5, "canceled": 0, "expired": 0}
    found = {}
    for line in map(json.loads, world.disk.files[results_path(batch)].splitlines()):
        if line["result"]["type"] == "errored":
            assert line["result"]["error"]["type"] == "error"
            error = line["result"]["error"]["error"]
            found[line["custom_id"]] = (error["type"], error["message"])
    assert found == {
        "stream": ("invalid_request_error", "stream: not supported in a batch"),
        "thread": ("invalid_request_error", "thread: not supported in a batch"),
        "no-tokens": ("invalid_request_error", "max_tokens: Input should be greater than or equal to 1"),
        "no-model": ("invalid_request_error", "model: Field required"),
        "file": ("not_found_error", "File `file_none` not found."),
    }


def test_requests_name_files_too() -> None:
    world = Batches()
    file = world.upload()["id"]
    batch = world.batch({"requests": [{"custom_id": "a", "params": params() | {"messages": picture(file)}}]})
    world.run_on()
    assert "base64" in world.sent_text()
    assert world.results(batch) == {"a": "succeeded"}


# Never before others


def test_a_request_starts_only_while_nobody_waits_and_leaves_a_process() -> None:
    world = Batches(max=4, idle=1, batch_processes=10)
    world.batch(requests(10))
    assert len(world.at_work) == 3
    live = world.ask()
    world.boot()
    assert world.slot_of(live)
    second = world.ask()  # every process is at work: it waits, and nothing of a batch comes before it
    world.finish(world.at_work[0])
    assert len(world.at_work) == 2
    world.die(next(s.slot for s in world.relay.pool.sessions.values() if not s.is_live))
    assert world.slot_of(second)
    world.boot()
    world.wait(1.0)
    assert len(world.at_work) == 2, "two calls of others are at work, and one process stays free"
    for client in (live, second):
        world.finish(world.slot_of(client))
    world.bury()
    world.boot()
    assert len(world.at_work) == 3


def test_nothing_starts_while_a_call_waits_for_a_process_that_ends() -> None:
    world = Batches(max=3, idle=3)
    world.boot()
    world.ask(model="claude-opus-5-5")
    assert len(world.relay.calls.queue) == 1
    world.batch(requests(1))
    assert not [c for c in world.relay.calls.by_number.values() if c.is_background]


def test_so_many_run_at_once_as_the_configuration_says() -> None:
    world = Batches(max=10, idle=1, batch_processes=2)
    world.batch(requests(10))
    assert len(world.at_work) == 2


def test_where_there_is_one_process_a_batch_runs_while_nobody_else_does() -> None:
    world = Batches(max=1, idle=0)
    live = world.ask()
    batch = world.batch(requests(1))
    assert world.at_work == []
    world.boot()
    slot = world.slot_of(live)
    world.finish(slot)
    world.die(slot)
    world.run_on()
    assert world.results(batch) == {"r0": "succeeded"}


def test_a_call_comes_before_requests_of_batches_that_wait_already() -> None:
    """A request of a batch that lost its process goes back into the queue: a call that comes then is the first all the same."""
    world = Batches(max=3, idle=0)
    world.batch(requests(2))
    assert len(world.at_work) == 2
    world.boot()
    calls = world.relay.engine.calls
    lost = [c for c in calls.by_number.values() if c.is_background]
    for call in lost:
        world.take(calls.enqueue(call, world.now))
    live = [world.ask(), world.ask()]
    order = [calls.by_number[n].client for n in calls.queue]
    assert [c for c in order if c > 0] == order[: len([c for c in order if c > 0])]
    assert len(live) == 2


def test_batches_take_turns() -> None:
    world = Batches(max=2, idle=1, batch_processes=1)
    first, second = world.batch(requests(20)), world.batch(requests(2))
    while world.state(second)["processing_status"] != "ended":
        world.run_on(1)
    assert len(world.results(first)) <= 3


def test_a_turn_of_a_batch_that_asks_for_tools_holds_no_process() -> None:
    """Nobody will bring the results: parked, it would keep its process from everybody else for ten minutes."""
    sim = Simulation(parked_limit_s=600.0)
    sim.run(2.0)
    made = [{"custom_id": f"r{n}", "params": params("tool x", tools=[TOOL])} for n in range(3)]
    client = sim.call("POST", "/v1/messages/batches", {"requests": made})
    sim.run(20.0)
    batch = json.loads(sim.replies[client].body)["id"]
    results = [json.loads(line)["result"] for line in sim.disk.files[results_path(batch)].splitlines()]
    assert [r["message"]["stop_reason"] for r in results] == ["tool_use"] * 3
    assert not [s for s in sim.relay.pool.sessions.values() if s.state is State.PARKED]
    assert sim.faults == []


# Not now


def refuse(world: Batches, error: ApiError) -> None:
    """What runs ends with this error."""
    for call in [c for c in world.relay.calls.by_number.values() if c.is_background]:
        world.take(world.relay.front.storeroom.catch(world.relay.engine.driver.end_call(call, error, world.now), world.now))
    world.bury()


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        (ApiError(429, "the plan is used up", retry_after_s=7200), 300),
        (ApiError(429, "slow down", retry_after_s=20), 20),
        (ApiError(529, "Overloaded"), 30),
        (ApiError(401, "Please run /login"), 30),
    ],
)
def test_what_says_not_now_puts_a_request_back(error: ApiError, pause_s: float) -> None:
    world = Batches(batch_processes=1)
    batch = world.batch(requests(1))
    for _ in range(3):
        world.boot()
        assert len(world.at_work) == 1
        refuse(world, error)
        world.look(0)
        assert world.at_work == []
        timers = [o.at for o in world.orders if isinstance(o, do.SetTimer) and o.key == RelayTimer(RelayDue.STORED)]
        assert timers[-1] == pytest.approx(world.now + pause_s)
        world.look(pause_s - 1)
        assert world.at_work == []
        world.look(2)
    assert world.results(batch) == {}
    world.run_on()
    assert world.results(batch) == {"r0": "succeeded"}


def test_a_plan_that_is_used_up_stops_a_batch_before_it_costs_anything() -> None:
    from relayd.claude.plan import FIVE_HOURS, Window

    world = Batches(plan_stop_percent=80)
    plan = world.relay.engine.limits.plans[""]
    plan.told((Window(FIVE_HOURS, 85.0, world.now + 4000),), world.now)
    batch = world.batch(requests(2))
    world.boot()
    assert (world.at_work, world.results(batch)) == ([], {})
    for _ in range(20):
        world.look(301)
    world.run_on()
    assert len(world.results(batch)) == 2


def test_an_error_of_relayds_own_is_tried_twice_and_one_of_the_request_is_its_result() -> None:
    world = Batches(batch_processes=1)
    batch = world.batch(requests(2))
    world.boot()
    refuse(world, ApiError(400, "prompt is too long"))
    assert world.results(batch) == {"r0": "errored"}
    world.boot()
    refuse(world, ApiError(500, "it broke"))
    assert len(world.results(batch)) == 1
    world.look(31)
    world.boot()
    refuse(world, ApiError(500, "it broke"))
    assert world.results(batch) == {"r0": "errored", "r1": "errored"}
    assert world.state(batch)["processing_status"] == "ended"


def test_what_fails_while_the_daemon_ends_is_no_result() -> None:
    failed = do.Respond(-1, 500, [], b"{}")
    assert reply.judge(failed, reply.TRIES_MAX, True) == reply.Later(0.0)
    assert isinstance(reply.judge(failed, reply.TRIES_MAX, False), reply.Result)


def test_a_request_that_finds_no_process_in_time_waits_again() -> None:
    world = Batches(max=2, idle=0, batch_processes=1)
    batch = world.batch(requests(1))
    (call,) = world.relay.calls.by_number.values()
    world.tell(ev.TimerFired(CallTimer(call.number, CallDue.QUEUE)))
    world.look(60)
    world.run_on()
    assert world.results(batch) == {"r0": "succeeded"}


def test_the_key_of_a_batch_counts_when_a_request_runs() -> None:
    world = Batches()
    batch = world.batch(requests(1), key="k1")
    assert world.error("GET", f"/v1/messages/batches/{batch}", key="k2")[0] == 404
    assert world.error("GET", f"/v1/messages/batches/{batch}")[0] == 404
    assert world.value("GET", "/v1/messages/batches", key="k2")["data"] == []
    world.boot()
    assert [c.key for c in world.relay.calls.by_number.values()] == ["one"]
    refuse(world, ApiError(529, "Overloaded"))
    world.tell(ev.KeysChanged("", b""))
    world.look(60)
    line = json.loads(world.disk.files[results_path(batch)])
    assert line["result"]["error"]["error"]["type"] == "permission_error"


# Ends


def test_a_canceled_batch_starts_nothing_and_what_runs_may_finish() -> None:
    world = Batches(batch_processes=2)
    batch = world.batch(requests(5))
    world.boot()
    assert len(world.at_work) == 2
    state = world.value("POST", f"/v1/messages/batches/{batch}/cancel")
    assert (state["processing_status"], state["cancel_initiated_at"] is None) == ("canceling", False)
    assert world.value("POST", f"/v1/messages/batches/{batch}/cancel")["processing_status"] == "canceling"
    assert world.error("DELETE", f"/v1/messages/batches/{batch}")[0] == 400
    assert world.error("GET", f"/v1/messages/batches/{batch}/results")[0] == 400
    world.run_on()
    assert sorted(world.results(batch).values()) == ["canceled"] * 3 + ["succeeded"] * 2
    assert world.state(batch)["request_counts"]["canceled"] == 3
    assert world.error("POST", f"/v1/messages/batches/{batch}/cancel")[0] == 400
    assert world.value("DELETE", f"/v1/messages/batches/{batch}") == {"id": batch, "type": "message_batch_deleted"}
    assert world.error("GET", f"/v1/messages/batches/{batch}") == (404, f"Message Batch `{batch}` not found.")
    assert world.disk.files == {}


def test_after_a_day_what_has_not_run_is_expired() -> None:
    world = Batches(batch_processes=1)
    batch = world.batch(requests(3))
    world.boot()
    world.look(DAY_S + 1)
    world.run_on()
    assert sorted(world.results(batch).values()) == ["expired", "expired", "succeeded"]
    assert world.state(batch)["processing_status"] == "ended"


def test_an_ended_batch_goes_when_it_was_kept_for_long_enough() -> None:
    world = Batches(stored_kept_s=3600.0)
    batch = world.batch(requests(1))
    world.run_on()
    world.look(3500)
    assert world.state(batch)["id"] == batch
    world.look(200)
    assert world.disk.files == {}
    assert world.value("GET", "/v1/messages/batches")["data"] == []


def test_a_list_has_pages() -> None:
    world = Batches()
    batches = []
    for _ in range(3):
        world.now += 1
        batches.append(world.batch(requests(1)))
    page = world.value("GET", "/v1/messages/batches?limit=2")
    assert ([b["id"] for b in page["data"]], page["has_more"]) == ([batches[2], batches[1]], True)
    page = world.value("GET", f"/v1/messages/batches?limit=2&after_id={page['last_id']}")
    assert ([b["id"] for b in page["data"]], page["has_more"], page["first_id"]) == ([batches[0]], False, batches[0])
    empty = world.value("GET", f"/v1/messages/batches?after_id={batches[0]}")
    assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], None, None)


def test_batches_are_limited_in_count_in_bytes_and_in_requests_that_wait() -> None:
    world = Batches(batches_max=2, stored_max_bytes=3000)
    world.batch(requests(1))
    assert world.error("POST", "/v1/messages/batches", requests(30))[0] == 413
    world.batch(requests(1))
    assert world.error("POST", "/v1/messages/batches", requests(1))[0] == 429
    many = {"requests": [{"custom_id": str(n), "params": {}} for n in range(100_000)]}
    world = Batches(batch_processes=1, plan_stop_percent=1)
    world.held = []
    for _ in range(2):
        world.send("POST", "/v1/messages/batches", many)
    assert world.error("POST", "/v1/messages/batches", requests(1))[0] == 429


def test_results_that_fill_the_room_stop_a_batch_until_there_is_room_again() -> None:
    world = Batches(batch_processes=1)
    old = world.batch(requests(1))
    world.run_on()
    batch = world.batch(requests(2))
    world.boot()
    world.relay.front.storeroom._batches.book.find(batch).size_bytes = 2 * world.config.stored_max_bytes  # type: ignore[union-attr]
    world.run_on()
    assert len(world.results(batch)) == 1
    world.relay.front.storeroom._batches.book.find(batch).size_bytes = 100  # type: ignore[union-attr]
    world.value("DELETE", f"/v1/messages/batches/{old}")
    world.run_on()
    assert len(world.results(batch)) == 2


# The disk, and the end of the daemon


def test_results_that_the_disk_does_not_take_are_written_later() -> None:
    world = Batches(batch_processes=1)
    batch = world.batch(requests(2))
    world.boot()
    world.disk.is_full = True
    world.run_on(3)
    assert world.results(batch) == {}
    assert world.at_work == [], "nothing is asked whose result could not be kept"
    world.disk.is_full = False
    world.look(11)
    world.run_on()
    assert world.results(batch) == {"r0": "succeeded", "r1": "succeeded"}
    assert world.state(batch)["processing_status"] == "ended"


def test_a_request_that_cannot_be_read_is_tried_again() -> None:
    world = Batches(batch_processes=1)
    world.held = []
    client = world.send("POST", "/v1/messages/batches", requests(1))
    world.release()
    batch = world.answer(client)[1]["id"]
    refuse(world, ApiError(529, "Overloaded"))
    kept = world.disk.files.pop(requests_path(batch))
    world.look(31)
    assert world.at_work == []
    world.disk.files[requests_path(batch)] = kept
    world.look(AGAIN_S + 1)
    world.run_on()
    assert world.results(batch) == {"r0": "succeeded"}


def test_the_end_of_the_daemon_is_no_result() -> None:
    world = Batches(batch_processes=2)
    batch = world.batch(requests(4))
    world.boot()
    world.tell(ev.ShutdownAsked())
    world.finish(world.at_work[0])
    world.tell(ev.TimerFired(RelayTimer(RelayDue.FORCE)))
    assert world.results(batch) == {"r0": "succeeded"}
    again = world.restarted()
    again.run_on()
    assert again.results(batch) == dict.fromkeys(("r0", "r1", "r2", "r3"), "succeeded")


@pytest.mark.parametrize("seed", range(20))
def test_wherever_the_daemon_dies_nothing_is_lost_and_nothing_is_twice(seed: int) -> None:
    """It dies after a random number of steps, with facts from the disk still on their way, perhaps in the middle of a cancel."""
    chance = random.Random(seed)
    world = Batches(Disk(), batch_processes=chance.choice((1, 2)))
    batch = world.batch(requests(6))
    for _ in range(4):
        for _ in range(chance.randint(0, 4)):
            world.boot()
            if chance.random() < 0.3:
                world.held = world.held or []
            if chance.random() < 0.1 and world.state(batch)["processing_status"] == "in_progress":
                world.send("POST", f"/v1/messages/batches/{batch}/cancel")
            for slot in world.at_work[: chance.randint(0, 2)]:
                world.finish(slot)
                world.die(slot)
        world = world.restarted()
    world.run_on()
    assert sorted(world.results(batch)) == [f"r{n}" for n in range(6)]
    assert world.state(batch)["processing_status"] == "ended"
    assert sum(world.state(batch)["request_counts"].values()) == 6
    assert sorted(world.disk.files) == sorted([results_path(batch), state_path(batch)])
    after = world.restarted()
    assert after.state(batch) == world.state(batch)


@pytest.mark.parametrize(
    "files",
    [
        BatchFiles("a"),
        BatchFiles("a", b"{}\n"),
        BatchFiles("a", b"x"),
        BatchFiles("a", state=b'{"id":"a"}'),
        BatchFiles("a", state=b"null"),
    ],
)
def test_what_is_no_batch_is_left_alone(files: BatchFiles) -> None:
    assert Batches().relay.front.storeroom.restore(StoredAtStart((), (files,))) == ["a"]


def test_a_batch_that_is_not_whole_or_has_another_name_is_none() -> None:
    world = Batches()
    batch = world.batch(requests(2))
    data = world.disk.files[requests_path(batch)]
    for cut in (data[:-1], data[: data.rstrip().rfind(b"\n") + 1], data.replace(b'"params"', b'"x"')):
        assert Batches().relay.front.storeroom.restore(StoredAtStart((), (BatchFiles(batch, *begun(cut)),))) == [batch]
    assert Batches().relay.front.storeroom.restore(StoredAtStart((), (BatchFiles("x", *begun(data)),))) == ["x"]
    odd = world.relay.front.storeroom._batches.book.find(batch)
    assert odd is not None
    odd.counts["nonsense"] = 1
    assert Batches().relay.front.storeroom.restore(StoredAtStart((), (BatchFiles(batch, state=odd.head(5)),))) == [batch]
