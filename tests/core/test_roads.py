"""Which road a call takes: the turn that asked for its tools, the session that holds its conversation, or any process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.claude.mcp import ToolCalled
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.session.resting import BETWEEN_S
from relayd.core.session.states import State
from relayd.core.session.tool_calls import ToolCalls
from relayd.core.timers import SlotDue, SlotTimer
from relayd.http.messages import HttpRequest
from tests.core.test_pool_and_relay import HEADERS, World

TOOL = {"name": "get", "input_schema": {"type": "object"}}
ASKED = {"role": "user", "content": "look"}
USE: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"k": 1}}


def posted(world: World, path: str, value: Any) -> int:
    world.clients += 1
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", path, "", HEADERS, json.dumps(value).encode())))
    return world.clients


def asks_for_a_tool(world: World, **fields: Any) -> tuple[str, int]:
    """A call whose answer asks for a tool: its process, and the connection on which Claude Code waits for the result."""
    client = world.ask("look", tools=[TOOL], **fields)
    world.boot()
    slot = world.slot_of(client)
    block = USE | {"name": "mcp__client__get"}
    message = {"id": "msg_1", "model": "m", "content": [block], "stop_reason": "tool_use", "usage": {"output_tokens": 5}}
    world.tell(world.grew(slot, json.dumps({"type": "assistant", "message": message}).encode() + b"\n"))
    params = {"name": "get", "arguments": {"k": 1}, "_meta": {"claudecode/toolUseId": "toolu_1"}}
    secret = world.relay.pool.sessions[slot].spec.secret
    waiting = posted(world, f"/mcp/{secret}", {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
    if not fields.get("stream"):
        assert world.answer(client)[1]["stop_reason"] == "tool_use"
    assert world.relay.pool.sessions[slot].state is State.PARKED
    return slot, waiting


def result(content: Any = "42", **fields: Any) -> list[dict[str, Any]]:
    """The messages that bring the tool's result."""
    brought = {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **fields}
    return [ASKED, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [brought]}]


def test_the_result_of_a_tool_goes_on_in_the_turn_that_asked_for_it() -> None:
    world = World()
    world.boot()
    slot, waiting = asks_for_a_tool(world)
    client = world.ask(messages=result(), tools=[TOOL])
    assert world.slot_of(client) == slot
    status, rpc = world.answer(waiting)
    assert (status, rpc["id"], rpc["result"]["content"]) == (200, 7, [{"type": "text", "text": "42"}])
    world.finish(slot, "so it is 42")
    status, answer = world.answer(client)
    assert (status, answer["content"][0]["text"]) == (200, "so it is 42")
    heads = [dict(o.headers) for o in world.orders if isinstance(o, do.Respond) and o.client == client]
    assert 'desc="parked"' in heads[0]["server-timing"]


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("another system prompt", {"messages": result(), "system": "Be brief."}),
        ("another limit", {"messages": result(), "max_tokens": 7}),
        ("an earlier message that differs", {"messages": [{"role": "user", "content": "LOOK"}, *result()[1:]]}),
        ("a result that Claude Code would change", {"messages": result(content="  ")}),
        ("a result that is none but a picture", {"messages": result(content=[])}),
        ("an error in two texts", {"messages": result(content=[{"type": "text", "text": t} for t in "ab"], is_error=True)}),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_does_not_continue_the_parked_turn_exactly_is_replayed(what: str, fields: dict[str, Any]) -> None:
    world = World()
    world.boot()
    slot, waiting = asks_for_a_tool(world)
    client = world.ask(tools=[TOOL], **fields)
    world.boot()
    assert world.slot_of(client) != slot
    assert not [o for o in world.orders if isinstance(o, do.Respond) and o.client == waiting]
    handed = [o.transcript for o in world.orders if isinstance(o, do.HandOver) and o.slot == world.slot_of(client)]
    assert len(handed) == 1
    assert b"toolu_1" in handed[0]


def test_a_parked_process_is_ended_when_nobody_brings_the_result() -> None:
    world = World()
    world.boot()
    slot, _ = asks_for_a_tool(world)
    world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.STATE)))
    assert not world.relay.pool.sessions[slot].is_live


def test_the_lines_of_a_call_are_hurried_until_they_are_there() -> None:
    """Claude Code writes the answer's lines when its list of messages changes; a note on the call's progress is a change."""
    world = World()
    world.boot()
    client = world.ask("look", tools=[TOOL])
    world.boot()
    slot = world.slot_of(client)
    meta = {"claudecode/toolUseId": "toolu_1", "progressToken": 3}
    params = {"name": "get", "arguments": {"k": 1}, "_meta": meta}
    secret = world.relay.pool.sessions[slot].spec.secret
    world.hook(slot, hook_event_name="MessageDisplay", message_id="u", index=0, final=True, delta="I look.")
    waiting = posted(world, f"/mcp/{secret}", {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
    for count in (1, 2):
        orders = world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.LINES)))
        (note,) = [o.data for o in orders if isinstance(o, do.SendChunk) and o.client == waiting]
        assert b'"progress":%d' % count in note
        assert any(isinstance(o, do.SetTimer) and o.key == SlotTimer(slot, SlotDue.LINES) for o in orders)


def test_a_turn_that_streams_goes_on_in_a_stream_of_its_own() -> None:
    world = World()
    world.boot()
    slot, _ = asks_for_a_tool(world, stream=True)
    client = world.ask(messages=result(), tools=[TOOL], stream=True)
    world.finish(slot, "done")
    sent = b"".join(o.data for o in world.orders if isinstance(o, do.SendChunk) and o.client == client)
    assert sent.startswith(b"event: message_start")
    assert b'"text":"done"' in sent
    assert b"event: message_stop" in sent


def test_a_second_call_that_comes_after_the_answer_gets_its_result_too() -> None:
    """Claude Code may begin the second of two calls when the client has the answer already."""
    world = World()
    world.boot()
    client = world.ask("look", tools=[TOOL])
    world.boot()
    slot = world.slot_of(client)
    uses = [USE | {"id": f"toolu_{n}", "name": "mcp__client__get"} for n in (1, 2)]
    message = {"id": "msg_1", "model": "m", "content": uses, "stop_reason": "tool_use", "usage": {"output_tokens": 5}}
    world.tell(world.grew(slot, json.dumps({"type": "assistant", "message": message}).encode() + b"\n"))
    secret, waiting = world.relay.pool.sessions[slot].spec.secret, []
    for n in (1, 2):
        params = {"name": "get", "arguments": {"k": 1}, "_meta": {"claudecode/toolUseId": f"toolu_{n}"}}
        rpc = {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params}
        waiting.append(posted(world, f"/mcp/{secret}", rpc))
        assert world.relay.pool.sessions[slot].state is State.PARKED
    results = [{"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": f"result {n}"} for n in (1, 2)]
    calls = [USE | {"id": f"toolu_{n}"} for n in (1, 2)]
    said = [ASKED, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    world.ask(messages=said, tools=[TOOL])
    assert not [o for o in world.orders if isinstance(o, do.Respond) and o.client == waiting[1]]
    between = SlotTimer(slot, SlotDue.RESULTS)
    assert [o.at for o in world.orders if isinstance(o, do.SetTimer) and o.key == between] == [world.now + BETWEEN_S]
    world.tell(ev.TimerFired(between))
    told = [world.answer(w)[1]["result"]["content"][0]["text"] for w in waiting]
    assert told == ["result 1", "result 2"]


def test_results_are_handed_over_one_by_one_in_the_clients_order() -> None:
    """Claude Code keeps results in the order in which it has read them. Three at once changed places one time in five, the
    request was another than the client's, and the call was replayed.
    """
    calls = ToolCalls()
    for n in (2, 3, 1):
        calls.called(n, ToolCalled(f"toolu_{n}", n))
    calls.bring(tuple({"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": str(n)} for n in (1, 2, 3)))
    handed = []
    while calls.has_results:
        handed += [order.client for order in calls.hand_next() if isinstance(order, do.Respond)]
    assert handed == [1, 2, 3]
    assert calls.hand_next() == []
