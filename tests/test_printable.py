"""What clients and programs say, made safe for logs, tables and terminals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.commands.context import table
from relayd.faults import describe
from relayd.printable import printable, printable_json, printable_lines

HOSTILE = [
    ("x\nerror: forged", "x\\nerror: forged"),
    ("\x1b]0;pwned\x07", "\\x1b]0;pwned\\x07"),
    ("\x9b31m", "\\x9b31m"),
    ("a\u202egpj.exe", "a\\u202egpj.exe"),
    ("\u2066\u200f\u061c", "\\u2066\\u200f\\u061c"),
    ("line\u2028two\x85", "line\\u2028two\\x85"),
    ("\ud800", "\\ud800"),
    ("\x00\x7f\r\t", "\\x00\\x7f\\r\\t"),
    ("grün 日本 ✳", "grün 日本 ✳"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_drives_a_terminal_or_forges_a_line_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text() | st.lists(st.sampled_from([text for text, _ in HOSTILE])).map("".join))
def test_all_of_it_can_be_printed(text: str) -> None:
    assert printable(text).isprintable()
    printable(text).encode()
    assert len(printable_lines(text).split("\n")) == len(text.split("\n"))
    shown = printable_json(json.dumps({"text": text}, ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == {"text": text}


def test_a_table_keeps_its_rows_and_is_bounded() -> None:
    """A model name with a line end and escapes was painted on the terminal of whoever ran `relayd calls`."""
    shown = table([("a\n\x1b[2J", "m" * 1_000_000), (5, "\u202e")], ("MODEL", "OTHER"))
    assert len(shown.split("\n")) == 3
    assert all(row.isprintable() for row in shown.split("\n"))
    assert len(shown) < 2000


def test_an_exception_is_named_without_its_words() -> None:
    """Tracebacks in the log quoted values of requests."""

    def fail(where: dict[str, int]) -> None:
        printable_lines(where["SECRET-WORDS"])  # type: ignore[arg-type]

    with pytest.raises(KeyError) as caught:
        fail({})
    assert describe(caught.value).startswith("KeyError at test_printable.py:")
    assert describe(caught.value).endswith(" in fail")
    with pytest.raises(AttributeError) as inside:
        fail({"SECRET-WORDS": 5})
    assert describe(inside.value).startswith("AttributeError at printable.py:")
    assert describe(OSError(28, "SECRET-WORDS")) == "OSError ENOSPC"
    assert "SECRET" not in describe(caught.value) + describe(inside.value)
