"""Pieces of an answer from a hostile mod: lost, doubled, reordered, late, wrong. The stream is exact, or coarser, or says so."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd import codec
from relayd.anthropic.sse import StreamEncoder
from relayd.claude import pieces
from relayd.claude.launch import LaunchKey
from relayd.claude.pieces import CallPiece, InputPiece, Piece, Pieces, StopPiece, TextPiece, ThinkingPiece
from relayd.claude.transcript import AssistantLine
from relayd.core.session.live import (
    BlockEnded,
    CallShown,
    InputShown,
    TextShown,
    ThinkingShown,
    ThinkingSigned,
)
from relayd.core.session.parts import BlockShown, Failed, Finished, Part
from relayd.core.session.turn import Turn
from tests.core.session.test_turn import BY_DEFAULT, DONE, OFF, ON, Stopped, line, show, text, thinking
from tests.helpers import blocks_of

WORDS = ("one ", "two\n", "\r\n", "# drei\n\n", "四五\t", "👩‍👩‍👧", "`x`", "\u2028 ", "$\\frac{1}{2}$\n", "| a | b |\n")
COUNTS = {"input_tokens": 1, "output_tokens": 3, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
STOP = StopPiece("end_turn", "m", COUNTS)
TOOLS = LaunchKey("claude-opus-5-5", 4000, tools=True)


def call(number: int, value: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "get", "input": value}


def told(first: int, *given_pieces: Piece, step: int = 0) -> Pieces:
    return Pieces(step, first, given_pieces)


@dataclass(frozen=True)
class Raw:
    """The raw answer has come."""

    line: AssistantLine


def raw_of(content: list[dict[str, Any]], name: str = "msg_1") -> Raw:
    """An answer as telemetry tells it: whole, and its thinking redacted."""
    reason = "tool_use" if content[-1]["type"] == "tool_use" else "end_turn"
    return Raw(line(*(b | {"thinking": "<REDACTED>"} if b["type"] == "thinking" else b for b in content), stop=reason, name=name))


def cut(value: str, chance: random.Random) -> list[str]:
    """A text in a few pieces."""
    cuts = sorted(chance.randrange(len(value) + 1) for _ in range(chance.randint(0, 4)))
    return [value[a:b] for a, b in zip([0, *cuts], [*cuts, len(value)], strict=True)]


def pieces_of(content: list[dict[str, Any]], chance: random.Random) -> list[Piece]:
    """The pieces of an answer, as the mod tells them: nothing of a block that it cannot look into."""
    found: list[Piece] = []
    for index, block in enumerate(content):
        if block["type"] == "text":
            found += [TextPiece(index, piece) for piece in cut(block["text"], chance)]
        elif block["type"] == "thinking":
            found += [ThinkingPiece(index, piece) for piece in cut(block["thinking"], chance)] if block["thinking"] else []
        elif block["type"] == "tool_use":
            style = chance.choice(({}, {"separators": (",", ":"), "ensure_ascii": False}))
            raw = json.dumps(block["input"], **style) if block["input"] or chance.random() < 0.5 else ""
            found.append(CallPiece(index, block["id"], block["name"]))
            found += [InputPiece(index, piece) for piece in cut(raw, chance)]
    return [*found, StopPiece("tool_use" if content[-1]["type"] == "tool_use" else "end_turn", "m", COUNTS)]


def answer_of(chance: random.Random, asked: bool) -> list[dict[str, Any]]:
    """An answer's blocks: thinking seen or not, texts, calls, in the orders that the API has."""
    content: list[dict[str, Any]] = []
    for _ in range(chance.randint(0, 2) if asked else 0):
        content.append(thinking("".join(chance.choices(WORDS, k=chance.randint(0, 4)))))
        if chance.random() < 0.3:
            content.append({"type": "redacted_thinking", "data": "eA=="})
        if chance.random() < 0.5:
            content.append(text("".join(chance.choices(WORDS, k=3))))
    content.append(text("a" + "".join(chance.choices(WORDS, k=chance.randint(1, 12))) + "z"))
    for number in range(chance.randint(0, 2)):
        value = chance.choice(({}, {"k": 1.5, "t": '四\n"x"'}, {"deep": [{"a": None}, True], "n": 12345678901234567890}))
        content.append(call(number, value))
    return content


def posts_of(told_pieces: list[Piece], chance: random.Random) -> list[Pieces]:
    """The pieces in posts."""
    posts, first = [], 0
    *told_pieces, end = told_pieces
    while first < len(told_pieces):
        count = chance.randint(1, 4)
        posts.append(told(first, *told_pieces[first : first + count]))
        first += count
    place = chance.randint(max(0, len(posts) - 2), len(posts))  # the last one does not wait for those before it
    return [*posts[:place], told(first, end), *posts[place:]]


def spoil(posts: list[Pieces], chance: random.Random) -> list[Pieces]:
    """The same posts after a hostile way: some lost, doubled, in another order, or of another request."""
    found: list[Pieces] = []
    for post in posts:
        fate = chance.random()
        if fate > 0.1:
            found.append(post)
        if fate > 0.9:
            found.append(post)
        if fate > 0.95:
            found.append(Pieces(post.step + 1, post.first, (TextPiece(0, "another request's"),)))
    if chance.random() < 0.3 and len(found) > 1:
        place = chance.randrange(len(found) - 1)
        found[place], found[place + 1] = found[place + 1], found[place]
    return found


def hooks_of(content: list[dict[str, Any]]) -> list[Any]:
    """The text in lines, as Claude Code shows it."""
    lines = "".join(b["text"] for b in content if b["type"] == "text").splitlines(keepends=True)
    return [show(number, delta, final=number == len(lines) - 1) for number, delta in enumerate(lines)]


def woven(channels: list[list[Any]], chance: random.Random) -> list[Any]:
    """Facts of several channels: each in its own order, any delay between them."""
    queues = [list(c) for c in channels if c]
    found = []
    while queues:
        queue = chance.choice(queues)
        found.append(queue.pop(0))
        queues = [q for q in queues if q]
    return found


def run(turn: Turn, *facts: Any) -> list[Part]:
    parts: list[Part] = []
    for fact in facts:
        if isinstance(fact, Pieces):
            parts += turn.streamed(fact)
        elif isinstance(fact, str):
            parts += turn.called(fact)
        elif isinstance(fact, Raw):
            parts += turn.answered(fact.line)
        elif type(fact).__name__ == "Displayed":
            parts += turn.displayed(fact, is_late=not turn.awaits_report)
        elif isinstance(fact, Stopped):
            parts += turn.stopped(fact)
        elif fact is DONE:
            parts += turn.reported(fact)
        else:
            parts += turn.read([fact])
    return parts


def streamed(parts: list[Part]) -> list[dict[str, Any]]:
    """What a client makes of the parts: the blocks of the stream, whose framing is checked on the way."""
    encoder, data = StreamEncoder("msg_1", "m"), b""
    for part in parts:
        match part:
            case TextShown(value):
                data += encoder.text(value)
            case ThinkingShown(value):
                data += encoder.thinking(value)
            case ThinkingSigned(value):
                data += encoder.signature(value)
            case CallShown(call_id, name):
                data += encoder.call(call_id, name)
            case InputShown(value):
                data += encoder.input(value)
            case BlockEnded():
                data += encoder.stop_block()
            case BlockShown(block):
                data += encoder.block(block)
            case Finished() | Failed():
                data += encoder.stop_block()
    return blocks_of(data)


def is_same(found: list[dict[str, Any]], content: list[dict[str, Any]], asked: bool) -> None:
    """The stream has what the answer has. Texts may run together and a call may come after text, thinking may be left out
    where nobody asked: that is what a stream by lines looks like."""

    def texts(blocks: list[dict[str, Any]]) -> str:
        return "".join(b["text"] for b in blocks if b["type"] == "text")

    def others(blocks: list[dict[str, Any]], kinds: tuple[str, ...]) -> list[dict[str, Any]]:
        return [b for b in blocks if b["type"] in kinds]

    assert texts(found) == texts(content)
    assert others(found, ("tool_use",)) == others(content, ("tool_use",))
    if asked:
        assert others(found, ("thinking", "redacted_thinking")) == others(content, ("thinking", "redacted_thinking"))


def story(seed: int, asked: bool, hostile: bool) -> tuple[list[dict[str, Any]], list[Part]]:
    chance = random.Random(seed)
    content = answer_of(chance, asked or chance.random() < 0.5)
    reason = "tool_use" if content[-1]["type"] == "tool_use" else "end_turn"
    lines = [line(block, stop=reason if block is content[-1] else None) for block in content]
    posts = posts_of(pieces_of(content, chance), chance)
    hooks = hooks_of(content)
    last = next(b["text"] for b in reversed(content) if b["type"] == "text")
    calls = [b["id"] for b in content if b["type"] == "tool_use"]
    channels = [
        spoil(posts, chance) if hostile else posts,
        [*hooks, *([] if calls else [Stopped(last.strip())])],
        [*lines, *calls],
        [raw_of(content)] if chance.random() < 0.7 else [],
    ]
    turn = Turn(ON if asked else chance.choice((TOOLS, OFF)) if not calls else TOOLS)
    turn.lives_on = chance.random() < 0.8
    return content, run(turn, *woven(channels, chance))


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_whatever_becomes_of_the_pieces_the_stream_has_the_answer(seed: int, asked: bool, hostile: bool) -> None:
    content, parts = story(seed, asked, hostile)
    assert isinstance(parts[-1], Finished), parts[-1]
    is_same(streamed(parts), content, asked)


def living(key: LaunchKey) -> Turn:
    """A turn of a process that lives on after it."""
    turn = Turn(key)
    turn.lives_on = True
    return turn


def test_a_text_ends_with_its_last_piece_where_the_hook_shows_the_same() -> None:
    for facts in (
        [told(0, TextPiece(0, "yes"), STOP), show(0, "yes", final=True)],
        [show(0, "yes", final=True), told(0, TextPiece(0, "yes"), STOP)],
    ):
        end = run(living(OFF), *facts)[-1]
        assert isinstance(end, Finished)
        assert (end.answer.content, end.answer.model, end.answer.usage.as_json()["output_tokens"]) == ((text("yes"),), "m", 3)


@pytest.mark.parametrize(
    "facts",
    [
        [told(0, TextPiece(0, "yes"), StopPiece("end_turn")), show(0, "yes", final=True)],  # without counts
        [told(0, TextPiece(0, "yes"), StopPiece("refusal", "m", COUNTS)), show(0, "yes", final=True)],
        [told(0, TextPiece(1, "yes"), STOP), show(0, "yes", final=True)],  # something that pieces do not tell came before it
        [told(0, TextPiece(0, "y")), told(2, STOP), show(0, "yes", final=True)],  # one is lost, or late
        [told(0, TextPiece(0, "yes"), STOP), show(0, "yes")],  # Claude Code shows more
    ],
)
def test_a_last_piece_that_does_not_say_all_ends_nothing(facts: list[Any]) -> None:
    assert not [p for p in run(living(OFF), *facts) if isinstance(p, Finished | Failed)]


def test_the_last_piece_may_come_before_the_last_but_one() -> None:
    turn = living(OFF)
    assert run(turn, told(0, TextPiece(0, "y")), told(2, STOP), show(0, "yes", final=True)) == [TextShown("y")]
    assert isinstance(run(turn, told(1, TextPiece(0, "es")))[-1], Finished)


def test_the_raw_answer_ends_a_turn_whose_text_is_shown_and_whose_thinking_is_known() -> None:
    content = [thinking("so"), text("yes")]
    known = told(0, ThinkingPiece(0, "so"), TextPiece(1, "yes"), StopPiece("end_turn"))
    turn = living(ON)
    assert not [p for p in run(turn, raw_of(content), known) if isinstance(p, Finished)]
    parts = run(turn, show(0, "yes", final=True))
    assert isinstance(parts[-1], Finished)
    assert parts[-1].answer.content == tuple(content)
    assert parts[-1].answer.id == "msg_1"
    assert run(turn, *(line(block) for block in content), Stopped("yes"), DONE) == []


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ([thinking("so"), text("yes")], [show(0, "yes", final=True)]),  # nobody has told the thinking
        ([thinking("so"), text("yes")], [told(0, ThinkingPiece(0, "so")), show(0, "yes", final=True)]),  # nor all of it
        ([text("yes")], [show(0, "yes, but", final=True)]),  # another answer's
        ([text("yes"), call(0, {})], [show(0, "yes", final=True), "toolu_other"]),
        ([text("yes"), call(0, {})], [show(0, "yes", final=True)]),  # Claude Code has not begun the call
        ([text("yes"), {"type": "server_tool_use", "id": "s", "name": "n", "input": {}}], [show(0, "yes", final=True)]),
        ([text("")], []),  # Claude Code goes on by itself
    ],
)
def test_a_raw_answer_that_does_not_say_all_ends_nothing(content: list[dict[str, Any]], facts: list[Any]) -> None:
    turn = living(ON)
    assert not [p for p in run(turn, raw_of(content), *facts) if isinstance(p, Finished | Failed)]


def test_lines_of_an_answer_that_was_told_are_not_the_next_ones() -> None:
    """They come when the client has its answer, and may come when the next turn has begun."""
    content = [text("yes"), call(0, {"k": 1})]
    first = living(TOOLS)
    facts = [show(0, "yes", final=True), "toolu_0", raw_of(content)]
    pieces_told = told(0, *pieces_of(content, random.Random(1))[:-1], StopPiece("tool_use"))
    assert isinstance(run(first, pieces_told, *facts)[-1], Finished)
    second = first.next(({"type": "tool_result", "tool_use_id": "toolu_0", "content": ""},), True)
    second.lives_on = True
    assert run(second, *(line(block, stop="tool_use") for block in content), raw_of(content)) == []
    facts = [show(0, "so", final=True, message="u2"), raw_of([text("so")], "msg_2")]
    assert run(second, *facts)[-1].answer.content == (text("so"),)  # type: ignore[union-attr]


def test_texts_that_may_be_cited_are_streamed_in_their_blocks() -> None:
    """A streamed answer to a cited document was one text, without its citations; the whole answer had them."""
    content = [text("a "), {"type": "text", "text": "b", "citations": [{"type": "page_location", "cited_text": "b"}]}, text(" c")]
    turn = living(OFF)
    turn.wait_for_blocks()
    facts = [told(0, TextPiece(0, "a "), TextPiece(1, "b")), show(0, "a b c", final=True), Stopped("c"), DONE]
    assert run(turn, *facts) == []
    parts = run(turn, *(line(block, stop="end_turn" if block is content[-1] else None) for block in content))
    assert parts[:-1] == [BlockShown(block) for block in content]
    assert isinstance(parts[-1], Finished)
    encoder = StreamEncoder("m", "m")
    data = b"".join(encoder.block(part.block) for part in parts if isinstance(part, BlockShown))
    assert data.count(b"citations_delta") == 1


def test_pieces_go_out_as_they_come_and_lines_bring_nothing_twice() -> None:
    turn = Turn(OFF)
    assert run(turn, told(0, TextPiece(0, "a"))) == [TextShown("a")]
    assert run(turn, told(1, TextPiece(0, "b\nc"))) == [TextShown("b\nc")]
    assert run(turn, show(0, "ab\n")) == []
    parts = run(turn, show(1, "c", final=True), Stopped("ab\nc"), DONE)
    assert [type(p) for p in parts] == [Finished]


def test_after_a_gap_the_lines_go_on_from_where_the_pieces_were() -> None:
    turn = Turn(OFF)
    run(turn, told(0, TextPiece(0, "ab")))
    assert run(turn, told(3, TextPiece(0, "lost before"))) == []
    assert not turn.wants_pieces
    assert run(turn, show(0, "abcd\n")) == [TextShown("cd\n")]
    assert run(turn, told(1, TextPiece(0, "cd"))) == []


def test_pieces_that_hang_a_line_behind_are_overtaken_and_may_catch_up() -> None:
    turn = Turn(OFF)
    assert run(turn, told(0, TextPiece(0, "a")), show(0, "ab\n")) == [TextShown("a")]
    assert run(turn, show(1, "cd\n")) == [TextShown("b\ncd\n")]
    assert run(turn, told(1, TextPiece(0, "b\ncd\ne"))) == [TextShown("e")]


@pytest.mark.parametrize("hook_first", [False, True])
def test_text_that_claude_code_does_not_show_ends_the_stream_with_an_error(hook_first: bool) -> None:
    """What the mod tells is believed only until another channel says something else."""
    turn = Turn(OFF)
    run(turn, told(0, TextPiece(0, "wrong\n")))
    parts = run(turn, show(0, "right\n") if hook_first else line(text("right\n")))
    assert isinstance(parts[-1], Failed)
    assert parts[-1].differs
    assert run(turn, told(1, TextPiece(0, "more"))) == []


@pytest.mark.parametrize(
    ("told_pieces", "block"),
    [
        ([ThinkingPiece(0, "other")], thinking("hm")),
        ([CallPiece(0, "toolu_1", "get"), InputPiece(0, '{"k": 2}')], call(1, {"k": 1})),
        ([CallPiece(0, "toolu_9", "get"), InputPiece(0, '{"k": 1}')], call(1, {"k": 1})),
        ([CallPiece(0, "toolu_1", "get"), InputPiece(0, "{not json"), CallPiece(1, "toolu_2", "get")], call(1, {"k": 1})),
    ],
)
def test_blocks_that_the_transcript_has_otherwise_end_the_stream(told_pieces: list[Piece], block: dict[str, Any]) -> None:
    turn = Turn(LaunchKey("claude-opus-5-5", 4000, ON.thinking, tools=True))
    parts = run(turn, told(0, *told_pieces), line(block, stop="tool_use"), "toolu_1", Stopped(""), DONE)
    parts += turn.expire()
    assert isinstance(parts[-1], Failed)
    assert parts[-1].differs


def test_thinking_goes_out_at_once_and_text_waits_for_its_signature() -> None:
    turn = Turn(ON)
    assert run(turn, told(0, ThinkingPiece(0, "h"), ThinkingPiece(0, "m"))) == [ThinkingShown("h"), ThinkingShown("m")]
    assert run(turn, told(2, TextPiece(1, "a"))) == []
    assert run(turn, show(0, "a\n")) == []
    assert run(turn, line(thinking("hm"), stop=None)) == [ThinkingSigned("s"), TextShown("a")]


def test_text_behind_thinking_that_pieces_do_not_show_comes_after_it() -> None:
    """By lines alone such thinking is left out of the stream: it is known too late."""
    turn = Turn(BY_DEFAULT)
    assert run(turn, told(0, TextPiece(1, "a\n")), show(0, "a\n")) == []
    assert run(turn, line(thinking(""), stop=None)) == [BlockShown(thinking("")), TextShown("a\n")]


def test_a_call_is_shown_while_it_is_made_and_its_input_is_the_models_own() -> None:
    turn = Turn(TOOLS)
    parts = run(turn, told(0, CallPiece(0, "toolu_1", "get"), InputPiece(0, '{"k": '), InputPiece(0, "1.0}")))
    assert parts == [CallShown("toolu_1", "get"), InputShown('{"k": '), InputShown("1.0}")]
    assert run(turn, line(call(1, {"k": 1}), stop="tool_use")) == [BlockEnded()]


def test_the_rest_of_a_call_whose_pieces_ended_is_the_transcripts() -> None:
    turn = Turn(TOOLS)
    run(turn, told(0, CallPiece(0, "toolu_1", "get"), InputPiece(0, '{"k": "四')))
    run(turn, told(7, InputPiece(0, "lost before")))
    assert run(turn, line(call(1, {"k": "四五"}), stop="tool_use")) == [InputShown('五"}'), BlockEnded()]


def test_pieces_of_an_earlier_or_a_later_request_are_not_this_answers() -> None:
    """After max_tokens Claude Code asks again by itself; a late post may be of the request before."""
    turn = Turn(TOOLS).next((), True)
    assert run(turn, told(0, TextPiece(0, "a"))) == []
    assert run(turn, told(0, TextPiece(0, "a"), step=2)) == []
    assert run(turn, told(0, TextPiece(0, "a"), step=1)) == [TextShown("a")]


def test_a_call_that_does_not_stream_wants_no_pieces() -> None:
    turn = Turn(OFF, streams=False)
    assert not turn.wants_pieces
    assert run(turn, told(0, TextPiece(0, "a"))) == []


def test_bodies_are_read_as_the_mod_writes_them() -> None:
    """As 2.1.330 tells them, with a field that is of no use here."""
    value = {
        "step": 1,
        "from": 7,
        "pieces": [
            {"kind": "thinking", "index": 0, "text": "h", "ref": 3},
            {"kind": "text", "index": 1, "text": "t", "ref": 4},
            {"kind": "tool", "index": 2, "id": "toolu_1", "name": "mcp__client__get", "ref": 5},
            {"kind": "input", "index": 2, "json": "{", "ref": 6},
            {"kind": "stop", "stopReason": "end_turn", "usage": {**COUNTS, "model": "m"}, "ref": 7},
        ],
    }
    expected = (
        ThinkingPiece(0, "h"),
        TextPiece(1, "t"),
        CallPiece(2, "toolu_1", "get"),
        InputPiece(2, "{"),
        StopPiece("end_turn", "m", COUNTS),
    )
    assert pieces.read(codec.dump(value)) == Pieces(1, 7, expected)
