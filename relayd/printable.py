"""Makes text from outside safe to show: in a log line, a table, a terminal. Pure; the one place that does it.

A model name, a session id or an error's text may hold line ends (which forge lines), escapes (which drive the
terminal) or marks that turn the direction of writing (which hide what is there).
"""

from __future__ import annotations

import re

CUT = "…"


def printable(text: object, longest: int | None = None) -> str:
    """The text on one line: what is not printable is written as `\\x1b` or `\\u202e`, what is longer is cut."""
    shown = str(text)
    if longest is not None and len(shown) > longest:
        shown = shown[:longest] + CUT
    return shown if shown.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in shown)


def printable_lines(text: str) -> str:
    """The same for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(text: str) -> str:
    """The same for JSON, which may hold such characters only inside of strings: as JSON's own escapes."""
    return re.sub(r"[^ -~]", _json_escaped, text)


def _escaped(char: str) -> str:
    """As Python would write it: `\\n`, `\\x1b`, `\\u202e`."""
    return char.encode("unicode_escape").decode("ascii")


def _json_escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
