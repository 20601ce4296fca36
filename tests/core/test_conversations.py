"""Sticky sessions and message threads, driven by facts alone: what is kept, in which order, and for how long."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.http.messages import HttpRequest
from tests.core.test_pool_and_relay import HEADERS, World

QUIET = {"idle": 0, "max": 5}


class Client(World):
    """A world with clients that name conversations. `say` returns the client's number."""

    def call(self, method: str, path: str, value: Any = None, **headers: str) -> int:
        self.clients += 1
        fields = HEADERS | {k.replace("_", "-"): v for k, v in headers.items()}
        data = json.dumps(value).encode() if value is not None else b""
        self.tell(ev.RequestArrived(self.clients, HttpRequest(method, path, "", fields, data)))
        return self.clients

    def say(self, text: Any, session: str = "", **fields: Any) -> int:
        content = text if isinstance(text, list) else [{"role": "user", "content": text}]
        value = {"model": "claude-sonnet-4-6", "max_tokens": 1024, "messages": content, **fields}
        return self.call("POST", "/v1/messages", value, **({"x_relayd_session": session} if session else {}))

    def get(self, path: str) -> Any:
        return self.answer(self.call("GET", path))[1]

    def done(self, client: int, text: str = "ok") -> dict[str, Any]:
        """The call's turn ends with this text; the client's answer."""
        slot = self.slot_of(client)
        self.boot()
        self.finish(slot, text)
        self.die(slot)
        found: dict[str, Any] = self.answer(client)[1]
        return found

    def transcript(self) -> list[tuple[str, str]]:
        """Role and text of each message that was handed over last."""
        order = next(o for o in reversed(self.orders) if isinstance(o, do.HandOver))
        lines = [json.loads(line) for line in order.transcript.splitlines()]
        messages = [line["message"] for line in lines if "message" in line]
        return [(m["role"], "".join(b["text"] for b in m["content"])) for m in messages]


def test_a_session_remembers_and_the_client_sends_only_what_is_new() -> None:
    world = Client(**QUIET)
    world.done(world.say("one", "s"), "first")
    world.done(world.say("two", "s", system="Be brief."), "second")
    assert world.transcript() == [("user", "one"), ("assistant", "first"), ("user", "two")]
    world.done(world.say("three", "s"))
    assert world.transcript()[-2:] == [("assistant", "second"), ("user", "three")]
    found = world.get("/v1/sessions/s")
    assert (found["messages"], found["busy"], found["model"]) == (6, False, "claude-sonnet-4-6")


def test_a_full_history_is_recognised() -> None:
    world = Client(**QUIET)
    world.done(world.say("one", "s"), "first")
    history = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "first"}, {"role": "user", "content": "two"}]
    world.done(world.say(history, "s"))
    assert world.transcript() == [("user", "one"), ("assistant", "first"), ("user", "two")]


def test_calls_of_one_session_run_in_order_and_others_beside_them() -> None:
    world = Client(**QUIET)
    first, second, third = world.say("a", "s"), world.say("b", "s"), world.say("c", "s")
    other = world.say("x", "t")
    assert len(world.relay.calls.by_number) == 2
    world.done(other)
    world.done(first, "A")
    world.done(second, "B")
    world.done(third, "C")
    assert [text for _, text in world.transcript()] == ["a", "A", "b", "B", "c"]
    assert [s["id"] for s in world.get("/v1/sessions")["data"]] == ["s", "t"]


def test_a_client_that_leaves_does_not_hold_up_those_who_wait() -> None:
    world = Client(**QUIET)
    first, second, third = world.say("a", "s"), world.say("b", "s"), world.say("c", "s")
    world.tell(ev.ClientLeft(second))
    world.tell(ev.ClientLeft(first))
    world.done(third)
    assert world.transcript() == [("user", "c")]


def test_a_call_that_fails_leaves_the_session_as_it_was() -> None:
    world = Client(**QUIET)
    world.done(world.say("one", "s"), "first")
    failed = world.say("two", "s")
    for _ in range(2):  # a process that dies without a word is replaced once
        slot = world.slot_of(failed)
        world.boot()
        world.die(slot)
    assert world.answer(failed)[0] == 500
    world.done(world.say("three", "s"))
    assert world.transcript() == [("user", "one"), ("assistant", "first"), ("user", "three")]


def test_both_headers_name_the_same_session() -> None:
    world = Client(**QUIET)
    world.done(world.say("one", "s"), "first")
    value = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "two"}]}
    world.done(world.call("POST", "/v1/messages", value, x_ir_session_id="s"))
    assert len(world.transcript()) == 3


@pytest.mark.parametrize("name", ["", "x" * 129, "a\x07b", "tab\there"])
def test_names_of_sessions_are_printable_and_short(name: str) -> None:
    world = Client(**QUIET)
    client = world.call("POST", "/v1/messages", {}, x_relayd_session=name)
    assert world.answer(client)[0] == 400


def test_sessions_are_forgotten_when_idle_and_when_deleted() -> None:
    world = Client(**QUIET, session_idle_s=100)
    world.done(world.say("one", "s"))
    world.done(world.say("one", "t"))
    deleted = world.call("DELETE", "/v1/sessions/t")
    assert world.answer(deleted) == (200, {"type": "session_deleted", "id": "t"})
    world.wait(99)
    assert [s["id"] for s in world.get("/v1/sessions")["data"]] == ["s"]
    world.wait(2)
    assert world.get("/v1/sessions")["data"] == []
    world.done(world.say("two", "s"))
    assert world.transcript() == [("user", "two")]


def test_a_session_that_is_deleted_while_it_runs_answers_and_is_gone() -> None:
    world = Client(**QUIET)
    client, waiting = world.say("one", "s"), world.say("two", "s")
    world.call("DELETE", "/v1/sessions/s")
    world.done(client)
    world.done(waiting)
    assert world.transcript() == [("user", "two")]


def test_the_one_used_longest_ago_goes_when_there_are_too_many_or_too_much() -> None:
    world = Client(**QUIET, conversations_max=2)
    for name in "abc":
        world.done(world.say("x", name))
    assert [s["id"] for s in world.get("/v1/sessions")["data"]] == ["c", "b"]
    world = Client(**QUIET, conversations_max_bytes=3000)
    for name in "abc":
        world.done(world.say("x" * 1000, name))
    assert [s["id"] for s in world.get("/v1/sessions")["data"]] == ["c", "b"]


def test_too_many_calls_on_one_session_are_told_so() -> None:
    world = Client(**QUIET, queue_max=2)
    clients = [world.say(str(n), "s") for n in range(4)]
    assert world.answer(clients[-1])[0] == 529


# Threads


def thread(world: Client, text: str, previous: str = "", **fields: Any) -> int:
    value = {"type": "continue", "previous_message_id": previous} if previous else {"type": "create"}
    return world.say(text, thread=value, **fields)


def test_a_thread_goes_on_from_its_latest_answer() -> None:
    world = Client(**QUIET)
    first = world.done(thread(world, "one", system="Be brief."), "first")
    second = world.done(thread(world, "two", first["id"]), "second")
    world.done(thread(world, "three", second["id"]))
    assert [text for _, text in world.transcript()] == ["one", "first", "two", "second", "three"]
    assert world.get("/v1/sessions")["data"] == []


def test_errors_that_sdk_helpers_act_on() -> None:
    world = Client(**QUIET, thread_idle_s=300)

    def refused(client: int) -> tuple[int, str]:
        status, value = world.answer(client)
        return status, value["error"]["details"]["error_code"]

    assert refused(thread(world, "x", "msg_none")) == (404, "thread_not_found")
    first = world.done(thread(world, "one"))
    running = thread(world, "two", first["id"])
    assert refused(thread(world, "two", first["id"])) == (400, "thread_continue_in_flight")
    world.done(running)
    assert refused(thread(world, "two", first["id"])) == (400, "thread_already_continued")
    late = world.done(thread(world, "one"))
    world.wait(301)
    assert refused(thread(world, "x", late["id"])) == (404, "thread_not_found")
    with_system = thread(world, "x", late["id"], system="y")
    assert "system: must be absent" in world.answer(with_system)[1]["error"]["message"]


def test_a_thread_can_be_continued_again_after_a_failure() -> None:
    world = Client(**QUIET)
    first = world.done(thread(world, "one"), "first")
    failed = thread(world, "two", first["id"])
    for _ in range(2):  # a process that dies without a word is replaced once
        slot = world.slot_of(failed)
        world.boot()
        world.die(slot)
    assert world.answer(failed)[0] == 500
    world.done(thread(world, "two", first["id"]))
    assert len(world.transcript()) == 3


def test_threads_that_begin_at_once_have_nothing_in_common() -> None:
    world = Client(**QUIET)
    first, second = thread(world, "one"), thread(world, "two")
    assert world.done(second)["id"] != world.done(first)["id"]
    assert world.relay.engine.conversations.totals()["kept"] == 2  # under the names of their answers, and no other


def test_what_was_continued_weighs_nothing_any_more() -> None:
    """What is left of it says only that it was continued; counted, it would crowd out conversations that are alive."""
    world = Client(**QUIET)
    once = world.done(thread(world, "one"), "first")
    size = world.relay.engine.conversations.totals()["bytes"]
    for _ in range(3):
        once = world.done(thread(world, "x", once["id"]), "y")
    other = Client(**QUIET)
    texts = ["one", "first", "x", "y", "x", "y", "x"]
    whole = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]
    other.done(other.say(whole, thread={"type": "create"}), "y")
    assert world.relay.engine.conversations.totals()["bytes"] == other.relay.engine.conversations.totals()["bytes"] > size
