"""Inputs of tool calls through JavaScript: given as the model wrote them where its pieces are there, else named."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from relayd.claude.launch import LaunchKey
from relayd.claude.pieces import CallPiece, InputPiece, Piece, Pieces
from relayd.core.session.live import InputShown
from relayd.core.session.raw_inputs import RawInputs, as_javascript
from relayd.core.session.turn import Finished, Turn
from tests.core.session.test_live import cut
from tests.core.session.test_turn import Stopped, line

TOOLS = LaunchKey("claude-opus-5-5", 4000, tools=True)
# What the model writes, what JavaScript makes of it, and whether that shows.
INPUTS: list[tuple[str, Any, bool]] = [
    ('{"id": 1234567890123456789}', {"id": 1234567890123456800}, True),
    ('{"a": [-9223372036854775808]}', {"a": [-9223372036854776000]}, True),
    ('{"10": 1, "9": 2}', {"9": 2, "10": 1}, True),
    ('{"a": 1.0, "b": -0.0}', {"a": 1, "b": 0}, True),
    ('{"__proto__": {"a": 1}, "b": "2"}', {"b": "2"}, False),
    ('{"a": 1e2, "t": "1234567890123456789"}', {"a": 100, "t": "1234567890123456789"}, True),
    ('{"a": 1.5, "b": [true, null, "1"], "c": 5e-324}', {"a": 1.5, "b": [True, None, "1"], "c": 5e-324}, False),
    ("", {}, False),
]


def finished(raw: list[str] | None, value: Any, streams: bool = False) -> Any:
    """The answer of a turn that calls a tool, with the pieces of the call's input or without any."""
    turn = Turn(TOOLS, streams)
    parts = []
    if raw is not None:
        given: list[Piece] = [CallPiece(0, "a", "get"), *(InputPiece(0, piece) for piece in raw)]
        for number, piece in enumerate(given):
            assert turn.wants_pieces
            parts += turn.streamed(Pieces(0, number, (piece,)))
    block = {"type": "tool_use", "id": "a", "name": "get", "input": value}
    parts += turn.read([line(block, stop="tool_use")]) + turn.called("a")
    return next(part.answer for part in parts if isinstance(part, Finished))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("raw", "value", "shows"), INPUTS)
def test_the_models_own_input_is_given_where_its_pieces_are_there(raw: str, value: Any, shows: bool, streams: bool) -> None:
    """`lookup {"id": 1234567890123456789}` came as …456800, silently."""
    found = finished(cut(raw, random.Random(raw)), value, streams)
    assert json.dumps(found.content[0]["input"]) == json.dumps(json.loads(raw or "{}"))
    assert found.inexact == ()


@pytest.mark.parametrize(("raw", "value", "shows"), INPUTS)
def test_without_them_what_may_have_changed_is_named(raw: str, value: Any, shows: bool) -> None:
    found = finished(None, value)
    assert found.content[0]["input"] == value
    assert found.inexact == (("content.0.input",) if shows else ())


@pytest.mark.parametrize("raw", ['{"id": 12345678901234567', '{"id": 7}', '{"id": ]', "[1234567890123456789]", '"x"'])
def test_pieces_that_do_not_fit_the_transcript_are_not_used(raw: str) -> None:
    found = finished([raw], {"id": 1234567890123456800})
    assert found.content[0]["input"] == {"id": 1234567890123456800}
    assert found.inexact == ("content.0.input",)


def test_a_gap_ends_the_use_of_pieces() -> None:
    found = RawInputs(0, True)
    found.take(Pieces(0, 0, (CallPiece(0, "a", "get"), InputPiece(0, '{"id": 1}'))))
    found.take(Pieces(0, 3, (CallPiece(1, "b", "get"), InputPiece(1, "{}"))))
    assert not found.is_open
    block = {"type": "tool_use", "id": "b", "name": "get", "input": {}}
    assert found.exact(block) is block
    assert found.exact(block | {"id": "a", "input": {"id": 1}})["input"] == {"id": 1}
    assert found.proven == {"a"}


@pytest.mark.parametrize(("raw", "value"), [('{"__proto__": 1}', {}), ('{"a": [{"__proto__": 1}]}', {"a": [{}]})])
def test_a_process_that_has_lost_part_of_an_input_does_not_go_on(raw: str, value: Any) -> None:
    """The client will send the whole input back, which only a replay can hand over."""
    turn = Turn(TOOLS, False)
    turn.streamed(Pieces(0, 0, (CallPiece(0, "a", "get"), InputPiece(0, raw))))
    turn.read([line({"type": "tool_use", "id": "a", "name": "get", "input": value}, stop="tool_use")])
    assert turn.called("a")
    assert not turn.can_park


def note(text: str, units: int | None = None) -> dict[str, Any]:
    """What Claude Code keeps of an input that is no JSON."""
    return {"__unparsedToolInput": {"raw": text, "len": len(text.encode("utf-16-le")) // 2 if units is None else units}}


CUT = '{"path": "a.py", "id": 1234567890123456789, "text": "a 😀 li'
HELD = {"path": "a.py", "id": 1234567890123456789}


@pytest.mark.parametrize("pieces", [None, [], cut(CUT, random.Random(1))], ids=["none", "none yet", "all"])
@pytest.mark.parametrize("streams", [True, False])
def test_an_input_that_was_cut_is_what_had_arrived(pieces: list[str] | None, streams: bool) -> None:
    """The answer ended at `max_tokens` within a call. Clients got `__unparsedToolInput`, which is Claude Code's own."""
    found = finished(pieces, note(CUT), streams)
    assert found.content[0]["input"] == HELD
    assert found.inexact == ()  # no JavaScript has read it


@pytest.mark.parametrize("pieces", [True, False])
def test_a_stream_shows_an_input_that_was_cut_to_the_letter(pieces: bool) -> None:
    """It ended in an error, since the text was no beginning of what Claude Code keeps."""
    turn = Turn(TOOLS, True)
    given: list[Piece] = [CallPiece(0, "a", "get"), *(InputPiece(0, piece) for piece in cut(CUT, random.Random(2)))]
    parts = [part for n, piece in enumerate(given if pieces else []) for part in turn.streamed(Pieces(0, n, (piece,)))]
    parts += turn.read([line({"type": "tool_use", "id": "a", "name": "get", "input": note(CUT)}, stop="tool_use")])
    parts += turn.called("a")
    assert "".join(part.json for part in parts if isinstance(part, InputShown)) == CUT
    assert [type(part).__name__ for part in parts if not isinstance(part, InputShown)] == ["CallShown", "BlockEnded", "Finished"]


@pytest.mark.parametrize("seen", [None, [CUT[:9]], [CUT + " and more"]], ids=["no pieces", "some pieces", "more pieces"])
@pytest.mark.parametrize("streams", [True, False])
def test_of_a_long_input_that_was_cut_the_beginning_is_given_and_named(seen: list[str] | None, streams: bool) -> None:
    found = finished(seen, note(CUT, 5000), streams)
    assert (found.content[0]["input"], found.inexact) == (HELD, ("content.0.input",))


@pytest.mark.parametrize(
    "value", [{"__unparsedToolInput": "x"}, {"__unparsedToolInput": {"raw": 1, "len": 1}}, note("{") | {"b": 1}]
)
def test_what_only_looks_like_a_note_is_the_models(value: dict[str, Any]) -> None:
    assert finished(None, value).content[0]["input"] == value
    assert finished([json.dumps(note("{"))], note("{")).content[0]["input"] == note("{")


def test_as_javascript_has_it() -> None:
    assert as_javascript({"a": [1, True, {"__proto__": 1, "b": 2**60 + 1}]}) == {"a": [1.0, True, {"b": float(2**60)}]}


@pytest.mark.parametrize(("sequences", "named"), [(("END",), "END"), (("END", "END"), "END"), (("END", "STOP"), None)])
def test_of_several_stop_sequences_none_is_named_and_that_is_said(sequences: tuple[str, ...], named: str | None) -> None:
    turn = Turn(LaunchKey("claude-sonnet-4-5", 100, stop_sequences=sequences))
    parts = turn.read([line({"type": "text", "text": "so"}, stop="stop_sequence")]) + turn.stopped(Stopped("so"))
    found = next(part.answer for part in parts if isinstance(part, Finished))
    assert found.stop_sequence == named
    assert found.inexact == (() if named else ("stop_sequence",))
