"""The terminal parser by its list of actions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.terminal.vt import PENDING_MAX, Action, Control, Csi, Esc, Osc, Parser, Print, Unknown
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


def test_an_endless_sequence_is_given_up_and_text_comes_back() -> None:
    parser = Parser()
    parser.feed(b"\x1b]0;" + b"x" * (PENDING_MAX + 10))
    assert joined(parser.feed(b"\x07after"))[-1] == Print("after")


@given(st.binary(max_size=300))
def test_any_bytes_parse(data: bytes) -> None:
    parser = Parser()
    for action in parser.feed(data):
        if isinstance(action, Print):
            assert "\x1b" not in action.text
