"""Open tool calls: what Claude Code gets while it waits, and when."""

from __future__ import annotations

import dataclasses
import json

from relayd.anthropic.tools import Tool
from relayd.claude import mcp
from relayd.claude.pieces import Pieces, StopPiece
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.session.record import Session
from relayd.core.session.states import State
from relayd.core.timers import SlotDue, SlotTimer
from tests.core.session.test_session import DONE, REQUEST, busy, feed, line, of, session, with_results

CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "it"}
ASKED = ev.ToolCalled(9, mcp.ToolCalled("toolu_1", 1, 7))


def at_work() -> Session:
    s = session()
    request = dataclasses.replace(REQUEST, tools=(Tool("f", "", {"type": "object"}),))
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, request), busy())
    return s


def messages(orders: list[do.Action]) -> list[dict[str, object]]:
    """What Claude Code gets in the stream."""
    chunks = [order.data for order in of(orders, do.SendChunk)]
    assert all(chunk.startswith(b"event: message\ndata: ") and chunk.endswith(b"\n\n") for chunk in chunks)
    return [json.loads(chunk.partition(b"data: ")[2]) for chunk in chunks]


def note(count: int) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 7, "progress": count}}


def whole_answer(s: Session) -> list[do.Action]:
    return feed(s, line("assistant", id="m1", model="m", content=[CALL], stop_reason="tool_use", usage={}))


def test_an_answer_is_hurried_whose_end_came_after_its_call() -> None:
    """Claude Code writes the lines of an answer when its list of messages changes. If the message ended more than 0.1 s after
    the call, as with two calls or a busy API, it waited for the call's result, and the client waited for the lines.
    """
    s = at_work()
    assert SlotTimer("slot-1", SlotDue.LINES) in [order.key for order in of(feed(s, ASKED), do.SetTimer)]
    orders = feed(s, ev.WireArrived(DONE))
    assert of(orders, do.StartStream) == [do.StartStream(9, 200, [("content-type", "text/event-stream")])]
    assert messages(orders) == [note(1)]
    orders = feed(s, ev.LinesOverdue())
    assert (of(orders, do.StartStream), messages(orders)) == ([], [note(2)])
    orders = whole_answer(s)
    assert s.state is State.PARKED
    assert do.CancelTimer(SlotTimer("slot-1", SlotDue.LINES)) in orders
    assert feed(s, ev.LinesOverdue()) == []
    orders = feed(s, ev.ResultsBrought(2, with_results(RESULT)))
    assert messages(orders) == [
        {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "it"}], "isError": False}}
    ]
    assert of(orders, do.EndStream) == [do.EndStream(9)]
    assert of(feed(s, ev.LinesOverdue()), do.SetTimer) == []  # nothing is open


def test_the_mods_last_piece_hurries_them_too() -> None:
    s = at_work()
    feed(s, ASKED)
    assert messages(feed(s, ev.PiecesArrived(Pieces(0, 0, (StopPiece("tool_use"),))))) == [note(1)]


def test_a_call_that_takes_no_notes_gets_its_result_alone() -> None:
    s = at_work()
    orders = feed(s, ev.ToolCalled(9, mcp.ToolCalled("toolu_1", 1)), ev.WireArrived(DONE), ev.LinesOverdue())
    assert not of(orders, do.StartStream)
    whole_answer(s)
    assert [r.client for r in of(feed(s, ev.ResultsBrought(2, with_results(RESULT))), do.Respond)] == [9]


def test_an_answer_whose_lines_are_there_is_not_hurried() -> None:
    s = at_work()
    whole_answer(s)
    assert not of(feed(s, ASKED, ev.WireArrived(DONE)), do.SendChunk)
    assert s.state is State.PARKED
