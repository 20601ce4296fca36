"""The terminal parser by its list of actions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.terminal.vt import SEQUENCE_MAX_CHARS, Action, Control, Csi, Esc, Osc, Parser, Print, Unknown
from tests.helpers import splits

CASES: list[tuple[bytes, list[Action]]] = [
    (b"plain", [Print("plain")]),
    ("grün ✳ 日本".encode(), [Print("grün ✳ 日本")]),
    (b"a\r\nb", [Print("a"), Control("\r"), Control("\n"), Print("b")]),
    (b"\x1b[2J\x1b[H", [Csi("", "2", "", "J"), Csi("", "", "", "H")]),
    (b"\x1b[?1049h", [Csi("?", "1049", "", "h")]),
    (b"\x1b[>0q\x1b[?u\x1b[c", [Csi(">", "0", "", "q"), Csi("?", "", "", "u"), Csi("", "", "", "c")]),
    (b"\x1b[38;2;1;2;3m\x1b[4:3m", [Csi("", "38;2;1;2;3", "", "m"), Csi("", "4:3", "", "m")]),
    (b"\x1b[?2026$p\x1b[4 q", [Csi("?", "2026", "$", "p"), Csi("", "4", " ", "q")]),
    ("\x1b]0;✳ Claude Code\x07".encode(), [Osc("0;✳ Claude Code")]),
    (b"\x1b]8;;http://x\x1b\\link", [Osc("8;;http://x"), Print("link")]),
    (b"\x1b7\x1b8\x1b(B", [Esc("7"), Esc("8"), Esc("(B")]),
    (b"\x1bPq#0;2\x1b\\\x1b_hidden\x1b\\x", [Unknown(9), Unknown(10), Print("x")]),
]


def joined(actions: list[Action]) -> list[Action]:
    """Neighbouring prints as one: splits may fall inside a text."""
    result: list[Action] = []
    for action in actions:
        if isinstance(action, Print) and result and isinstance(result[-1], Print):
            result[-1] = Print(result[-1].text + action.text)
        else:
            result.append(action)
    return result


@pytest.mark.parametrize(("data", "actions"), CASES, ids=lambda v: repr(v)[:30])
def test_actions_do_not_depend_on_splits(data: bytes, actions: list[Action]) -> None:
    for pieces in splits(data + b"."):
        parser = Parser()
        found = joined(list(itertools.chain.from_iterable(parser.feed(p) for p in pieces)))
        assert found == joined([*actions, Print(".")])


def parse(pieces: list[bytes]) -> list[Action]:
    parser = Parser()
    return joined(list(itertools.chain.from_iterable(parser.feed(p) for p in pieces)))


MORE: list[tuple[bytes, list[Action]]] = [
    (b"\x1b[3\x071m", [Control("\x07"), Csi("", "31", "", "m")]),  # executed inside
    (b"\x1b[3\x18a", [Unknown(3), Control("\x18"), Print("a")]),  # CAN
    (b"\x1b[3\x1b[4m", [Unknown(3), Csi("", "4", "", "m")]),
    (b"\x1b\x1b7", [Unknown(1), Esc("7")]),
    (b"\x1b[3<1ma", [Unknown(6), Print("a")]),  # a prefix in the wrong place
    (b"\x1b]0;x\x1b[31mred", [Unknown(5), Csi("", "31", "", "m"), Print("red")]),  # a string that is not ended
    (b"\x1b]0;a\nb\x07", [Osc("0;ab")]),
    (b"\x1bP1\x072\x1b\\x", [Unknown(7), Print("x")]),  # BEL does not end a DCS
    ("\x9b31mred".encode(), [Csi("", "31", "", "m"), Print("red")]),  # C1: CSI
    ("\x9d0;t\x9c".encode(), [Osc("0;t")]),
    ("\x90q\x9cx".encode(), [Unknown(3), Print("x")]),
    ("\x85\x8dx".encode(), [Esc("E"), Esc("M"), Print("x")]),
    ("\x1b[3\x9b4m".encode(), [Unknown(3), Csi("", "4", "", "m")]),
    ("\x1bé".encode(), [Unknown(2)]),
    ("\x1b[1é2mx".encode(), [Unknown(6), Print("x")]),
    (b"\x9bx", [Print("\ufffdx")]),  # one byte: not UTF-8
    (b"\x1b\\x", [Esc("\\"), Print("x")]),
]


@pytest.mark.parametrize(("data", "actions"), MORE, ids=lambda v: repr(v)[:30])
def test_sequences_that_are_odd_or_abandoned(data: bytes, actions: list[Action]) -> None:
    """C1 CSI was printed (`31mred`); a string that was not ended, too."""
    for pieces in splits(data + b"."):
        assert parse(pieces) == joined([*actions, Print(".")])


ENDLESS = [
    (b"\x1b]0;", b"x", b"\x07"),
    (b"\x1bP", b"x", b"\x1b\\"),
    (b"\x1b[", b"1;", b"m"),
    (b"\x1b[", b" ", b"q"),
    (b"\x1b", b"(", b"B"),
    ("\x9d".encode(), b"x\n", "\x9c".encode()),
]


@pytest.mark.parametrize(("opening", "filling", "end"), ENDLESS)
def test_a_sequence_that_is_too_long_is_swallowed_up_to_its_end(opening: bytes, filling: bytes, end: bytes) -> None:
    """An OSC of 10,000 letters was swallowed when it came whole, and printed when it came split."""
    data = opening + filling * 20_000 + end + b"after"
    for step in (len(data), 1, 7, 4096):
        parser = Parser()
        actions: list[Action] = []
        for at in range(0, len(data), step):
            actions += parser.feed(data[at : at + step])
            assert len(parser._kept) <= SEQUENCE_MAX_CHARS + 1
        assert joined(actions) == [Unknown(len((opening + filling * 20_000 + end).decode())), Print("after")]


@pytest.mark.parametrize("size", [SEQUENCE_MAX_CHARS, SEQUENCE_MAX_CHARS + 1])
def test_the_limit_is_the_same_for_whole_and_split(size: int) -> None:
    data = b"\x1b]" + b"x" * size + b"\x07"
    expected: Action = Osc("x" * size) if size <= SEQUENCE_MAX_CHARS else Unknown(size + 3)
    assert parse([data]) == parse([data[i : i + 1] for i in range(len(data))]) == [expected]


PIECES = [
    *(
        "\x1b",
        "[",
        "]",
        "P",
        "X",
        "^",
        "_",
        "\\",
        "(",
        "?",
        ">",
        "1",
        ";",
        ":",
        " ",
        "$",
        "m",
        "H",
        "q",
        "B",
        "x",
        "é",
        "日",
        "✳",
    ),
    *(
        "\x07",
        "\x18",
        "\x1a",
        "\x7f",
        "\r",
        "\n",
        "\x00",
        "\x9b",
        "\x9c",
        "\x9d",
        "\x90",
        "\x85",
        "\xa0",
        "\x1b[",
        "\x1b]0;",
        "\x1b\\",
    ),
]
STREAMS = st.lists(st.sampled_from(PIECES), max_size=40).map(lambda p: "".join(p).encode()) | st.binary(max_size=300)


@settings(max_examples=1000)
@given(STREAMS, st.lists(st.integers(0, 300), max_size=8))
def test_any_bytes_mean_the_same_however_they_are_split(data: bytes, places: list[int]) -> None:
    whole = parse([data])
    assert whole == parse([data[i : i + 1] for i in range(len(data))])
    cuts = sorted(min(p, len(data)) for p in places)
    assert whole == parse([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])


@settings(max_examples=1000)
@given(STREAMS)
def test_nothing_but_text_is_printed(data: bytes) -> None:
    for action in parse([data]):
        if isinstance(action, Print):
            assert action.text
            assert not any(c < " " or "\x7f" <= c <= "\x9f" for c in action.text)
        elif isinstance(action, Control):
            assert action.char < " " or action.char == "\x7f"
        elif isinstance(action, Unknown):
            assert action.size > 0
