"""The state machine of one process: its table, and scripts of events and orders."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import MessagesRequest
from relayd.anthropic.tools import Tool
from relayd.claude import mcp, prompt, screens
from relayd.claude.compose import TranscriptContext
from relayd.claude.hooks import Displayed, Stopped, Submitted
from relayd.claude.launch import Launch, LaunchKey, SlotPaths
from relayd.claude.prompt import Draft, Way
from relayd.claude.reminders import Machine
from relayd.claude.telemetry import RequestDone
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.session import typed
from relayd.core.session.parts import Failed, Finished
from relayd.core.session.record import Session
from relayd.core.session.spec import SessionSpec
from relayd.core.session.states import DYING, LIVE, State
from relayd.core.session.table import TABLE, drive
from relayd.core.timers import SlotDue, SlotTimer
from relayd.errors import Refused

KEY = LaunchKey("claude-sonnet-4-5", 100)
WORKSPACE = "/state/workspace"
CONTEXT = TranscriptContext("slot-1", WORKSPACE, "2026-01-01T00:00:00.000Z", "2026-01-01", Machine("linux", "bash", "Linux 6"))
REQUEST = MessagesRequest("claude-sonnet-4-5", 100, (Message("user", ({"type": "text", "text": "hi"},)),))
STREAMED = dataclasses.replace(REQUEST, stream=True)
PATHS = SlotPaths(
    "/d", "/d/fifo", "/d/settings", "/d/mcp", "/d/message", "/d/bodies", "/c/p.jsonl", "/c/t.jsonl", ("/c/p", "/c/t")
)
DONE = RequestDone("claude-sonnet-4-5", {"input_tokens": 1, "output_tokens": 2}, "r")
TRUST = "\x1b[2J\x1b[HAccessing workspace:\r\n {}\r\n ❯ No, exit\r\n   Yes, I trust this folder\r\n Enter to confirm"


def session(config: Config | None = None, mode: do.Mode = do.Mode.GATE) -> Session:
    conversation = "slot-1" if mode is not do.Mode.PROMPT else "talk-1"
    birth = SessionSpec(
        "slot-1",
        conversation,
        "secret",
        KEY,
        Launch((), {}, WORKSPACE, {}),
        PATHS,
        WORKSPACE,
        mode,
        lambda name, now: CONTEXT,
        config or Config(kept=0),
    )
    return Session(birth, 0.0)


def feed(s: Session, *events: Any, now: float = 1.0) -> list[do.Action]:
    orders: list[do.Action] = []
    for event in events:
        orders += drive(s, event, now)
    return orders


def of(orders: list[do.Action], kind: type) -> list[Any]:
    return [o for o in orders if isinstance(o, kind)]


def with_results(*results: dict[str, Any]) -> MessagesRequest:
    return dataclasses.replace(REQUEST, messages=(*REQUEST.messages, Message("user", results)))


def busy() -> ev.PtyOutput:
    return ev.PtyOutput("slot-1", "\x1b]0;◐ Claude Code\x07".encode())


def running() -> Session:
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST), busy())
    assert s.state is State.RUNNING
    return s


def test_the_table_is_whole() -> None:
    """Every state has a row, each entry stands under its own event, and from each state a way leads to the end."""
    assert set(TABLE) == set(State)
    for start in State:
        assert all(entry.event is event for event, entry in TABLE[start].items())
        reached, todo = {start}, [start]
        while todo:
            for entry in TABLE[todo.pop()].values():
                if entry.state is not None and entry.state not in reached:
                    reached.add(entry.state)
                    todo.append(entry.state)
        assert State.DEAD in reached


def test_every_live_state_takes_what_can_come_at_any_time() -> None:
    """The runtime loses fds and children whenever it wants, deadlines pass, clients leave, the pool changes its mind."""
    anytime = {ev.PtyOutput, ev.PtyClosed, ev.ChildExited, ev.SlotBroke, ev.DeadlinePassed, ev.TurnAbandoned, ev.Retired}
    for state in LIVE:
        assert anytime <= set(TABLE[state]), f"{state} lacks {anytime - set(TABLE[state])}"


@pytest.mark.parametrize("state", DYING)
def test_a_dying_process_ignores_facts_that_come_late(state: State) -> None:
    s = session()
    s.state = state
    for late in (ev.GateOpened("slot-1"), ev.TurnEnded(), ev.Retired("room"), ev.HookArrived("slot-1", Stopped("x"))):
        assert drive(s, late, 1.0) == []
        assert s.state is state


def test_an_event_that_a_state_does_not_list_is_refused_by_name() -> None:
    with pytest.raises(Refused, match=r"spawning.*MessageBrought"):
        drive(session(), ev.MessageBrought(1, REQUEST, keys("hi")), 0.0)


@pytest.mark.parametrize("sign", [ev.HookArrived("slot-1", Stopped("x")), ev.WireArrived(DONE)])
def test_a_process_that_begins_a_turn_by_itself_is_ended_and_its_call_answered_elsewhere(sign: Any) -> None:
    """A transcript was cut off while its process booted, and ended in its placeholder's question: Claude Code answered
    that. Its hook met a state that did not know it, and the call that had been given to the process got an error 500."""
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.TurnAssigned(1, REQUEST))
    orders = feed(s, sign)
    assert s.state is State.KILLING
    assert of(orders, do.SignalChild)
    (part,) = s.parts
    assert isinstance(part, Failed)
    assert part.lost
    assert part.unseen


def test_a_call_from_hand_over_to_the_grave() -> None:
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"))
    assert s.state is State.WAITING
    orders = feed(s, ev.TurnAssigned(1, REQUEST))
    assert s.state is State.STARTING
    assert b'"text":"hi"' in of(orders, do.HandOver)[0].transcript
    orders = feed(
        s, ev.HookArrived("slot-1", Displayed("u", 0, True, "yo")), ev.HookArrived("slot-1", Stopped("yo")), ev.WireArrived(DONE)
    )
    assert s.state is State.KILLING
    assert [type(p) for p in s.parts if isinstance(p, Finished)] == [Finished]
    assert of(orders, do.SignalChild) == [do.SignalChild("slot-1", "TERM")]
    orders = feed(s, ev.ChildExited("slot-1", 0), ev.PtyClosed("slot-1"))
    assert s.state is State.DEAD
    assert of(orders, do.RemoveSlot)


def test_a_call_that_comes_while_the_process_boots_waits_for_the_gate() -> None:
    s = session()
    orders = feed(s, ev.SlotSpawned("slot-1", 7), ev.TurnAssigned(1, REQUEST))
    assert of(orders, do.HurryGate)
    orders = feed(s, ev.GateOpened("slot-1"))
    assert s.state is State.STARTING
    assert of(orders, do.HandOver)


def test_a_client_that_leaves_before_the_hand_over_leaves_the_process_as_new() -> None:
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.TurnAssigned(1, REQUEST), ev.TurnAbandoned(), ev.GateOpened("slot-1"))
    assert s.state is State.WAITING
    assert s.is_free


def test_a_client_that_leaves_in_the_turn_interrupts_it() -> None:
    s = running()
    orders = feed(s, ev.TurnAbandoned())
    assert s.state is State.INTERRUPTING
    assert of(orders, do.WritePty) == [do.WritePty("slot-1", b"\x1b")]
    orders = feed(s, ev.DeadlinePassed(SlotDue.STATE))
    assert s.state is State.KILLING
    assert of(orders, do.SignalChild)


def test_our_own_workspace_is_trusted_key_by_key() -> None:
    """Keys that came while the dialog was still being painted reset it, so each waits and looks again."""
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST))
    orders = feed(s, ev.PtyOutput("slot-1", TRUST.format(WORKSPACE).encode()))
    assert not of(orders, do.WritePty)
    assert of(orders, do.SetTimer)[-1].key == SlotTimer("slot-1", SlotDue.DIALOG)
    orders = feed(s, ev.DialogSettled())
    assert of(orders, do.WritePty) == [do.WritePty("slot-1", b"\x1b[B")]
    feed(s, ev.PtyOutput("slot-1", b"\x1b[3;1H   No, exit \r\n \xe2\x9d\xaf Yes, I trust this folder"))
    orders = feed(s, ev.DialogSettled())
    assert of(orders, do.WritePty) == [do.WritePty("slot-1", b"\r")]


@pytest.mark.parametrize(
    ("screen", "status", "words"),
    [
        (TRUST.format("/home/user/project"), 500, "dialog"),
        ("\x1b[2J\x1b[H Welcome to Claude Code v2\r\n Choose the text style", 500, "has not been set up"),
        ("\x1b[2J\x1b[H Select login method:\r\n ❯ 1. Claude account", 401, "not logged in"),
        ("\x1b[2J\x1b[H Brand new question?\r\n ❯ 1. Yes\r\n Enter to confirm", 500, "Brand new question?"),
    ],
)
def test_a_dialog_that_is_not_ours_to_answer_is_reported(screen: str, status: int, words: str) -> None:
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST))
    orders = feed(s, ev.PtyOutput("slot-1", screen.encode()))
    assert s.state is State.KILLING
    assert all(o.data != b"\r" for o in of(orders, do.WritePty))
    error = s.parts[0].error  # type: ignore[union-attr]
    assert error.status == status
    assert words in error.message


def test_a_conversation_on_the_screen_is_never_taken_for_a_dialog() -> None:
    """The screen shows the client's own texts once the title is set; none of them may press a key."""
    s = running()
    orders = feed(s, ev.PtyOutput("slot-1", TRUST.format(WORKSPACE).encode()), ev.DialogSettled())
    assert s.state is State.RUNNING
    assert not of(orders, do.WritePty)


PROGRAM_TITLES = [
    "claude",
    "C:\\Users\\a b\\.local\\bin\\claude.exe",
    "Administrator: C:\\claude.exe",
    r"C:\Windows\system32\cmd.exe - claude",
    "/usr/bin/claude",
]


@pytest.mark.parametrize("title", PROGRAM_TITLES)
@pytest.mark.parametrize("mode", [do.Mode.GATE, do.Mode.PROMPT])
def test_the_trust_dialog_is_answered_under_the_title_that_windows_gives_a_terminal(title: str, mode: do.Mode) -> None:
    """There a program's name is the title before it has painted anything. It was taken for Claude Code's own, after which
    no dialog is looked for: on a fresh machine each call failed.
    """
    s = session(mode=mode)
    orders = feed(s, ev.SlotSpawned("slot-1", 7), ev.PtyOutput("slot-1", f"\x1b]0;{title}\x07".encode()))
    assert s.types_exactly is None
    orders = feed(s, ev.PtyOutput("slot-1", TRUST.format(WORKSPACE).encode()), ev.DialogSettled())
    assert [o.data for o in of(orders, do.WritePty)] == [b"\x1b[B"]


@pytest.mark.parametrize("title", ["✳ Claude Code", "✳ Ask claude", "◐ claude", "⠂ fix bin/claude", "Claude Code"])
def test_its_own_title_is_known(title: str) -> None:
    assert screens.has_begun(title)


@pytest.mark.parametrize("first", [ev.ChildExited("slot-1", -9), ev.PtyClosed("slot-1")])
@pytest.mark.parametrize("state", ["spawning", "waiting", "starting", "running"])
def test_a_process_may_die_in_any_state_and_in_either_order(first: Any, state: str) -> None:
    s = session()
    events = [ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST), busy()]
    feed(s, *events[: ["spawning", "waiting", "starting", "running"].index(state) + 1])
    assert s.state.value == state
    second = ev.PtyClosed("slot-1") if isinstance(first, ev.ChildExited) else ev.ChildExited("slot-1", -9)
    orders = feed(s, first, second)
    assert s.state is State.DEAD
    assert [type(p) for p in s.parts] == [Failed]
    assert len(of(orders, do.RemoveSlot)) == 1


@pytest.mark.parametrize(
    ("prepare", "status", "words"),
    [
        (lambda s: feed(s, ev.SlotSpawned("slot-1", 7), ev.TurnAssigned(1, REQUEST)), 504, "spawn_limit_s"),
        (
            lambda s: feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST)),
            504,
            "start_limit_s",
        ),
        (
            lambda s: feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST), busy()),
            504,
            "silence_limit_s",
        ),
    ],
)
def test_each_state_has_a_named_deadline(prepare: Callable[[Session], Any], status: int, words: str) -> None:
    s = session()
    prepare(s)
    drive(s, ev.DeadlinePassed(SlotDue.STATE), 100.0)
    assert s.state is State.KILLING
    error = s.parts[0].error  # type: ignore[union-attr]
    assert error.status == status
    assert words in error.message


def test_a_turn_that_only_redraws_its_screen_ends_at_the_turn_limit() -> None:
    s = running()
    drive(s, ev.PtyOutput("slot-1", b"spinner"), 590.0)
    drive(s, ev.DeadlinePassed(SlotDue.STATE), 602.0)
    assert "turn_limit_s" in s.parts[0].error.message  # type: ignore[union-attr]


def test_one_that_ignores_term_gets_kill_and_one_that_ignores_kill_is_given_up() -> None:
    s = running()
    feed(s, ev.TurnAbandoned(), ev.DeadlinePassed(SlotDue.STATE))
    orders = feed(s, ev.DeadlinePassed(SlotDue.STATE))
    assert of(orders, do.SignalChild) == [do.SignalChild("slot-1", "KILL")]
    feed(s, ev.ChildExited("slot-1", -9))
    feed(s, ev.DeadlinePassed(SlotDue.STATE))
    assert s.state is State.DEAD


def test_waiting_for_the_transcript_has_one_deadline_that_is_not_put_off() -> None:
    s = running()
    orders = feed(s, ev.HookArrived("slot-1", Stopped("text")))
    assert [o.at for o in of(orders, do.SetTimer) if o.key.due is SlotDue.LAG] == [1.0 + Config().transcript_lag_s]
    orders = feed(s, busy(), now=3.0)
    assert not [o for o in of(orders, do.SetTimer) if o.key.due is SlotDue.LAG]
    feed(s, ev.DeadlinePassed(SlotDue.LAG))
    assert "without writing its answer" in s.parts[0].error.message  # type: ignore[union-attr]


def test_an_answer_cut_at_max_tokens_is_interrupted_before_it_goes_on() -> None:
    s = running()
    full = dataclasses.replace(DONE, usage={"output_tokens": 100})
    assert do.WritePty("slot-1", b"\x1b") in feed(s, ev.WireArrived(full))


def line(kind: str, **message: Any) -> ev.TranscriptGrew:
    return ev.TranscriptGrew("slot-1", "slot-1", json.dumps({"type": kind, "message": message}).encode() + b"\n")


@pytest.mark.parametrize("asked", [False, True])
def test_results_that_claude_code_never_asks_for_go_to_another_process(asked: bool) -> None:
    """Seen once in the suite: the follow-up of a call of an unknown tool came before the line by which Claude Code refuses it.

    The results then waited for a question that never came, and the client waited too.
    """
    request = dataclasses.replace(REQUEST, tools=(Tool("f", "", {"type": "object"}),))
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, request), busy())
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    feed(s, line("assistant", id="m1", model="m", content=[call], stop_reason="tool_use", usage={}))
    assert s.state is State.RUNNING
    feed(s, ev.ToolCalled(9, mcp.ToolCalled("toolu_1", 1)) if asked else ev.DeadlinePassed(SlotDue.LAG))
    assert s.state is State.PARKED
    s.parts.clear()
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "it"}
    feed(s, ev.ResultsBrought(2, with_results(result)))
    feed(s, line("user", content=[result]))
    assert [p.lost for p in s.parts if isinstance(p, Failed)] == ([] if asked else [True])
    assert s.state is (State.RUNNING if asked else State.KILLING)


def test_an_answer_that_asks_for_tools_is_whole_before_it_is_given() -> None:
    """Its lines came one by one, on a busy machine, and all of them name `tool_use`: the client got the text without the call."""
    request = dataclasses.replace(REQUEST, tools=(Tool("f", "", {"type": "object"}),))
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, request), busy())
    calls = [{"type": "tool_use", "id": f"toolu_{n}", "name": "f", "input": {}} for n in range(2)]
    feed(s, ev.HookArrived("slot-1", Displayed("u", 0, True, "let me see")))
    for block in ({"type": "text", "text": "let me see"}, calls[0]):
        feed(s, line("assistant", id="m1", model="m", content=[block], stop_reason="tool_use", usage={}))
    feed(s, ev.ToolCalled(9, mcp.ToolCalled("toolu_1", 1)))
    assert not [p for p in s.parts if isinstance(p, Finished)]
    feed(s, line("assistant", id="m1", model="m", content=[calls[1]], stop_reason="tool_use", usage={}))
    assert [len(p.answer.content) for p in s.parts if isinstance(p, Finished)] == [3]
    assert s.state is State.PARKED


def test_late_lines_of_a_round_before_do_not_end_a_parked_process() -> None:
    """An answer need not wait for its lines. Those of the text or the results before it came when its process was parked, and
    ended it.
    """
    s = session()
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST), busy())
    s.state, s.calls.handed = State.PARKED, {"toolu_1"}
    late = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "r"}
    feed(s, line("user", content=[late]), line("assistant", id="m1", model="m", content=[], stop_reason=None, usage={}))
    s.turn = s.current_turn().typed(True, has_new_transcript=True)
    feed(s, said("user", "what was typed"))
    assert s.state is State.PARKED
    feed(s, line("user", content=[late | {"tool_use_id": "toolu_2"}]))  # Claude Code has answered by itself
    assert s.state is State.KILLING


def answered(text: str = "yo") -> Session:
    """A session that has answered "hi" and is kept."""
    s = session(Config(kept=1))
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST), busy())
    feed(
        s, ev.HookArrived("slot-1", Displayed("u", 0, True, text)), ev.HookArrived("slot-1", Stopped(text)), ev.WireArrived(DONE)
    )
    assert s.state is State.KEPT
    feed(s, ev.PtyOutput("slot-1", "\x1b]0;✳ Claude Code\x07".encode()))
    s.parts.clear()
    return s


def test_a_process_that_was_interrupted_is_not_kept() -> None:
    """An answer just as long as `max_tokens` looks cut off, so Esc is pressed. Claude Code wrote "[Request interrupted by
    user]" into its conversation, and the model got that with the next message."""
    s = session(Config(kept=1))
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST), busy())
    full = RequestDone("claude-sonnet-4-5", {"input_tokens": 1, "output_tokens": KEY.max_tokens}, "r")
    orders = feed(
        s, ev.HookArrived("slot-1", Displayed("u", 0, True, "yo")), ev.HookArrived("slot-1", Stopped("yo")), ev.WireArrived(full)
    )
    assert do.WritePty("slot-1", b"\x1b") in orders
    late = {"id": "m1", "model": "m", "stop_reason": "end_turn", "usage": {}}
    feed(s, said("assistant", "yo", **late))
    assert [p.answer.content[0]["text"] for p in s.parts if isinstance(p, Finished)] == ["yo"]
    assert s.state is State.KILLING


def keys(text: str) -> Draft:
    return Draft(text, Way.KEYS)


def said(kind: str, text: str, **message: Any) -> ev.TranscriptGrew:
    return line(kind, content=[{"type": "text", "text": text}], **message)


def test_the_next_message_is_typed_and_compared_before_it_counts() -> None:
    s = answered()
    orders = feed(s, ev.MessageBrought(2, STREAMED, keys("more")))
    assert (s.state, s.call) == (State.TYPING, 2)
    assert of(orders, do.WritePty) == [do.WritePty("slot-1", prompt.keys("more"))]
    assert [typed.admits(s, Submitted(*told)) for told in (("more", "slot-1"), ("more ", "slot-1"), ("more", "other"))] == [
        True,
        False,
        False,
    ]
    feed(s, ev.HookArrived("slot-1", Submitted("more", "slot-1")))
    assert s.state is State.RUNNING
    orders = feed(
        s, ev.HookArrived("slot-1", Displayed("v", 0, True, "so")), ev.HookArrived("slot-1", Stopped("so")), ev.WireArrived(DONE)
    )
    assert s.state is State.KEPT
    assert of(orders, do.ForgetPrompts)
    assert [p.answer.content[0]["text"] for p in s.parts if isinstance(p, Finished)] == ["so"]
    assert not typed.admits(s, Submitted("more", "slot-1"))


@pytest.mark.parametrize("sign", [ev.PtyOutput("slot-1", "\x1b]0;✳ x\x07".encode()), ev.PromptSettled()])
def test_the_next_message_is_not_typed_into_a_process_that_puts_its_turn_away(sign: Any) -> None:
    """An answer is given before Claude Code has heard its own Stop hook: a text that came now would wait in its queue."""
    s = answered()
    feed(s, ev.PtyOutput("slot-1", "\x1b]0;◐ x\x07".encode()))
    assert not of(feed(s, ev.MessageBrought(2, STREAMED, keys("more")), ev.PtyOutput("slot-1", b"...")), do.WritePty)
    assert do.WritePty("slot-1", prompt.keys("more")) in feed(s, sign)


def test_what_keys_cannot_carry_is_brought_by_the_editor_and_sent_once_it_is_in_the_prompt() -> None:
    """Enters that a busy process found together were line breaks to it: they spoiled this text, or stayed for the next."""
    s = answered()
    orders = feed(s, ev.MessageBrought(2, STREAMED, Draft("a\ttab", Way.EDITOR)))
    assert of(orders, do.OpenEditor) == [do.OpenEditor("slot-1", "a\ttab", prompt.OPEN_EDITOR)]
    assert not of(orders, do.WritePty)
    enter = do.WritePty("slot-1", prompt.ENTER)
    half = len(prompt.EDITOR_LEFT) // 2
    assert not of(feed(s, ev.PtyOutput("slot-1", b"\x1b[?2004l\x1b[2J" + prompt.EDITOR_LEFT[:half])), do.SetTimer)
    for painted, is_sent in ((prompt.EDITOR_LEFT[half:] + b"\x1b[38;3H", False), ("❯ a".encode(), True)):
        (timer,) = of(feed(s, ev.PtyOutput("slot-1", painted), now=1.1), do.SetTimer)
        assert (timer.key, timer.at < 1.2) == (SlotTimer("slot-1", SlotDue.PROMPT), True)
        assert (enter in feed(s, ev.PromptSettled(), now=1.1)) is is_sent
    assert enter not in feed(s, ev.PtyOutput("slot-1", b"busy"), ev.PromptSettled(), now=1.2)
    assert enter in feed(s, ev.PromptSettled(), now=2.3)  # it was not taken
    feed(s, ev.HookArrived("slot-1", Submitted("a\ttab", "slot-1")))
    assert s.state is State.RUNNING
    assert not of(feed(s, ev.PromptSettled(), now=4.0), do.WritePty)


def test_a_text_that_the_prompt_has_lost_is_replayed_at_once() -> None:
    """A conversation that was just loaded emptied the prompt, one time in sixty: the call waited for `submit_limit_s`."""
    s = answered()
    feed(s, ev.MessageBrought(2, STREAMED, Draft("a\ttab", Way.EDITOR)), now=2.0)
    feed(s, ev.PtyOutput("slot-1", "\x1b]0;✳ Claude Code\x07\x1b[38;3H".encode()), now=2.1)
    assert do.WritePty("slot-1", prompt.ENTER) in feed(s, ev.PromptSettled(), now=3.1)
    assert s.state is State.TYPING
    feed(s, ev.PromptSettled(), now=4.2)
    assert s.state is State.KILLING
    assert [p.lost for p in s.parts if isinstance(p, Failed)] == [True]


BUSY, IDLE, EMPTY, TEXT = (t.encode() for t in ("\x1b]0;◐ x\x07", "\x1b]0;✳ x\x07", "\x1b[38;3H", "\x1b[38;1H❯ a"))
PRESSED, OPENED = do.WritePty("slot-1", prompt.ENTER), do.OpenEditor("slot-1", "a\ttab", prompt.OPEN_EDITOR)


def edited(*outputs: bytes) -> list[list[Any]]:
    """A process with a text from the editor whose terminal shows these in turn, silent for 0.2 s after each: its orders."""
    s = answered()
    feed(s, ev.MessageBrought(2, STREAMED, Draft("a\ttab", Way.EDITOR)), now=2.0)
    feed(s, ev.PtyOutput("slot-1", prompt.EDITOR_LEFT), now=2.1)
    orders = []
    for number, output in enumerate(outputs):
        given = feed(s, ev.PtyOutput("slot-1", output), now=2.2 + number / 5)
        given += feed(s, ev.PromptSettled(), now=2.39 + number / 5)
        orders.append([o for o in given if isinstance(o, (do.WritePty, do.OpenEditor))])
    return orders


def test_nothing_is_kept_where_nothing_is_typed() -> None:
    """A process of 200 MB waited for two minutes for a message that no call could have brought to it."""
    s = session(Config(kept=1, typing=False))
    feed(s, ev.SlotSpawned("slot-1", 7), ev.GateOpened("slot-1"), ev.TurnAssigned(1, REQUEST), busy())
    feed(
        s, ev.HookArrived("slot-1", Displayed("u", 0, True, "yo")), ev.HookArrived("slot-1", Stopped("yo")), ev.WireArrived(DONE)
    )
    assert s.state is State.KILLING


def test_a_text_that_a_loaded_conversation_has_emptied_is_brought_once_more() -> None:
    """One call in fifty, one in eight on a busy machine, was replayed after a second: Enter had found an empty prompt."""
    assert edited(BUSY + TEXT, IDLE + EMPTY, TEXT, EMPTY) == [[PRESSED], [OPENED], [PRESSED], []]
    assert edited(IDLE + EMPTY, TEXT) == [[OPENED], [PRESSED]]  # before Enter


def test_a_text_that_waits_for_the_conversation_is_not_brought_once_more() -> None:
    """Sent twice, the model would have seen it twice."""
    assert edited(BUSY + TEXT, EMPTY, IDLE, IDLE) == [[PRESSED], [], [], []]
    assert edited(BUSY + TEXT, IDLE + EMPTY, BUSY + TEXT, TEXT) == [[PRESSED], [OPENED], [], []]


def test_a_long_text_has_longer_to_reach_the_prompt() -> None:
    """63,000 characters came 0.18 s after the editor had gone: one call in three had them brought twice, and was replayed."""
    for length, is_lost in ((10, True), (63_000, False)):
        s = answered()
        feed(s, ev.MessageBrought(2, STREAMED, Draft("a\t" * (length // 2), Way.EDITOR)), now=2.0)
        feed(s, ev.PtyOutput("slot-1", IDLE + prompt.EDITOR_LEFT + EMPTY), now=2.1)
        assert bool(of(feed(s, ev.PromptSettled(), now=2.3), do.OpenEditor)) is is_lost
        assert PRESSED in feed(s, ev.PtyOutput("slot-1", TEXT), ev.PromptSettled(), now=2.4)


def test_without_a_sign_of_the_editors_text_enter_is_pressed_in_the_end() -> None:
    s = answered()
    orders = feed(s, ev.MessageBrought(2, STREAMED, Draft("a\ttab", Way.EDITOR)))
    (at,) = (t.at for t in of(orders, do.SetTimer) if t.key.due is SlotDue.PROMPT)
    assert at == pytest.approx(2.0, abs=0.001)
    assert do.WritePty("slot-1", prompt.ENTER) in feed(s, ev.PromptSettled(), now=at)


@pytest.mark.parametrize("mode", [do.Mode.GATE, do.Mode.PROMPT])
def test_a_process_that_waits_for_its_conversation_waits_for_its_tools(mode: do.Mode) -> None:
    """Without an answer within a minute Claude Code gave the tools up: the model was not told of them."""
    s = session(mode=mode)
    feed(s, ev.SlotSpawned("slot-1", 7))
    question = mcp.Asked(mcp.LIST, 3, {})
    assert not of(feed(s, ev.ToolsAsked(9, question)), do.Respond)
    feed(s, ev.GateOpened("slot-1") if mode is do.Mode.GATE else ev.PromptReached())
    request = dataclasses.replace(REQUEST, tools=(Tool("f", "", {"type": "object"}),))
    (reply,) = of(feed(s, ev.TurnAssigned(1, request, keys("hi"))), do.Respond)
    assert (reply.client, [t["name"] for t in json.loads(reply.body)["result"]["tools"]]) == (9, ["f"])
    (again,) = of(feed(s, ev.ToolsAsked(11, question)), do.Respond)
    assert again.body == reply.body


def test_lines_of_the_answer_before_are_not_taken_for_the_next_one() -> None:
    """The transcript lags: a client that went on at once got the previous answer again, as its next one."""
    s = answered()
    feed(s, ev.MessageBrought(2, REQUEST, keys("more")), ev.HookArrived("slot-1", Submitted("more", "slot-1")))
    late = {"id": "m1", "model": "m", "stop_reason": "end_turn", "usage": {}}
    feed(s, said("assistant", "yo", **late), said("user", "more"))
    assert not s.parts
    feed(
        s, ev.HookArrived("slot-1", Displayed("v", 0, True, "so")), ev.HookArrived("slot-1", Stopped("so")), ev.WireArrived(DONE)
    )
    feed(s, ev.MessageBrought(3, REQUEST, keys("and")), ev.HookArrived("slot-1", Submitted("and", "slot-1")))
    feed(s, said("assistant", "so", **late | {"id": "m2"}), said("user", "and"), said("assistant", "end", **late | {"id": "m3"}))
    feed(s, ev.HookArrived("slot-1", Displayed("w", 0, True, "end")), ev.HookArrived("slot-1", Stopped("end")))
    assert [p.answer.content[0]["text"] for p in s.parts if isinstance(p, Finished)] == ["so", "end"]


@pytest.mark.parametrize(
    "event",
    [
        ev.HookArrived("slot-1", Submitted("mor", "slot-1")),
        ev.DeadlinePassed(SlotDue.STATE),
        ev.Retired("room"),
        ev.ChildExited("slot-1", 1),
    ],
)
def test_a_message_that_was_not_taken_can_still_be_replayed(event: Any) -> None:
    s = answered()
    feed(s, ev.MessageBrought(2, REQUEST, keys("more")), event)
    assert [p.lost for p in s.parts if isinstance(p, Failed)] == [True]
    assert s.state in (State.KILLING, State.DRAINING)
    orders = feed(s, ev.ChildExited("slot-1", 0), ev.PtyClosed("slot-1"))
    assert of(orders, do.ForgetPrompts)


def test_a_kept_process_ends_when_its_time_is_over_and_says_nothing() -> None:
    s = answered()
    orders = feed(s, ev.DeadlinePassed(SlotDue.STATE))
    assert (s.state, s.parts) == (State.KILLING, [])
    assert of(orders, do.SignalChild)


def test_a_prompt_that_nobody_typed_is_not_admitted_and_ends_the_turn() -> None:
    s = running()
    assert not typed.admits(s, Submitted("", "slot-1"))
    feed(s, ev.HookArrived("slot-1", Submitted("hello", "slot-1")))
    assert [p.error.status for p in s.parts if isinstance(p, Failed)] == [500]
