"""The screen by its rows, and by what it answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.terminal.screen import Screen
from tests.helpers import splits

ROWS = [
    (b"hello", ["hello"]),
    (b"ab\r\ncd", ["ab", "cd"]),
    (b"abc\x1b[1GX", ["Xbc"]),
    (b"abc\x1b[2;3Hx\x1b[A\x1b[Dy", ["aby", "  x"]),
    (b"abcdef\x1b[3G\x1b[K", ["ab"]),
    (b"abcdef\x1b[3G\x1b[2P", ["abef"]),
    (b"abc\x1b[1G\x1b[2@", ["  abc"]),
    (b"abcdef\x1b[2G\x1b[3X", ["a   ef"]),
    (b"0123456789abc", ["0123456789", "abc"]),
    (b"1\r\n2\r\n3\r\n4\r\n5", ["2", "3", "4", "5"]),
    (b"1\r\n2\r\n3\x1b[2;1H\x1b[L", ["1", "", "2", "3"]),
    (b"1\r\n2\r\n3\x1b[1;1H\x1b[M", ["2", "3"]),
    (b"1\r\n2\x1b[2;3r\x1b[3;1Hx\n\ny", ["1", "", " y"]),
    (b"a\x1b[3b", ["aaaa"]),
    (b"main\x1b[?1049hother\x1b[?1049l", ["main"]),
    ("日本x".encode(), ["日本x"]),
    ("e\u0301x".encode(), ["e\u0301x"]),
    (b"a\x1b[38:2::1:2:3mb\x1b[>4;2mc\x1b[<ud", ["abcd"]),
    (b"\x1bPsecret\x1b\\\x1b_body\x1b\\ok", ["ok"]),
    (b"x\x1b[99999999999999999Gy", ["x        y"]),
    (b"a\tb\b\bc", ["a      cb"]),
    (b"\b\bab", ["ab"]),
    ("\u0301a".encode(), ["a"]),  # a mark with nothing before it
    (b"ab\x1b7cd\x1b8X", ["abXd"]),
    (b"ab\x1bDc", ["ab", "  c"]),
    (b"ab\x1bEc", ["ab", "c"]),
    (b"a\r\nb\x1bMc", ["ac", "b"]),
    (b"a\x1bMb", [" b", "a"]),
    (b"ab\r\ncd\x1bcx", ["x"]),
    (b"a\x1b[Bb\x1b[2Cc", ["a", " b  c"]),
    (b"ab\x1b[2Ec\x1b[Fd", ["ab", "d", "c"]),
    (b"ab\x1b[3dc", ["ab", "", "  c"]),
    (b"1\r\n22\r\n3\x1b[2;1H\x1b[J", ["1"]),
    (b"1\r\n22\r\n3\x1b[2;1H\x1b[1J", ["", " 2", "3"]),
    (b"1\r\n2\x1b[2J", []),
    (b"abcdef\x1b[3G\x1b[1K", ["   def"]),
    (b"abcdef\x1b[3G\x1b[2K", []),
    (b"1\r\n2\r\n3\x1b[S", ["2", "3"]),
    (b"1\r\n2\x1b[2T", ["", "", "1", "2"]),
    (b"1\r\n2\r\n3\x1b[2;3r\x1b[1;1H\x1b[L\x1b[M", ["1", "2", "3"]),  # outside the region nothing is shifted
]


@pytest.mark.parametrize(("data", "rows"), ROWS, ids=lambda v: repr(v)[:30])
def test_rows(data: bytes, rows: list[str]) -> None:
    for pieces in splits(data):
        screen = Screen(10, 4)
        for piece in pieces:
            screen.feed(piece)
        assert [r for r in screen.frame().rows][: len(rows)] == rows
        assert not any(screen.frame().rows[len(rows) :])


def test_a_tui_that_asks_hears_answers() -> None:
    """Unanswered questions delayed Claude Code's first paint by seconds; the name given is our own."""
    screen = Screen(80, 24)
    screen.feed(b"\x1b[>0q\x1b[?u\x1b[c\x1b[5n\x1b[3;7H\x1b[6n\x1b[?2026$p")
    assert screen.take_replies() == b"\x1bP>|relayd\x1b\\\x1b[?0u\x1b[?62c\x1b[0n\x1b[3;7R\x1b[?2026;0$y"
    assert screen.take_replies() == b""


def test_the_title_is_kept() -> None:
    screen = Screen(80, 24)
    screen.feed("\x1b]0;◐ Claude Code\x07".encode())
    assert screen.frame().title == "◐ Claude Code"


@given(st.binary(max_size=400))
def test_any_bytes_leave_a_whole_grid(data: bytes) -> None:
    screen = Screen(7, 3)
    screen.feed(data)
    frame = screen.frame()
    assert len(frame.rows) == 3
    assert 0 <= frame.row < 3
    assert 0 <= frame.column <= 7


@given(st.text(alphabet="\x1b[;?0123456789ABCDEFGHJKLMPSTX@abdfmrsu日e\u0301\r\n ", max_size=200))
def test_any_sequences_leave_a_whole_grid(text: str) -> None:
    screen = Screen(7, 3)
    screen.feed(text.encode())
    assert all(len(row) == 7 for row in screen._grid)
