"""What the model was asked is compared with what the client asked before any of the answer is given."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from relayd.anthropic.conversation_rules import Message
from relayd.claude import bodies, mcp
from relayd.claude.hooks import Displayed, Stopped, TurnFailed
from relayd.claude.launch import Launch
from relayd.claude.telemetry import RequestDone, RequestFailed
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.session.live import TextShown
from relayd.core.session.parts import Failed, Finished, Part, Verdict, Witnessed
from relayd.core.session.record import Session
from relayd.core.session.states import State
from relayd.core.session.witness import BLOCKS_MAX, Witness
from relayd.core.timers import SlotDue, SlotTimer
from relayd.core.witness_trial import SILENT_MAX, SILENT_SINCE_MAX
from tests.core.session.test_session import DONE, KEY, REQUEST, STREAMED, busy, of, session
from tests.core.session.test_session import feed as feed_alone
from tests.core.test_pool_and_relay import World
from tests.helpers import told_body

EXACT = ev.RequestTold("slot-1", told_body(STREAMED))
OTHER = dataclasses.replace(STREAMED, messages=(Message("user", ({"type": "text", "text": "of somebody else"},)),))
CHANGED = ev.RequestTold("slot-1", told_body(OTHER))
OVERDUE = SlotTimer("slot-1", SlotDue.WITNESS)
SHOWN = ev.HookArrived("slot-1", Displayed("u", 0, True, "yo"))
END = (ev.HookArrived("slot-1", Stopped("yo")), ev.WireArrived(DONE))


def feed(s: Session, *events: Any, now: float = 1.0) -> list[do.Action]:
    """Each body is read alone."""
    orders: list[do.Action] = []
    for event in events:
        is_body = isinstance(event, (ev.RequestTold, ev.AnswerTold))
        orders += feed_alone(s, event, *([ev.BodiesRead("slot-1")] if is_body else []), now=now)
    return orders


def at_work(mode: do.Mode = do.Mode.GATE) -> Session:
    """A session whose process tells what it sends, and whose turn runs."""
    s = session(mode=mode)
    s.spec = dataclasses.replace(s.spec, launch=Launch((), {bodies.ADDRESS: "file:/d/bodies"}, "/", {}))
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, STREAMED), busy())
    assert s.state is State.RUNNING
    return s


def taken(s: Session) -> list[Part]:
    """The parts so far, as the driver takes them."""
    parts, s.parts = s.parts, []
    return parts


def kinds(parts: list[Part]) -> list[str]:
    return [type(part).__name__ for part in parts]


def _line(text: str, number: int) -> bytes:
    content = [{"type": "text", "text": text}]
    message: dict[str, Any] = {"id": f"m{number}", "model": "m", "content": content, "stop_reason": "end_turn", "usage": {}}
    return json.dumps({"type": "assistant", "message": message}).encode() + b"\n"


def told_answer(text: str) -> ev.AnswerTold:
    message = {"id": "msg_9", "model": "m", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": {}}
    return ev.AnswerTold("slot-1", json.dumps(message).encode())


def test_nothing_is_given_before_the_request_was_seen() -> None:
    s = at_work()
    orders = feed(s, SHOWN)
    assert taken(s) == []
    assert do.ReadBodies("slot-1") in orders
    assert OVERDUE in [order.key for order in of(orders, do.SetTimer)]
    assert not of(feed(s, END[0]), do.ReadBodies)  # it was asked for already
    feed(s, EXACT)
    assert kinds(taken(s)) == ["Witnessed", "TextShown"]
    feed(s, END[1])
    assert kinds(taken(s)) == ["Finished"]


def test_a_request_that_was_seen_first_holds_nothing_back() -> None:
    s = at_work()
    feed(s, EXACT)
    assert taken(s) == [Witnessed(Verdict.EXACT)]
    orders = feed(s, SHOWN)
    assert kinds(taken(s)) == ["TextShown"]
    assert not of(orders, do.ReadBodies)


def test_the_end_of_an_answer_waits_too() -> None:
    s = at_work()
    feed(s, SHOWN, *END)
    assert (s.state, taken(s)) == (State.RUNNING, [])
    feed(s, EXACT)  # the answer is complete: its own channels bring a text that may be the next one's
    assert kinds(taken(s)) == ["Witnessed"]
    wrote(s, _line("yo", 1))
    assert kinds(taken(s)) == ["TextShown", "Finished"]
    assert s.state is State.KILLING


@pytest.mark.parametrize("sign", [told_answer(""), ev.WireArrived(DONE)], ids=["a raw answer", "a report"])
def test_text_that_begins_when_an_answer_is_complete_is_not_shown_by_itself(sign: Any) -> None:
    """The first answer was a call. Its request was told late, that of the second later still, and the second's text was shown."""
    s = at_work()
    feed(s, sign, EXACT, SHOWN)
    assert kinds(taken(s)) == ["Witnessed"]
    wrote(s, _line("first", 1).replace(b"end_turn", b"max_tokens"), CONTINUE)
    (shown, finished) = taken(s)
    assert shown == TextShown("first")
    assert isinstance(finished, Finished)


def test_an_answer_to_another_question_is_never_given() -> None:
    """Claude Code had repaired a conversation in silence, and the client got an answer to a question that nobody asked."""
    s = at_work()
    feed(s, SHOWN, *END, CHANGED, EXACT)
    assert taken(s) == []
    s = at_work()
    feed(s, SHOWN, *END, CHANGED, ev.WitnessOverdue())
    witnessed, failed = taken(s)
    assert witnessed == Witnessed(Verdict.CHANGED)
    assert isinstance(failed, Failed)
    assert (failed.lost, failed.unseen, s.state) == (True, True, State.KILLING)
    assert "messages.0.content.0" in failed.error.message
    assert "somebody" not in failed.error.message


@pytest.mark.parametrize("end", ["breaks", "dies with its last words", "dies"])
def test_a_process_that_is_lost_after_a_changed_request_gives_its_call_to_another(end: str) -> None:
    """Its answer was there, and held back for why the request had changed. What came last was given to the client all the same,
    and if there was nothing more the call heard nothing, and waited for ever.
    """
    s = at_work()
    feed(s, SHOWN, *END[: 2 if end != "dies with its last words" else 0], CHANGED)
    line = {"type": "text", "text": "yo"}
    message = {"id": "m", "model": "m", "content": [line], "stop_reason": "end_turn", "usage": {"output_tokens": 5}}
    words = ev.TranscriptGrew(s.slot, s.conversation, json.dumps({"type": "assistant", "message": message}).encode() + b"\n")
    match end:
        case "breaks":
            feed(s, ev.SlotBroke("slot-1", "a bug"))
        case "dies":
            feed(s, ev.ChildExited("slot-1", 1))
        case _:
            feed(s, ev.PtyClosed("slot-1"), words, ev.ChildExited("slot-1", 1))
    parts = [part for part in taken(s) if not isinstance(part, Witnessed)]
    assert parts
    assert all(isinstance(part, Failed) and part.lost and part.unseen for part in parts), parts


def test_a_request_that_was_sent_again_is_compared_too() -> None:
    """The API had refused pictures, and Claude Code asked again without them."""
    s = at_work()
    feed(s, EXACT, CHANGED, SHOWN)
    assert kinds(taken(s)) == ["Witnessed"]
    feed(s, ev.WitnessOverdue())  # and nobody has said why
    assert kinds(taken(s)) == ["Witnessed", "Failed"]
    assert s.state is State.KILLING


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_where_the_api_refused_the_clients_request_its_own_words_are_the_answer(order: tuple[int, ...]) -> None:
    """Refused thinking was left out and the rest asked again: the client never heard that its history was not taken."""
    s = at_work()
    refusal = ev.WireArrived(RequestFailed(400, "Invalid `signature` in `thinking` block", "r"))
    feed(s, *((EXACT, CHANGED, refusal)[n] for n in order))  # two files may have the same time
    (failed,) = (part for part in taken(s) if isinstance(part, Failed))
    assert (failed.error.status, failed.error.message, failed.lost) == (400, "Invalid `signature` in `thinking` block", False)


def gone_on() -> ev.RequestTold:
    """Claude Code asks for more by itself, after an answer that was cut, or a call that it has refused."""
    more = json.loads(EXACT.body)
    more["messages"] += [{"role": "assistant", "content": "a call"}, {"role": "user", "content": "No such tool available"}]
    return ev.RequestTold("slot-1", json.dumps(more).encode())


def wrote(s: Session, *lines: bytes) -> list[do.Action]:
    return feed(s, ev.TranscriptGrew("slot-1", "slot-1", b"".join(lines)))


CUT = _line("yo", 1).replace(b"end_turn", b"max_tokens")
CONTINUE = b'{"type": "user", "message": {"role": "user", "content": "Output token limit hit. Resume."}, "isMeta": true}\n'
# What Claude Code tells of the second answer, which no channel but the transcript tells apart from the first.
OF_THE_SECOND = {
    "text": (ev.HookArrived("slot-1", Displayed("v", 0, True, "more")),),
    "an end": (ev.HookArrived("slot-1", Displayed("v", 0, True, "more")), ev.HookArrived("slot-1", Stopped("more"))),
    "a failure": (
        ev.HookArrived("slot-1", TurnFailed("overloaded", "", "busy")),
        ev.WireArrived(RequestFailed(529, "busy", "r")),
    ),
    "a raw answer": (told_answer("more"),),
    "a call": (ev.ToolCalled(9, mcp.ToolCalled("call-2", 7)),),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["some text shown", "nothing shown"])
@pytest.mark.parametrize("second", OF_THE_SECOND)
def test_what_goes_on_after_the_answer_is_neither_a_change_nor_the_clients(second: str, streamed: bool) -> None:
    """The model called a tool that nobody had offered, or was cut. Claude Code asked again, and the text of the second answer was
    streamed, its raw body taken for the first one's, or its failure (the API was busy) given to a client that had a fine answer.
    """
    s = at_work()
    s.current_turn().lives_on = True
    feed(s, EXACT, *([SHOWN] if streamed else []), gone_on(), *OF_THE_SECOND[second])
    assert kinds(taken(s)) == ["Witnessed", *(["TextShown"] if streamed else [])]
    assert s.state is State.RUNNING
    wrote(s, CUT, CONTINUE)
    *shown, finished = taken(s)
    assert kinds(shown) == ([] if streamed else ["TextShown"])
    assert isinstance(finished, Finished)
    assert (finished.answer.id, finished.answer.stop_reason, finished.answer.content) == (
        "m1",
        "max_tokens",
        ({"type": "text", "text": "yo"},),
    )
    assert s.state is State.KILLING


def test_an_end_that_was_told_before_the_second_request_was_seen_is_the_second_ones() -> None:
    """A busy machine reads the request late; what seemed to be the failure of the first was the second's."""
    s = at_work()
    feed(s, EXACT, ev.HookArrived("slot-1", TurnFailed("overloaded", "", "busy")), gone_on())
    feed(s, ev.WireArrived(RequestFailed(529, "busy", "r")))
    assert kinds(taken(s)) == ["Witnessed"]
    wrote(s, CUT, CONTINUE)
    assert kinds(taken(s)) == ["TextShown", "Finished"]


def test_the_second_request_is_read_with_the_first_before_any_text_is_shown() -> None:
    """A busy machine reads both requests at once. The text that was there already, held back for the first, is the second's."""
    s = at_work()
    orders = feed(s, SHOWN)
    assert do.ReadBodies("slot-1") in orders
    feed_alone(s, EXACT, gone_on(), ev.BodiesRead("slot-1"))
    assert kinds(taken(s)) == ["Witnessed"]
    wrote(s, _line("first", 1).replace(b"end_turn", b"max_tokens"), CONTINUE)
    *_, finished = taken(s)
    assert isinstance(finished, Finished)
    assert finished.answer.content == ({"type": "text", "text": "first"},)


def test_a_request_that_fails_after_one_that_was_answered_is_not_the_clients() -> None:
    """The request's body is written in a while, the API's refusal is there at once. Telemetry has both in their order."""
    s = at_work()
    failed = ev.HookArrived("slot-1", TurnFailed("overloaded", "", "busy"))
    feed(s, EXACT, failed, ev.WireArrived(DONE), ev.WireArrived(RequestFailed(529, "busy", "r")))
    assert kinds(taken(s)) == ["Witnessed"]
    wrote(s, CUT, CONTINUE)
    assert kinds(taken(s)) == ["TextShown", "Finished"]


def test_a_failure_in_the_transcript_behind_the_answer_is_not_the_answers() -> None:
    """Claude Code refuses a call, asks again, and the API refuses that: the error's line follows the refused call's."""
    s = at_work()
    message = b'{"id": "x", "model": "<synthetic>", "content": []}'
    error = b'{"type": "assistant", "isApiErrorMessage": true, "error": "e", "message": %b}\n' % message
    feed(s, EXACT, gone_on())
    wrote(s, CUT, error)
    assert [p.answer.stop_reason for p in taken(s) if isinstance(p, Finished)] == ["max_tokens"]


def test_an_answer_that_claude_code_has_gone_on_from_and_never_writes_ends_in_an_error() -> None:
    s = at_work()
    (limit,) = (o for o in feed(s, EXACT, gone_on()) if isinstance(o, do.SetTimer) and o.key.due is SlotDue.LAG)
    assert limit.at == 1.0 + s.spec.config.transcript_lag_s
    feed(s, ev.DeadlinePassed(SlotDue.LAG))
    (failed,) = (part for part in taken(s) if isinstance(part, Failed))
    assert "without writing its answer" in failed.error.message


def test_an_error_waits_for_nothing() -> None:
    s = at_work()
    feed(s, SHOWN, ev.DeadlinePassed(SlotDue.STATE))
    assert kinds(taken(s)) == ["Failed"]


def test_a_request_that_is_not_told_in_time_is_done_without() -> None:
    s = at_work()
    feed(s, SHOWN, ev.WitnessOverdue())
    verdict, shown = taken(s)
    assert (verdict, type(shown).__name__) == (Witnessed(Verdict.SILENT), "TextShown")
    feed(s, CHANGED)  # too late: the client has the text
    assert s.state is State.RUNNING


def test_a_process_that_is_lost_gives_what_it_had_finished() -> None:
    s = at_work()
    feed(s, SHOWN, *END)
    wrote(s, _line("yo", 1))
    assert taken(s) == []
    feed(s, ev.ChildExited("slot-1", 1))
    assert kinds(taken(s)) == ["TextShown", "Finished"]


def test_a_process_that_is_lost_in_the_middle_gives_nothing() -> None:
    s = at_work()
    feed(s, SHOWN, ev.ChildExited("slot-1", 1))
    assert kinds(taken(s)) == ["Failed"]


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"messages": 5}', b'{"messages": [{"role": "user", "content": 5}]}'])
def test_a_body_that_cannot_be_compared_proves_nothing_and_costs_nothing(body: bytes) -> None:
    s = at_work()
    if body.startswith(b"{"):
        body = json.dumps(json.loads(EXACT.body) | json.loads(body)).encode()
    feed(s, SHOWN, ev.RequestTold("slot-1", body))
    (verdict, *_) = taken(s)
    assert verdict in (Witnessed(Verdict.SILENT), Witnessed(Verdict.LARGE))


def test_a_conversation_of_very_many_blocks_is_not_compared() -> None:
    blocks = tuple({"type": "text", "text": "a"} for _ in range(BLOCKS_MAX + 1))
    witness = Witness(dataclasses.replace(STREAMED, messages=(Message("user", blocks),)), is_told=True)
    assert witness.judge(EXACT.body) is Verdict.LARGE


def test_a_request_that_nobody_ordered_ends_the_process() -> None:
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), EXACT)
    assert s.state is State.KILLING


# In a daemon


def headers(world: World, client: int) -> dict[str, str]:
    return next(dict(o.headers) for o in world.orders if isinstance(o, (do.Respond, do.StartStream)) and o.client == client)


def other(world: World, slot: str) -> bytes:
    """What Claude Code tells if it has sent another question."""
    witness = world.relay.pool.sessions[slot].witness
    assert witness is not None
    return told_body(dataclasses.replace(witness.request, messages=OTHER.messages))


def test_a_changed_request_is_asked_again_in_a_fresh_process_and_then_reported() -> None:
    world = World(witness=True, idle=0, max=2)
    client = world.ask("a question")
    world.boot()
    slots = []
    for _ in range(2):
        slots.append(world.slot_of(client))
        world.tell(ev.RequestTold(slots[-1], other(world, slots[-1])))
        world.tell(ev.TimerFired(SlotTimer(slots[-1], SlotDue.WITNESS)))
        world.die(slots[-1])
        world.boot()
    assert len(set(slots)) == 2
    status, error = world.answer(client)
    assert (status, error["error"]["type"]) == (500, "api_error")
    assert "messages.0.content.0" in error["error"]["message"]
    assert "x-relayd-witness" not in headers(world, client)
    assert "relayd_requests_changed_total 2" in world.relay.front.status.metrics(world.now).decode()


def test_the_second_answer_counts_if_it_is_to_the_clients_question() -> None:
    world = World(witness=True, idle=0, max=2)
    client = world.ask("a question")
    world.boot()
    first = world.slot_of(client)
    world.hook(first, hook_event_name="MessageDisplay", message_id="u", index=0, final=True, delta="wrong")
    world.tell(ev.RequestTold(first, other(world, first)))
    world.tell(ev.TimerFired(SlotTimer(first, SlotDue.WITNESS)))
    world.die(first)
    world.boot()
    world.finish(world.slot_of(client), "right")
    status, answer = world.answer(client)
    assert (status, answer["content"][0]["text"]) == (200, "right")
    assert headers(world, client)["x-relayd-witness"] == "exact"


def test_a_claude_that_tells_nothing_is_not_waited_for_again_and_again() -> None:
    world = World(witness=True, idle=0, max=1)
    for number in range(SILENT_MAX + 1):
        client = world.ask(f"call {number}")
        world.boot()
        slot = world.slot_of(client)
        is_asked = bodies.ADDRESS in world.relay.pool.sessions[slot].spec.launch.env
        assert is_asked is (number < SILENT_MAX)
        world.hook(slot, hook_event_name="MessageDisplay", message_id=f"u{number}", index=0, final=True, delta="ok")
        if is_asked:
            world.tell(ev.TimerFired(SlotTimer(slot, SlotDue.WITNESS)))
        world.hook(slot, hook_event_name="Stop", last_assistant_message="ok")
        world.tell(world.grew(slot, _line("ok", number)))
        assert world.answer(client)[0] == 200
        assert headers(world, client)["x-relayd-witness"] == "unseen"
        world.die(slot)


def test_a_claude_that_has_told_before_is_slow_and_not_silent() -> None:
    """Three late requests in a row, on a busy machine, and no process took up another conversation until the daemon's end."""
    world = World(witness=True, idle=0, max=1)
    process, _ = world.relay.pool.spawn((KEY, do.Mode.GATE), False, world.now)
    trial = world.relay.pool.launcher.witness_trial
    trial.saw(process, [Witnessed(Verdict.EXACT)])
    trial.saw(process, [Witnessed(Verdict.SILENT)] * SILENT_MAX)
    assert not trial.is_silent
    trial.saw(process, [Witnessed(Verdict.SILENT)] * SILENT_SINCE_MAX)
    assert trial.is_silent
    trial.updated()
    assert not trial.is_silent


def test_a_witness_tells_itself_in_a_line() -> None:
    assert repr(Witness(REQUEST, is_told=True)) == "<Witness awaited >"
    assert isinstance(DONE, RequestDone)
    assert Finished


def test_the_raw_answer_counts_if_the_question_is_the_clients() -> None:
    """The API had refused a picture, Claude Code asked again without it, and the answer to that hid what the API had said."""
    s = at_work()
    s.spec = dataclasses.replace(s.spec, config=Config(kept=1))
    s.current_turn().lives_on = True
    feed(s, EXACT, SHOWN, told_answer("yo"))
    assert kinds(taken(s)) == ["Witnessed", "TextShown", "Finished"]
    s = at_work()
    s.current_turn().lives_on = True
    feed(s, EXACT, CHANGED, SHOWN, told_answer("yo"))
    assert s.state is State.RUNNING
    line = {
        "type": "assistant",
        "isApiErrorMessage": True,
        "apiError": "media_removed",
        "errorDetails": "400 too large",
        "error": "e",
    }
    line["message"] = {"id": "m", "model": "<synthetic>", "content": [{"type": "text", "text": "API error"}]}
    feed(s, ev.TranscriptGrew("slot-1", "slot-1", json.dumps(line).encode() + b"\n"))
    assert [part.error.message for part in taken(s) if isinstance(part, Failed)] == ["API error"]


@pytest.mark.parametrize("why", ["a picture", "a refusal"])
def test_a_raw_answer_is_not_enough_where_claude_code_may_have_asked_again(why: str) -> None:
    """It may have asked for something else, of which nothing has been told yet: the transcript says so in any case."""
    s = at_work()
    s.spec = dataclasses.replace(s.spec, config=Config(kept=1))
    s.current_turn().lives_on = True
    if why == "a picture":
        s.current_turn().has_media = True
    else:
        feed(s, ev.WireArrived(RequestFailed(400, "could not process image", "req_1")))
    feed(s, EXACT, SHOWN, told_answer("yo"))
    assert s.state is State.RUNNING
    assert "Finished" not in kinds(taken(s))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"content": 3}', b'{"id": "m", "model": "<synthetic>", "content": []}'])
def test_what_is_no_answer_ends_nothing(body: bytes) -> None:
    s = at_work()
    s.current_turn().lives_on = True
    feed(s, EXACT, SHOWN, ev.AnswerTold("slot-1", body))
    assert s.state is State.RUNNING
