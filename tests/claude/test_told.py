"""What Claude Code tells: any field of it may change with an update, and nothing malformed gets past its parsers.

Driven through a real `Relay` with a running call, since the damage shows later: in an encoder, an estimate, a record.
"""

from __future__ import annotations

import contextlib
import copy
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic.answer import COUNT_MAX, Usage
from relayd.claude import hooks, mcp, mod, pieces, plan, telemetry
from relayd.claude.transcript import TranscriptReader
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.errors import KIND_BY_STATUS
from relayd.http.messages import HttpRequest
from tests import shapes
from tests.core.test_pool_and_relay import HEADERS, World

CHAT = "/v1/chat/completions"
TOOLS = [{"name": "get", "input_schema": {"type": "object"}}]
CHAT_TOOLS = [{"type": "function", "function": {"name": "get"}}]
CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "mcp__client__get", "input": {"a": 1}}
USAGE: dict[str, Any] = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 2,
    "cache_read_input_tokens": 1,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"thinking_tokens": 1},
    "server_tool_use": {"web_search_requests": 0},
    "service_tier": "standard",
}


def line(*blocks: Any, **fields: Any) -> dict[str, Any]:
    """A transcript line of an answer."""
    message = {"id": "msg_1", "model": "m", "content": list(blocks), "stop_reason": "end_turn", "usage": USAGE} | fields
    return {"type": "assistant", "message": message, "requestId": "req_1"}


def running(stream: bool = True, chat: bool = False, tools: bool = True) -> tuple[World, int, str]:
    """A relay with one call that a process works on: the world, the client, the slot."""
    world = World()
    world.boot()
    world.clients += 1
    value = {"model": "claude-sonnet-4-6", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    value |= {"tools": CHAT_TOOLS if chat else TOOLS} if tools else {}
    path = CHAT if chat else "/v1/messages"
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", path, "", HEADERS, json.dumps(value).encode())))
    client = world.clients
    world.boot()
    return world, client, world.slot_of(client)


def send(world: World, slot: str, door: str, body: bytes) -> int:
    """A POST of Claude Code's; the client's number."""
    world.clients += 1
    secret = world.relay.pool.sessions[slot].spec.secret
    path = f"/{door}/{secret}" + ("/v1/logs" if door == "telemetry" else "")
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", path, "", HEADERS, body)))
    return world.clients


def is_whole(world: World) -> None:
    """No order says that something broke, and everything that was sent can be read."""
    for order in world.orders:
        if isinstance(order, do.Log):
            assert "met a bug" not in order.text, order.text
        elif isinstance(order, do.Respond) and order.body:
            assert order.status == 200 or order.status in KIND_BY_STATUS
            json.loads(order.body)
        elif isinstance(order, do.SendChunk):
            for piece in order.data.decode().split("\n"):
                if piece.startswith("data: {"):
                    json.loads(piece.removeprefix("data: "))


NUMBERS = st.sampled_from([-1, 0, 7, 2**53, 2**53 + 1, 2**64, 10**400, 1.5, 1e300, float("nan"), True])
JSON = st.one_of(
    st.none(), NUMBERS, st.sampled_from(["", "12"]), st.lists(NUMBERS, max_size=1), st.dictionaries(st.just("a"), NUMBERS)
)
SHAPES = [(stream, chat) for stream in (True, False) for chat in (True, False)]


@pytest.mark.parametrize(("stream", "chat"), SHAPES)
@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "toolu_1", "name": "mcp__client__get"},
        {"type": "tool_use", "id": "toolu_1", "name": "mcp__client__get", "input": "{}"},
        {"type": "tool_use", "id": ["toolu_1"], "name": "mcp__client__get", "input": {}},
        {"type": "tool_use", "id": "toolu_1", "input": {}},
        {"type": "text"},
        {"type": "text", "text": 5},
        {"type": "thinking", "thinking": {}},
        {"text": "x"},
        {"type": 5},
        5,
        None,
        "words",
    ],
    ids=lambda value: json.dumps(value) if not isinstance(value, bool) else str(value),
)
def test_a_block_that_lacks_a_part_ends_no_daemon(block: Any, stream: bool, chat: bool) -> None:
    """A `tool_use` without `input` was a KeyError in the encoder, outside every guard: an update that changes one field took the
    daemon down.
    """
    world, _, slot = running(stream, chat)
    world.tell(world.grew(slot, json.dumps(line(block, stop_reason="tool_use")).encode() + b"\n"))
    is_whole(world)
    good = line({"type": "text", "text": "ok"})
    world.hook(slot, hook_event_name="Stop", last_assistant_message="ok")
    world.tell(world.grew(slot, json.dumps(good).encode() + b"\n"))
    is_whole(world)
    assert world.relay.calls.served == 1


@pytest.mark.parametrize("wrong", ["12", None, [], {}, -1, 2**64 - 1, 1e300, 1.5, True])
@pytest.mark.parametrize("name", list(USAGE))
def test_a_count_of_another_type_ends_no_daemon(name: str, wrong: Any) -> None:
    """`usage` with a text for a number was a TypeError in the estimate that learns from it, outside every guard."""
    world, client, slot = running(stream=False, tools=False)
    usage = USAGE | {name: wrong, "cache_creation": USAGE["cache_creation"] | {"ephemeral_1h_input_tokens": wrong}}
    world.hook(slot, hook_event_name="Stop", last_assistant_message="ok")
    world.tell(world.grew(slot, json.dumps(line({"type": "text", "text": "ok"}, usage=usage)).encode() + b"\n"))
    status, body = world.answer(client)
    assert (status, body["stop_reason"]) == (200, "end_turn")
    is_whole(world)


@given(st.dictionaries(st.sampled_from([*USAGE, "unheard"]), JSON))
def test_usage_is_total(fields: dict[str, Any]) -> None:
    found = Usage(fields).as_json()
    plain = Usage().as_json()
    assert set(found) == set(plain)
    for name, default in plain.items():
        if isinstance(default, int):
            assert isinstance(found[name], int)
            assert 0 <= found[name] <= COUNT_MAX
        elif default is not None:
            assert isinstance(found[name], type(default))


@pytest.mark.parametrize("depth", [300, 1000])
def test_an_input_deeper_than_the_writer_takes_is_skipped(depth: int) -> None:
    """The parser takes 1,024 levels and the writer 254: what the model has written could not be handed on."""
    reader = TranscriptReader()
    deep = json.dumps(line(CALL | {"input": "HERE"})).replace('"HERE"', '{"a":' * depth + "1" + "}" * depth)
    assert reader.feed(deep.encode() + b"\n") == []
    assert reader.skipped == 1
    world, _, slot = running()
    world.tell(world.grew(slot, deep.encode() + b"\n"))
    is_whole(world)


def test_a_long_line_is_not_copied_with_each_piece() -> None:
    """Each piece of a line was joined to all before it: a line of 60 MB cost seconds of copying."""
    reader = TranscriptReader()
    reader.feed(b"x" * 4_000_000)
    tracemalloc.start()
    try:
        for _ in range(10):
            assert reader.feed(b"x" * 1000) == []
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000
    data = json.dumps(line({"type": "text", "text": "a"})).encode()
    assert reader.feed(b"\n" + data[:50]) == []
    assert reader.skipped == 1
    assert len(reader.feed(data[50:] + b"\n")) == 1


@pytest.mark.parametrize(
    ("door", "body"),
    [
        ("mcp", b'{"id":{"a":%s},"method":"ping"}' % (b"[" * 300 + b"]" * 300)),
        ("mcp", b'{"id":1,"method":"initialize","params":[1]}'),
        ("mcp", b'{"id":1,"method":"initialize","params":{"protocolVersion":%s}}' % (b"[" * 1000 + b"]" * 1000)),
        ("mcp", b'{"id":1,"method":"tools/call","params":{"_meta":{"claudecode/toolUseId":%s}}}' % (b"[" * 1000 + b"]" * 1000)),
        ("mcp", b'{"id":1,"method":%s}' % (b"[" * 1000 + b"]" * 1000)),
        ("mcp", b"[]"),
        ("hooks", b'{"hook_event_name":"MessageDisplay","message_id":"m","index":1e300,"final":true,"delta":"x"}'),
        ("hooks", b'{"hook_event_name":"MessageDisplay","message_id":"m","index":"x","final":true,"delta":"x"}'),
        ("hooks", b'{"hook_event_name":"Stop","last_assistant_message":%s}' % (b"[" * 1000 + b"]" * 1000)),
        ("hooks", b'{"hook_event_name":%s}' % (b"[" * 1000 + b"]" * 1000)),
        ("telemetry", b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[{"key":[],"value":{"x":1}}]}]}]}]}'),
        ("telemetry", b'{"resourceLogs":{"scopeLogs":5}}'),
    ],
)
def test_a_message_of_the_wrong_shape_is_told_so(door: str, body: bytes) -> None:
    """Nested ids and names were a RecursionError or a TypeError, so a 500 with a traceback that quotes what was sent."""
    world, _, slot = running()
    client = send(world, slot, door, body)
    is_whole(world)
    found = [o.status for o in world.orders if isinstance(o, do.Respond) and o.client == client]
    assert found in ([200], [400])


def test_a_count_of_hundreds_of_digits_in_telemetry_is_none() -> None:
    """It passed as a number, and the JSON writer takes no wider ones than 64 bits."""
    (fact,) = telemetry.read(json.dumps(export(input_tokens="9" * 400, output_tokens=2**64 - 1)).encode())
    assert isinstance(fact, telemetry.RequestDone)
    assert (fact.usage["input_tokens"], fact.usage["output_tokens"]) == (0, 0)


# Their kinds


def export(**fields: Any) -> dict[str, Any]:
    """A telemetry export of one finished request."""
    found = {"event.name": "api_request", "query_source": "repl_main_thread", "model": "m", "request_id": "req_1"} | fields
    attributes = [{"key": k, "value": {"intValue" if isinstance(v, int) else "stringValue": v}} for k, v in found.items()]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": attributes}]}]}]}


def shown(index: int, final: bool, delta: str) -> tuple[str, Any]:
    fields = {"message_id": "u1", "index": index, "final": final, "delta": delta}
    return "hooks", {"hook_event_name": "MessageDisplay", **fields}


def told(first: int, *pieces: dict[str, Any]) -> tuple[str, Any]:
    """A post of the mod."""
    return "pieces", {"step": 0, "from": first, "pieces": list(pieces)}


STORIES: list[list[tuple[str, Any]]] = [
    [
        told(0, {"kind": "thinking", "index": 0, "text": "hm", "ref": 3}, {"kind": "text", "index": 1, "text": "he", "ref": 4}),
        ("transcript", line({"type": "thinking", "thinking": "hm", "signature": "c2ln"}, stop_reason=None)),
        told(2, {"kind": "tool", "index": 2, "id": "toolu_1", "name": "mcp__client__get", "ref": 5}),
        told(3, {"kind": "input", "index": 2, "json": '{"a": 1}', "ref": 6}, {"kind": "stop", "stopReason": "tool_use"}),
        shown(0, True, "he"),
        ("transcript", line({"type": "text", "text": "he"}, stop_reason=None)),
        ("transcript", line(CALL, stop_reason="tool_use")),
        ("mcp", {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}),
        (
            "mcp",
            {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"_meta": {"claudecode/toolUseId": "toolu_1"}}},
        ),
    ],
    [
        shown(0, False, "he\n"),
        shown(1, True, "llo"),
        ("hooks", {"hook_event_name": "Stop", "last_assistant_message": "he\nllo"}),
        ("telemetry", export(input_tokens=3, output_tokens="5", cache_creation_5m_tokens=1)),
        ("transcript", line({"type": "thinking", "thinking": "hm", "signature": "c2ln"}, stop_reason=None)),
        ("transcript", line({"type": "text", "text": "he\nllo", "citations": [{"type": "x"}]}, stop_details={"a": [1]})),
    ],
    [
        (
            "transcript",
            line({"type": "redacted_thinking", "data": "eA=="}, {"type": "server_tool_use", "x": 1}, stop_reason=None),
        ),
        ("transcript", line(CALL, stop_reason="tool_use")),
        ("mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}),
        ("mcp", {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}),
        (
            "mcp",
            {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"_meta": {"claudecode/toolUseId": "toolu_1"}}},
        ),
        ("transcript", {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}}),
    ],
    [
        ("telemetry", export() | export(**{"event.name": "api_error", "status_code": "429", "error": "slow down"})),
        (
            "hooks",
            {"hook_event_name": "StopFailure", "error": "rate_limit", "error_details": "429 {}", "last_assistant_message": "x"},
        ),
        (
            "transcript",
            line({"type": "text", "text": "resets 3pm"}, model="<synthetic>")
            | {"isApiErrorMessage": True, "error": "rate_limit", "quotaLimits": {"resetsAt": 1_900_000_000}},
        ),
        (
            "transcript",
            line(
                {"type": "text", "text": "flagged"}, model="<synthetic>", stop_reason="refusal", stop_details={"type": "refusal"}
            )
            | {"isApiErrorMessage": True, "error": "e", "refusedMessageId": "msg_1", "refusingModel": "claude-opus-5-5"},
        ),
    ],
]


def tell(world: World, slot: str, channel: str, body: bytes) -> None:
    """One message, on its way."""
    if channel == "transcript":
        world.tell(world.grew(slot, body + b"\n"))
    elif slot in world.relay.pool.sessions:
        send(world, slot, channel, body)


@pytest.mark.parametrize("number", range(len(STORIES)))
@pytest.mark.parametrize(("stream", "chat"), SHAPES)
def test_the_stories_end_well_as_they_are(number: int, stream: bool, chat: bool) -> None:
    """Or the next test would show little."""
    world, _, slot = running(stream, chat)
    for channel, value in STORIES[number]:
        tell(world, slot, channel, json.dumps(value).encode())
    is_whole(world)
    assert not world.relay.calls
    assert world.relay.calls.served == 1


@given(st.sampled_from(STORIES), st.data(), st.sampled_from(SHAPES))
def test_one_wrong_part_of_what_claude_code_tells_hurts_nobody(
    story: list[tuple[str, Any]], data: st.DataObject, shape: tuple[bool, bool]
) -> None:
    wrong = data.draw(st.integers(0, len(story) - 1))
    world, _, slot = running(*shape)
    for number, (channel, value) in enumerate(story):
        body = data.draw(shapes.one_wrong_part(st.just(copy.deepcopy(value)))) if number == wrong else json.dumps(value).encode()
        tell(world, slot, channel, body)
    is_whole(world)
    world.tell(ev.ChildExited(slot, 1))
    world.tell(ev.PtyClosed(slot))
    is_whole(world)


@given(st.sampled_from([item for story in STORIES for item in story]), st.data())
def test_each_parser_gives_a_fact_or_a_value_error(item: tuple[str, Any], data: st.DataObject) -> None:
    channel, value = item
    body = data.draw(shapes.one_wrong_part(st.just(copy.deepcopy(value))))
    if channel == "transcript":
        TranscriptReader().feed(body + b"\n")
        return
    read: Any = {"hooks": hooks.read, "pieces": pieces.read, "mcp": mcp.read, "telemetry": telemetry.read}[channel]
    with contextlib.suppress(ValueError):
        read(body)


@pytest.mark.parametrize(
    "value",
    [
        {"step": 0, "from": 0, "pieces": [{"kind": "text", "index": 0, "text": ""}] * (mod.POSTED_MAX + 1)},
        {"step": 0, "from": 0, "pieces": [{"kind": "a new kind", "index": 0}]},
        {"step": 0, "from": 0, "pieces": [{"kind": "tool", "index": 0, "id": "toolu_1", "name": "x" * 100_000}]},
        {"step": 0, "from": 0, "pieces": [{"kind": "tool", "index": 0, "id": "to\nol", "name": "get"}]},
    ],
    ids=["too many", "unknown kind", "a long name", "a line break"],
)
def test_pieces_that_the_mod_does_not_send_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pieces: too many|kind: not known|name: |id: "):
        pieces.read(json.dumps(value).encode())


def test_the_mod_is_told_whether_to_go_on() -> None:
    assert json.loads(pieces.reply(True)) == {}
    assert json.loads(pieces.reply(False)) == {"stop": True}
    some, last = {"kind": "text", "index": 0, "text": "x"}, {"kind": "stop", "stopReason": "end_turn"}
    for sent, is_end in (([some], False), ([some, last], True)):
        assert pieces.read(json.dumps({"step": 0, "from": 0, "pieces": sent}).encode()).end_the_answer is is_end


def told_windows(*limits: Any) -> bytes:
    return json.dumps({"limits": limits}).encode()


FIVE = {"kind": "five_hour", "percentUsed": 41, "resetsAt": "2026-11-26T20:47:09.000Z"}


def test_the_plans_windows_are_read_as_the_mod_tells_them() -> None:
    found = plan.read(told_windows(FIVE, {"kind": "seven_day", "percentUsed": 17.5, "resetsAt": "2026-12-01T00:00:00+00:00"}))
    assert found == (plan.Window("five_hour", 41.0, 1795726029.0), plan.Window("seven_day", 17.5, 1796083200.0))
    assert plan.read(told_windows()) == ()


@pytest.mark.parametrize(
    "limit",
    [
        {},
        1,
        FIVE | {"kind": 'a"} 1\nrelayd_x 1'},
        FIVE | {"kind": "x" * 41},
        FIVE | {"percentUsed": "41"},
        FIVE | {"percentUsed": -1},
        FIVE | {"percentUsed": True},
        FIVE | {"resetsAt": "soon"},
        FIVE | {"resetsAt": 5},
        FIVE | {"resetsAt": "0001-01-01T00:00:00+00:00"},
        FIVE | {"resetsAt": "9999-12-31T23:59:59-23:00"},
    ],
)
def test_a_window_of_another_form_is_an_error_of_one_type(limit: Any) -> None:
    with pytest.raises(ValueError, match="."):
        plan.read(told_windows(limit))


def test_no_more_windows_than_a_handful() -> None:
    with pytest.raises(ValueError, match="too many"):
        plan.read(told_windows(*[FIVE] * 9))


@pytest.mark.parametrize(
    ("told", "usd"),
    [("0.25", 0.25), (0.25, 0.25), (1, 1.0), ("nan", 0.0), ("1e999", 0.0), (-1, 0.0), ("much", 0.0), ("9" * 9, 0.0)],
)
def test_the_cost_of_a_request_is_a_number_or_nothing(told: Any, usd: float) -> None:
    (fact,) = telemetry.read(json.dumps(export(cost_usd=told)).encode())
    assert isinstance(fact, telemetry.RequestDone)
    assert fact.cost_usd == usd
