"""The merging of hooks, transcript and telemetry into one answer, as scripts of facts and parts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from relayd.anthropic.request import Thinking
from relayd.claude.hooks import Displayed, Stopped, TurnFailed
from relayd.claude.launch import LaunchKey
from relayd.claude.telemetry import RequestDone, RequestFailed
from relayd.claude.transcript import AssistantLine, ErrorLine, Refusal, UserLine
from relayd.core.session.live import TextShown
from relayd.core.session.parts import BlockShown, Failed, Finished, Part, Wait
from relayd.core.session.turn import Turn

OFF = LaunchKey("claude-sonnet-4-5", 100)
ON = LaunchKey("claude-sonnet-4-5", 4000, Thinking("enabled", 2000))
STOPS = LaunchKey("claude-sonnet-4-5", 100, stop_sequences=("END",))
BY_DEFAULT = LaunchKey("claude-opus-5-5", 4000)
USAGE = {"input_tokens": 5, "output_tokens": 3}
DONE = RequestDone("claude-sonnet-4-5", USAGE, "req_1")


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def thinking(value: str = "hm") -> dict[str, Any]:
    return {"type": "thinking", "thinking": value, "signature": "s"}


def line(*blocks: dict[str, Any], stop: str | None = "end_turn", name: str = "msg_1") -> AssistantLine:
    return AssistantLine(name, "claude-sonnet-4-5", blocks, stop, None, None, USAGE, "req_1")


def show(index: int, delta: str, final: bool = False, message: str = "u1") -> Displayed:
    return Displayed(message, index, final, delta)


def run(turn: Turn, *facts: Any) -> list[Part]:
    """The parts that facts bring, in order."""
    parts: list[Part] = []
    for fact in facts:
        if isinstance(fact, Displayed):
            parts += turn.displayed(fact, is_late=not turn.awaits_report)
        elif isinstance(fact, Stopped):
            parts += turn.stopped(fact)
        elif isinstance(fact, TurnFailed):
            parts += turn.failed(fact)
        elif isinstance(fact, RequestDone | RequestFailed):
            parts += turn.reported(fact)
        else:
            parts += turn.read([fact])
    return parts


def answer(parts: list[Part]) -> Any:
    ends = [p for p in parts if isinstance(p, Finished | Failed)]
    assert len(ends) == 1
    assert parts[-1] is ends[0]
    return ends[0].answer if isinstance(ends[0], Finished) else ends[0].error


def shown(parts: list[Part]) -> str:
    return "".join(p.text for p in parts if isinstance(p, TextShown))


FACTS = [show(0, "one\n\n"), show(1, "two", final=True), Stopped("one\n\ntwo"), DONE, line(text("one\n\ntwo"))]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_an_answer_does_not_depend_on_the_order_of_its_channels(order: tuple[int, ...]) -> None:
    """Hooks, telemetry and transcript come over different connections and files."""
    turn = Turn(OFF)
    parts = run(turn, *(FACTS[i] for i in order))
    found = answer(parts)
    assert found.content == (text("one\n\ntwo"),)
    assert (found.stop_reason, found.usage.fields["output_tokens"]) == ("end_turn", 3)
    assert shown(parts) == "one\n\ntwo"


def test_the_transcript_is_not_waited_for_where_the_hooks_say_the_same() -> None:
    parts = run(Turn(OFF), show(0, "all", final=True), Stopped("all"), DONE)
    assert answer(parts).content == (text("all"),)


def test_a_stop_sequence_is_named_by_the_transcript_which_is_waited_for() -> None:
    turn = Turn(STOPS)
    assert not [p for p in run(turn, show(0, "all", final=True), Stopped("all"), DONE) if isinstance(p, Finished)]
    stopped = AssistantLine("msg_1", "m", (text("all"),), "stop_sequence", "END", None, USAGE, "req_1")
    found = answer(run(turn, stopped))
    assert (found.stop_reason, found.stop_sequence) == ("stop_sequence", "END")


def test_two_text_blocks_are_told_apart_by_the_transcript() -> None:
    """The hook runs texts together; its last_assistant_message is only the last block, which gives it away."""
    turn = Turn(OFF)
    parts = run(turn, show(0, "firstsecond", final=True), Stopped("second"), DONE)
    assert turn.wait is Wait.TRANSCRIPT
    parts += run(turn, line(text("first"), stop="end_turn"), line(text("second")))
    assert answer(parts).content == (text("first"), text("second"))
    assert shown(parts) == "firstsecond"


def test_asked_thinking_comes_before_the_text_in_a_stream() -> None:
    turn = Turn(ON)
    parts = run(turn, show(0, "a\n"), show(1, "b", final=True), Stopped("a\nb"), DONE)
    assert parts == []
    parts = run(turn, line(thinking()), line(text("a\nb")))
    assert [type(p) for p in parts] == [BlockShown, TextShown, Finished]
    assert answer(parts).content == (thinking(), text("a\nb"))


def test_thinking_that_nobody_asked_for_does_not_hold_up_a_stream() -> None:
    turn = Turn(BY_DEFAULT)
    parts = run(turn, show(0, "a\n"))
    assert shown(parts) == "a\n"
    parts += run(turn, show(1, "b", final=True), Stopped("a\nb"), DONE)
    assert not [p for p in parts if isinstance(p, Finished)]
    parts += run(turn, line(thinking()), line(text("a\nb")))
    assert not [p for p in parts if isinstance(p, BlockShown)]
    assert answer(parts).content == (text("a\nb"),)  # what the client has seen, so that its next request continues it


@pytest.mark.parametrize("reason", ["max_tokens", "refusal"])
def test_what_claude_code_goes_on_with_is_not_the_clients(reason: str) -> None:
    """Seen on 2.1.330: after a cut answer a hidden user line and a second request follow by themselves."""
    turn = Turn(OFF)
    parts = run(turn, show(0, "cut", final=True), show(0, "more", message="u2"), line(text("cut"), stop=reason))
    parts += run(turn, UserLine())
    found = answer(parts)
    assert (found.content, found.stop_reason) == ((text("cut"),), reason)
    assert run(turn, line(text("more"), name="msg_2"), Stopped("more")) == []


@pytest.mark.parametrize("stop", ["max_tokens", "refusal"])
def test_an_answer_that_was_cut_is_whole_when_its_last_line_is_there(stop: str) -> None:
    """Seen on 2.1.330: each line names the reason, and a long one was read before the next: the answer lost its text."""
    turn = Turn(ON)
    assert not [p for p in run(turn, line(thinking(), stop=stop)) if isinstance(p, Finished)]
    assert turn.wait is Wait.REST
    follows = UserLine() if stop == "max_tokens" else ErrorLine("invalid_request", "API Error: can't help")
    assert answer(run(turn, line(text("so far"), stop=stop), follows)).content == (thinking(), text("so far"))


def test_an_answer_that_was_cut_ends_also_where_nothing_follows() -> None:
    turn = Turn(OFF)
    parts = run(turn, line(text("cut"), stop="max_tokens"))
    assert answer([*parts, *turn.expire()]).content == (text("cut"),)


REFUSED = [
    TurnFailed("invalid_request", "", "API Error: the safeguards flagged this message"),
    DONE,
    ErrorLine("invalid_request", "API Error: …", None, Refusal("msg_7", "claude-opus-5-5", {"type": "refusal"})),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_refusal_without_content_is_the_apis_answer(order: tuple[int, ...]) -> None:
    """Claude Code made an error of it, and it waited 5 s for lines that never come: 400 "API Error: … can't help with this"."""
    found = answer(run(Turn(OFF), *(REFUSED[i] for i in order)))
    assert (found.content, found.stop_reason, found.stop_details) == ((), "refusal", {"type": "refusal"})
    assert (found.id, found.model, found.usage.fields) == ("msg_7", "claude-opus-5-5", USAGE)


def test_a_refusal_is_an_answer_without_telemetry_too() -> None:
    turn = Turn(OFF)
    assert run(turn, REFUSED[0], ErrorLine("invalid_request", "", None, Refusal("", "", None))) == []
    found = answer(turn.expire())
    assert (found.stop_reason, found.model, found.id[:6]) == ("refusal", "claude-sonnet-4-5", "msg_01")


def test_a_refusal_is_an_answer_although_claude_code_calls_it_a_failure() -> None:
    """With its own retry turned off, 2.1.330 reports StopFailure for a refusal; the transcript has the API's answer."""
    turn = Turn(OFF)
    parts = run(
        turn, show(0, "so far", final=True), DONE, TurnFailed("invalid_request", "", "API Error: it can't help with this")
    )
    assert turn.wait is Wait.TRANSCRIPT
    parts += run(turn, line(text("so far"), stop="refusal"), ErrorLine("invalid_request", "API Error: it can't help"))
    assert (answer(parts).stop_reason, answer(parts).content) == ("refusal", (text("so far"),))


def test_an_empty_answer_has_no_content() -> None:
    """Claude Code asks again by itself when there was nothing to show; the API's answer was the empty one."""
    parts = run(Turn(OFF), DONE, UserLine(), line(text("filler"), name="msg_2"))
    assert answer(parts).content == ()
    parts = run(Turn(OFF), line(text("")), UserLine())
    assert answer(parts).content == ()


DETAILS = '400 {"type":"error","error":{"type":"invalid_request_error","message":"Could not process image"}}'
REMOVED = ErrorLine("invalid_request", "API Error: an image could not be processed and was removed.", repaired=DETAILS)


@pytest.mark.parametrize("streams", [False, True])
def test_a_picture_that_the_api_refuses_is_its_error_and_not_an_answer_without_it(streams: bool) -> None:
    """Seen on 2.1.330: Claude Code puts a note in its place and asks again; the client got 200 and never knew."""
    turn = Turn(OFF, streams)
    turn.has_media = True
    parts = run(turn, show(0, "ok", final=True), Stopped("ok"), DONE)
    assert not [p for p in parts if isinstance(p, Finished)]
    error = answer(run(turn, REMOVED, line(text("ok"))))
    assert (error.status, error.message) == (400, "Could not process image")


def test_no_tokens_are_an_answer_of_none_at_once() -> None:
    """A call that warms the API's cache: 400 by us. Claude Code would ask again and again."""
    found = answer(run(Turn(LaunchKey("claude-sonnet-4-5", 0)), DONE))
    assert (found.content, found.stop_reason, found.usage.fields) == ((), "max_tokens", USAGE)


def test_a_text_that_differs_from_the_transcript_is_an_error() -> None:
    parts = run(Turn(OFF), show(0, "wrong"), line(text("right")))
    assert answer(parts).status == 500


@pytest.mark.parametrize(
    ("failed", "wire", "status", "message"),
    [
        (TurnFailed("unknown", "", "API Error: 400 boom"), None, 400, "boom"),
        (TurnFailed("unknown", "", "API Error: 400 boom"), RequestFailed(400, "boom", ""), 400, "boom"),
        (TurnFailed("authentication_failed", "", "Please run /login · API Error: 401 bad key"), None, 401, "bad key"),
        (TurnFailed("authentication_failed", "", "Please run /login · API Error: 403 not you"), None, 403, "not you"),
        (
            TurnFailed("authentication_failed", "", "Not logged in · Please run /login"),
            None,
            401,
            "Claude Code is not logged in.",
        ),
        (TurnFailed("model_not_found", "", "There's an issue with the selected model"), None, 404, "model: claude-sonnet-4-5"),
        (TurnFailed("model_not_found", "", "There's an issue"), RequestFailed(404, "model: x", ""), 404, "model: x"),
        (TurnFailed("rate_limit", "", "API Error: Request rejected (429) · slow down"), None, 429, "slow down"),
        (
            TurnFailed("server_error", "", "API Error: 529 Overloaded. This is a server-side issue, usually"),
            None,
            529,
            "Overloaded",
        ),
        (
            TurnFailed("server_error", "", "API Error: Connection dropped"),
            RequestFailed(0, "Connection error.", ""),
            500,
            "Connection error.",
        ),
        (
            TurnFailed("invalid_request", 'request_too_large: 413 {"error":{"message":"too big"}}', "Request too large"),
            None,
            413,
            "too big",
        ),
        (
            TurnFailed("invalid_request", '400 {"error":{"message":"prompt is too long: 2 > 1"}}', "Prompt is too long"),
            None,
            400,
            "prompt is too long: 2 > 1",
        ),
    ],
)
def test_failures_become_the_apis_errors(failed: TurnFailed, wire: RequestFailed | None, status: int, message: str) -> None:
    turn = Turn(OFF)
    parts = run(turn, failed, *([wire] if wire else []))
    if not wire:
        assert turn.wait is Wait.STATUS
        parts += turn.expire()
    error = answer(parts)
    assert (error.status, error.message[: len(message)]) == (status, message)


def test_an_error_line_without_its_hook_still_ends_the_turn() -> None:
    turn = Turn(OFF)
    assert run(turn, ErrorLine("rate_limit", "API Error: Request rejected (429) · slow")) == []
    assert answer(turn.expire()).status == 429


def test_a_lost_process_leaves_the_answer_it_had_written() -> None:
    turn = Turn(ON)
    run(turn, line(thinking(), text("whole")))
    assert answer(turn.lost("gone")).content == (thinking(), text("whole"))
    assert answer(Turn(ON).lost("gone")).message == "gone"


def test_hooks_that_come_twice_change_nothing() -> None:
    facts = [
        show(0, "a\n"),
        show(0, "a\n"),
        show(1, "b", final=True),
        show(1, "b", final=True),
        Stopped("a\nb"),
        Stopped("a\nb"),
        DONE,
        DONE,
    ]
    parts = run(Turn(OFF), *facts)
    assert shown(parts) == "a\nb"
    assert answer(parts).content == (text("a\nb"),)


def test_a_block_that_comes_behind_its_text_is_no_part_of_a_right_stream() -> None:
    """Text of the hook was sent; then the transcript has a block before that text. The client cannot get it any more."""
    server_call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    parts = run(Turn(OFF), show(0, "one\n"), line(server_call, stop=None))
    assert answer(parts).message == "a block came too late for its place in the stream"
    assert not [p for p in parts if isinstance(p, BlockShown)]
    in_time = run(Turn(OFF), line(server_call, stop=None), show(0, "one\n"))
    assert [p.block for p in in_time if isinstance(p, BlockShown)] == [server_call]
