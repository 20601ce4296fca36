"""The fallback without a socket: which failures lead there, what is sent, what is made of what comes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd import fallback_url
from relayd.claude.capabilities import Capabilities
from relayd.config import load
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core import fallback_reasons
from relayd.core.fallback import FORWARDS_MAX
from relayd.core.fallback_reasons import Reason
from relayd.core.forwarded import WHOLE_MAX_BYTES, Forwarded, Unusable
from relayd.core.original import Original
from relayd.core.session.states import State
from relayd.core.timers import CallDue, CallTimer, SlotDue, SlotTimer
from relayd.errors import KIND_BY_STATUS, ApiError, ConfigError
from relayd.http.messages import HttpRequest
from tests.core.test_http_api import value
from tests.core.test_pool_and_relay import HEADERS, World
from tests.core.test_roads import TOOL, asks_for_a_tool, result
from tests.other_side import event, events, message

JSON, SSE = {"content-type": "application/json"}, {"content-type": "text/event-stream; charset=utf-8"}
LIMIT = ApiError(429, "all used up", by_api=True)


@pytest.mark.parametrize("status", [*KIND_BY_STATUS, 431])
def test_the_table_of_reasons(status: int) -> None:
    api = {401: Reason.LOGGED_OUT, 403: Reason.LOGGED_OUT, 402: Reason.LIMITED, 429: Reason.LIMITED}
    ours = {401: Reason.LOGGED_OUT, 500: Reason.BROKEN, 504: Reason.BROKEN}
    assert fallback_reasons.reason(ApiError(status, "", by_api=True)) is api.get(status)
    assert fallback_reasons.reason(ApiError(status, "")) is ours.get(status)


# What is sent


def original(body: bytes = b'{"model":"m"}', model: str = "m", query: str = "", **headers: str) -> Original:
    return Original(body, {"model": model}, "m", query, {name.replace("_", "-"): text for name, text in headers.items()})


def test_the_body_is_the_clients_own_unless_its_model_has_another_name_there() -> None:
    body = b'{ "model" : "m" }'
    assert original(body).body_for("x*=y") is body
    assert json.loads(original(body).body_for("m=there")) == {"model": "there"}
    assert json.loads(original(body, "meant").body_for("")) == {"model": "meant"}
    assert json.loads(original(body, "meant").body_for("m=wrong,meant=there")) == {"model": "there"}


def test_of_the_headers_only_those_go_on_that_name_the_api() -> None:
    found = original(authorization="Bearer x", cookie="a=b", anthropic_beta="one", x_api_key="k").passed_headers()
    assert dict(found) == {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "one",
        "content-type": "application/json",
        "x-relayd-fallback": "1",
    }
    assert "anthropic-beta" not in dict(original(anthropic_beta="b\u00e4d").passed_headers())


@pytest.mark.parametrize(("query", "target"), [("", ""), ("beta=true", "?beta=true"), ("a=\u00e4", ""), ("a b", "")])
def test_a_query_goes_on_if_it_is_one(query: str, target: str) -> None:
    assert original(query=query).target == f"/v1/messages{target}"


# What is made of what comes


def fed(pieces: list[bytes], status: int = 200, headers: dict[str, str] = JSON, is_stream: bool = False) -> Forwarded:
    found = Forwarded(is_stream, LIMIT)
    found.head(status, headers)
    for piece in pieces:
        found.data(piece)
    return found


def test_a_whole_message_is_passed_on_byte_for_byte() -> None:
    body = json.dumps(message("hi", extra={"kept": True}), indent=2).encode()
    whole = fed([body[:10], body[10:]]).whole()
    assert whole.body == body
    assert (whole.answer.stop_reason, whole.answer.usage.as_json()["output_tokens"]) == ("end_turn", 2)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"5", b'{"type": "completion", "content": []}', b'{"type": "message"}', b"x" * 10]
)
def test_what_is_no_message_is_none(body: bytes) -> None:
    with pytest.raises(Unusable, match="no message"):
        fed([body]).whole()


def test_a_whole_answer_has_a_largest_size() -> None:
    found = fed([b"x" * WHOLE_MAX_BYTES])
    with pytest.raises(Unusable, match="too large"):
        found.data(b"x")


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (201, JSON, "status 201"),
        (302, JSON, "status 302"),
        (600, JSON, "status 600"),
        (200, {}, "type of content"),
        (200, SSE, "type of content"),
        (200, {"content-type": "text/html"}, "type of content"),
        (200, JSON | {"content-encoding": "br"}, "compressed"),
        (429, JSON | {"content-encoding": "gzip"}, "compressed"),
    ],
)
def test_heads_that_are_none_of_an_answer(status: int, headers: dict[str, str], words: str) -> None:
    with pytest.raises(Unusable, match=words):
        Forwarded(False, LIMIT).head(status, headers)


def test_a_stream_goes_on_event_by_event_and_tells_its_counts() -> None:
    found = Forwarded(True, LIMIT)
    found.head(200, SSE)
    data = b"".join(events("one two"))
    shown = [found.data(data[n : n + 1]) for n in range(len(data))]
    assert [piece for piece in shown if piece] == events("one two")
    assert found.is_over
    answer = found.answer()
    usage = answer.usage.as_json()
    assert (answer.model, answer.stop_reason, usage["input_tokens"], usage["output_tokens"]) == ("other-model", "end_turn", 7, 9)
    assert found.data(b"data: {}\n\n") == b""
    assert "over=True" in repr(found)


@pytest.mark.parametrize(
    "piece", [b"data: {\n\n", b"data: []\n\n", b'data: {"choices": []}\n\n', event("message_stop"), event("content_block_stop")]
)
def test_streams_that_are_none_of_this_api(piece: bytes) -> None:
    with pytest.raises(Unusable, match="not one of the Messages API"):
        fed([piece], headers=SSE, is_stream=True)


def test_a_stream_that_ends_early_and_one_that_errs() -> None:
    with pytest.raises(Unusable, match="before the answer was complete"):
        fed(events()[:4], headers=SSE, is_stream=True).whole()
    late = fed([*events()[:4], event("error", error={"type": "overloaded_error"})], headers=SSE, is_stream=True)
    assert (late.is_over, late.error) == (True, "overloaded_error")
    kinds = (
        ({"type": "overloaded_error", "message": "m"}, 529, "m"),
        ({}, 500, "the stream failed"),
        ({"type": "teapot"}, 502, "the stream failed"),  # a kind that the API does not have
    )
    for error, status, words in kinds:
        with pytest.raises(ApiError) as found:
            fed([event("error", error=error)], headers=SSE, is_stream=True)
        assert (found.value.status, found.value.message) == (status, words)


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (429, {"error": {"message": "slow down"}}, 429, "slow down"),
        (418, {"error": "teapot"}, 400, "teapot"),
        (522, [], 502, "it answered with HTTP status 522"),
        (500, {"error": {"message": 5}}, 500, "it answered with HTTP status 500"),
        (404, {"error": {"message": "x" * 5000}}, 404, "x" * 1000),
    ],
)
def test_errors_keep_their_status_and_words(status: int, body: Any, expected: int, words: str) -> None:
    for is_stream in (False, True):
        with pytest.raises(ApiError) as found:
            fed([json.dumps(body).encode()], status, JSON | {"retry-after": "7"}, is_stream).whole()
        assert (found.value.status, found.value.message, found.value.retry_after_s) == (expected, words, 7)


@pytest.mark.parametrize(
    ("text", "seconds"), [("soon", None), ("-1", None), ("999999", 604_800), ("9" * 50, None), ("\u0663", None)]
)
def test_a_retry_after_that_is_no_number_of_seconds_counts_for_nothing(text: str, seconds: int | None) -> None:
    with pytest.raises(ApiError) as found:
        fed([b"{}"], 429, {"retry-after": text}).whole()
    assert found.value.retry_after_s == seconds


@pytest.mark.parametrize("wrong", ["x" * 50, "a b", 5, None, ["end_turn"]])
def test_no_words_of_the_other_side_get_into_records(wrong: Any) -> None:
    whole = fed([json.dumps(message(stop_reason=wrong)).encode()]).whole()
    assert whole.answer.stop_reason == ""
    late = fed([*events()[:4], event("error", error={"type": wrong})], headers=SSE, is_stream=True)
    assert late.error == "api_error"


# In the hub


def world_of(**flags: Any) -> World:
    world = World(fallback_url="http://127.0.0.1:1", idle=1, **flags)
    world.boot()
    return world


def forwards(orders: list[do.Action]) -> list[do.Forward]:
    return [order for order in orders if isinstance(order, do.Forward)]


def limited(world: World, **fields: Any) -> do.Forward:
    """A call whose process is limited, for whatever is asked; the order that follows."""
    before = len(world.orders)
    fail(world, world.slot_of(world.ask(**fields)))
    (order,) = forwards(world.orders[before:])
    return order


def fail(world: World, slot: str, text: str = "API Error: 429 all used up", name: str = "rate_limit") -> None:
    world.hook(slot, hook_event_name="StopFailure", error=name, last_assistant_message=text)
    if slot in world.relay.pool.sessions and world.relay.pool.sessions[slot].state is State.RUNNING:
        world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.LAG)))  # nothing more comes of it


def answers(orders: list[do.Action]) -> list[do.Respond]:
    return [order for order in orders if isinstance(order, do.Respond)]


def test_a_limited_call_is_sent_elsewhere_and_its_answer_comes_back() -> None:
    world = world_of()
    order = limited(world)
    assert order.target == "/v1/messages"
    assert json.loads(order.body)["messages"] == [{"role": "user", "content": "hi"}]
    body = json.dumps(message()).encode()
    world.tell(ev.UpstreamAnswered(order.call, 200, JSON))
    world.tell(ev.UpstreamSent(order.call, body))
    orders = world.tell(ev.UpstreamEnded(order.call))
    (answer,) = answers(orders)
    assert (answer.client, answer.status, answer.body) == (order.client, 200, body)
    assert ("x-relayd-answered-by", "fallback") in answer.headers
    assert do.StopForward(order.call) in orders
    assert not world.relay.calls.by_number
    assert not world.relay.calls.originals
    assert value(world, "GET", "/v1/status")["statistics"]["roads"] == {"fallback": 1}
    assert world.tell(ev.UpstreamSent(order.call, b"late")) == []


def test_silence_ends_in_the_first_error() -> None:
    world = world_of()
    order = limited(world)
    orders = world.tell(ev.TimerFired(CallTimer(order.call, CallDue.FALLBACK)))
    (answer,) = answers(orders)
    assert answer.status == 429
    assert json.loads(answer.body)["error"]["message"] == (
        "all used up (the fallback gave no answer either: it took too long (turn_limit_s))"
    )
    assert do.StopForward(order.call) in orders
    recent = value(world, "GET", "/v1/status")["recent"][0]
    assert (recent["road"], recent["status"]) == ("waiting", 429), "Claude Code has answered, after all"


def test_a_client_that_leaves_stops_it() -> None:
    world = world_of()
    order = limited(world)
    assert do.StopForward(order.call) in world.tell(ev.ClientLeft(order.client))
    assert not world.relay.calls.by_number
    assert world.tell(ev.UpstreamFailed(order.call, "late")) == []


@pytest.mark.parametrize("can", [Capabilities(refusal="too old"), Capabilities(no_tools="no tools")])
def test_what_claude_cannot_do_at_all_leads_there_and_what_a_request_wants_too_much_does_not(can: Capabilities) -> None:
    world = world_of()
    world.tell(ev.ClaudeChanged("another", can))
    tool = {"name": "t", "input_schema": {"type": "object"}}
    world.ask(tools=[tool])
    assert len(forwards(world.orders)) == (1 if can.refusal else 0)


@pytest.mark.parametrize("flags", [{"x-relayd-fallback": "1"}, {"x-relayd-session": "s"}])
def test_some_calls_are_not_taken(flags: dict[str, str]) -> None:
    world = world_of()
    world.clients += 1
    body = json.dumps({"model": "claude-sonnet-5", "max_tokens": 1024, "messages": [{"role": "user", "content": "hi"}]}).encode()
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", "/v1/messages", "", HEADERS | flags, body)))
    client = world.clients
    fail(world, world.slot_of(client))
    assert forwards(world.orders) == []
    assert [answer.status for answer in answers(world.orders) if answer.client == client] == [429]


def test_no_more_than_so_many_at_once_and_none_at_the_end() -> None:
    world = world_of()
    world.tell(ev.ClaudeChanged("another", Capabilities(refusal="too old")))
    for _ in range(FORWARDS_MAX + 1):
        world.ask()
    assert len(forwards(world.orders)) == FORWARDS_MAX
    assert answers(world.orders)[-1].status == 500
    world.tell(ev.ShutdownAsked())
    assert do.Finish() not in world.orders
    for order in forwards(world.orders):
        world.tell(ev.UpstreamFailed(order.call, "it broke off"))
    for slot in list(world.relay.pool.sessions):
        world.die(slot)
    assert do.Finish() in world.orders


def test_a_bug_costs_the_call_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of()
    order = limited(world)
    monkeypatch.setattr(Forwarded, "head", lambda *args: 1 / 0)
    (answer,) = answers(world.tell(ev.UpstreamAnswered(order.call, 200, JSON)))
    assert answer.status == 500
    assert not world.relay.calls.by_number


# The keys


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "ftp://h",
        "https://",
        "https://u:p@h",
        "https://h?x=1",
        "https://h#x",
        "http://8.8.8.8",
        "https://h:0",
        "https://h:99999",
    ]
    + [
        "https://h\u00e4",
        "https://h/a b",
        "http://127.0.0.1:7421",
        "https://" + "h" * 600,
        "http://[::1",
        "http://localhost:7421",
    ],
)
def test_urls_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="fallback_url"):
        load("", {}, {"fallback_url": text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.anthropic.com", ("https", "api.anthropic.com", 443, "", "api.anthropic.com")),
        ("https://api.anthropic.com/v1/", ("https", "api.anthropic.com", 443, "", "api.anthropic.com")),
        ("http://192.168.1.5:11434", ("http", "192.168.1.5", 11434, "", "192.168.1.5:11434")),
        ("http://[::1]:80/a/b", ("http", "::1", 80, "/a/b", "[::1]")),
        ("http://nas.local:8080", ("http", "nas.local", 8080, "", "nas.local:8080")),
    ],
)
def test_urls_that_are_taken(text: str, expected: tuple[str, str, int, str, str]) -> None:
    assert load("", {}, {"fallback_url": text}).fallback_url == text
    url = fallback_url.parsed(text)
    assert (url.scheme, url.host, url.port, url.path, url.authority) == expected


def test_other_keys_that_are_wrong() -> None:
    for flags, key in (
        ({"fallback_key_variable": "a-b"}, "fallback_key_variable"),
        ({"fallback_key_variable": "A", "fallback_key_file": "/b"}, "fallback_key_file"),
        ({"fallback_models": "gpt"}, "fallback_models"),
        ({"fallback_key_header": "cookie"}, "fallback_key_header"),
    ):
        with pytest.raises(ConfigError, match=key):
            load("", {}, flags)
    assert load("", {}, {"fallback_url": "http://8.8.8.8", "fallback_plain": True}).fallback_plain


# Results of tools belong to the process that waits for them


def test_results_go_to_the_process_that_waits_for_them_even_while_a_limit_is_known() -> None:
    world = world_of()
    asks_for_a_tool(world)
    world.relay.engine.limits.rates.failed("claude-sonnet-5", ApiError(429, "used up", retry_after_s=3600), world.now)
    client = world.ask(messages=result(), tools=[TOOL])
    assert forwards(world.orders) == []
    assert world.answer(client)[0] == 429
    other = world.ask("not a result")
    assert [order.client for order in forwards(world.orders)] == [other]


def test_a_parked_turn_that_fails_is_taken_only_if_its_process_is_lost() -> None:
    world = world_of()
    slot, _ = asks_for_a_tool(world)
    client = world.ask(messages=result(), tools=[TOOL])
    fail(world, slot)
    assert forwards(world.orders) == []
    assert world.answer(client)[0] == 429
    world = world_of()
    slot, _ = asks_for_a_tool(world)
    client = world.ask(messages=result(), tools=[TOOL])
    world.die(slot)
    world.boot()
    fail(world, world.slot_of(client))  # another process was given the whole conversation, and is limited
    (order,) = forwards(world.orders)
    assert json.loads(order.body)["messages"] == result()
