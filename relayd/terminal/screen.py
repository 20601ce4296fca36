"""The grid: actions in, an immutable `Frame` and the terminal's replies out.

No I/O and no colours: the daemon reads texts (title, dialogs, errors), it does not paint.
Replies to the program's questions are collected and handed over by `take_replies`; a TUI that
asks and hears nothing delays its first paint by seconds. The terminal says what it is: relayd.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from relayd.terminal.vt import Action, Control, Csi, Esc, Osc, Parser, Print

PARAM_MAX = 9999
TITLE_MAX_CHARS = 256


@dataclass(frozen=True)
class Frame:
    """What stands on the screen: rows without trailing blanks, the cursor, the title."""

    rows: tuple[str, ...]
    row: int
    column: int
    title: str

    def text(self) -> str:
        """All rows that hold something, joined by newlines."""
        return "\n".join(r for r in self.rows if r)


class Screen:
    """A grid of `rows` by `columns` that a `Parser` feeds."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.height = columns, rows
        self.title = ""
        self.titles: list[str] = []  # the one that was shown before the last output, and those that this set
        self.unknown = 0
        self._parser = Parser()
        self._replies: list[bytes] = []
        self._grid = [self._blank() for _ in range(rows)]
        self._other: list[list[str]] | None = None
        self._x = self._y = 0
        self._saved = (0, 0)
        self._top, self._bottom = 0, rows - 1
        self._last = " "

    def __repr__(self) -> str:
        return f"<Screen {self.columns}x{self.height} title={self.title!r} unknown={self.unknown}>"

    def feed(self, data: bytes) -> None:
        """Apply what the program wrote."""
        self.titles = [self.title]
        for action in self._parser.feed(data):
            self.apply(action)

    def apply(self, action: Action) -> None:
        """Apply one parsed action."""
        if isinstance(action, Print):
            self._print(action.text)
        elif isinstance(action, Csi):
            self._csi(action)
        elif isinstance(action, Control):
            self._control(action.char)
        elif isinstance(action, Osc):
            self._osc(action.text)
        elif isinstance(action, Esc):
            self._esc(action.text)
        else:
            self.unknown += 1

    @property
    def column(self) -> int:
        """Where the cursor stands, from 0."""
        return self._x

    def take_replies(self) -> bytes:
        """Answers to the program's questions since the last call, to be written to the PTY."""
        data = b"".join(self._replies)
        self._replies.clear()
        return data

    def frame(self) -> Frame:
        """The screen as a value."""
        rows = tuple("".join(row).rstrip() for row in self._grid)
        return Frame(rows, self._y, self._x, self.title)

    # Text and controls

    def _print(self, text: str) -> None:
        if text.isascii():
            self._print_narrow(text)
            return
        for char in text:
            width = _width(char)
            if width == 0:
                self._combine(char)
                continue
            if self._x + width > self.columns:
                self._x = 0
                self._line_feed()
            self._grid[self._y][self._x] = char
            if width == 2:
                self._grid[self._y][self._x + 1] = ""
            self._x += width
            self._last = char

    def _print_narrow(self, text: str) -> None:
        """Text of one cell a character, a row at a time: most of what a TUI redraws."""
        position = 0
        while position < len(text):
            if self._x >= self.columns:
                self._x = 0
                self._line_feed()
            piece = text[position : position + self.columns - self._x]
            self._grid[self._y][self._x : self._x + len(piece)] = piece
            self._x += len(piece)
            position += len(piece)
        self._last = text[-1]

    def _combine(self, char: str) -> None:
        if self._x:
            cell = self._grid[self._y][self._x - 1]
            if len(cell) < 8:
                self._grid[self._y][self._x - 1] = cell + char

    def _control(self, char: str) -> None:
        if char in "\n\x0b\x0c\x84":
            self._line_feed()
        elif char == "\r":
            self._x = 0
        elif char == "\b":
            self._x = max(0, self._x - 1)
        elif char == "\t":
            self._x = min(self.columns - 1, (self._x // 8 + 1) * 8)

    def _line_feed(self) -> None:
        if self._y == self._bottom:
            self._scroll(1)
        else:
            self._y = min(self.height - 1, self._y + 1)

    def _esc(self, text: str) -> None:
        if text == "7":
            self._saved = (self._x, self._y)
        elif text == "8":
            self._x, self._y = self._saved
        elif text == "D":
            self._line_feed()
        elif text == "E":
            self._x = 0
            self._line_feed()
        elif text == "M":
            if self._y == self._top:
                self._scroll(-1)
            else:
                self._y = max(0, self._y - 1)
        elif text == "c":
            self._clear(0, self.height)
            self._x = self._y = 0
        else:
            self.unknown += 1

    def _osc(self, text: str) -> None:
        code, _, rest = text.partition(";")
        if code in ("0", "2"):
            self.title = rest[:TITLE_MAX_CHARS]
            self.titles.append(self.title)
        else:
            self.unknown += 1

    # Control sequences

    def _csi(self, action: Csi) -> None:
        handler = CSI.get((action.prefix, action.inter, action.final))
        if handler is None:
            self.unknown += 1
            return
        handler(self, [_number(p) for p in action.params.split(";")])

    def _move(self, x: int, y: int) -> None:
        self._x = max(0, min(self.columns - 1, x))
        self._y = max(0, min(self.height - 1, y))

    def _up(self, p: list[int]) -> None:
        self._move(self._x, self._y - max(1, p[0]))

    def _down(self, p: list[int]) -> None:
        self._move(self._x, self._y + max(1, p[0]))

    def _right(self, p: list[int]) -> None:
        self._move(self._x + max(1, p[0]), self._y)

    def _left(self, p: list[int]) -> None:
        self._move(self._x - max(1, p[0]), self._y)

    def _next_line(self, p: list[int]) -> None:
        self._move(0, self._y + max(1, p[0]))

    def _previous_line(self, p: list[int]) -> None:
        self._move(0, self._y - max(1, p[0]))

    def _to_column(self, p: list[int]) -> None:
        self._move(max(1, p[0]) - 1, self._y)

    def _to_row(self, p: list[int]) -> None:
        self._move(self._x, max(1, p[0]) - 1)

    def _to(self, p: list[int]) -> None:
        self._move(max(1, p[1] if len(p) > 1 else 1) - 1, max(1, p[0]) - 1)

    def _erase_display(self, p: list[int]) -> None:
        if p[0] == 0:
            self._erase_line([0])
            self._clear(self._y + 1, self.height)
        elif p[0] == 1:
            self._erase_line([1])
            self._clear(0, self._y)
        else:
            self._clear(0, self.height)

    def _erase_line(self, p: list[int]) -> None:
        row = self._grid[self._y]
        start = 0 if p[0] else self._x
        end = self._x + 1 if p[0] == 1 else self.columns
        row[start:end] = [" "] * (min(end, self.columns) - start)

    def _erase_chars(self, p: list[int]) -> None:
        count = min(max(1, p[0]), self.columns - self._x)
        self._grid[self._y][self._x : self._x + count] = [" "] * count

    def _insert_chars(self, p: list[int]) -> None:
        count = min(max(1, p[0]), self.columns - self._x)
        row = self._grid[self._y]
        row[self._x : self._x] = [" "] * count
        del row[self.columns :]

    def _delete_chars(self, p: list[int]) -> None:
        count = min(max(1, p[0]), self.columns - self._x)
        row = self._grid[self._y]
        del row[self._x : self._x + count]
        row.extend([" "] * count)

    def _insert_lines(self, p: list[int]) -> None:
        if self._top <= self._y <= self._bottom:
            self._shift(self._y, -max(1, p[0]))

    def _delete_lines(self, p: list[int]) -> None:
        if self._top <= self._y <= self._bottom:
            self._shift(self._y, max(1, p[0]))

    def _scroll_up(self, p: list[int]) -> None:
        self._scroll(max(1, p[0]))

    def _scroll_down(self, p: list[int]) -> None:
        self._scroll(-max(1, p[0]))

    def _repeat(self, p: list[int]) -> None:
        self._print(self._last * min(max(1, p[0]), self.columns))

    def _margins(self, p: list[int]) -> None:
        top = max(1, p[0]) - 1
        bottom = (p[1] if len(p) > 1 and p[1] else self.height) - 1
        if 0 <= top < bottom < self.height:
            self._top, self._bottom = top, bottom
            self._x = self._y = 0

    def _save(self, p: list[int]) -> None:
        self._saved = (self._x, self._y)

    def _restore(self, p: list[int]) -> None:
        self._x, self._y = self._saved

    def _set_private(self, p: list[int]) -> None:
        if any(mode in (47, 1047, 1049) for mode in p) and self._other is None:
            self._other = self._grid
            self._grid = [self._blank() for _ in range(self.height)]

    def _reset_private(self, p: list[int]) -> None:
        if any(mode in (47, 1047, 1049) for mode in p) and self._other is not None:
            self._grid, self._other = self._other, None

    def _ignore(self, p: list[int]) -> None:
        """Attributes, cursor shapes, mouse and key modes: nothing the daemon reads."""

    # Questions

    def _device_attributes(self, p: list[int]) -> None:
        self._replies.append(b"\x1b[?62c")

    def _second_attributes(self, p: list[int]) -> None:
        self._replies.append(b"\x1b[>0;0;0c")

    def _version(self, p: list[int]) -> None:
        self._replies.append(b"\x1bP>|relayd\x1b\\")

    def _keyboard(self, p: list[int]) -> None:
        self._replies.append(b"\x1b[?0u")

    def _status(self, p: list[int]) -> None:
        if p[0] == 5:
            self._replies.append(b"\x1b[0n")
        elif p[0] == 6:
            self._replies.append(b"\x1b[%d;%dR" % (self._y + 1, self._x + 1))

    def _mode(self, p: list[int]) -> None:
        self._replies.append(b"\x1b[?%d;0$y" % p[0])

    # Rows

    def _blank(self) -> list[str]:
        return [" "] * self.columns

    def _clear(self, start: int, end: int) -> None:
        for y in range(start, end):
            self._grid[y] = self._blank()

    def _scroll(self, count: int) -> None:
        self._shift(self._top, count)

    def _shift(self, top: int, count: int) -> None:
        """Move the lines from `top` to the bottom margin up (count > 0) or down."""
        region = self._grid[top : self._bottom + 1]
        size = len(region)
        count = max(-size, min(size, count))
        blanks = [self._blank() for _ in range(abs(count))]
        moved = region[count:] + blanks if count > 0 else blanks + region[: size + count]
        self._grid[top : self._bottom + 1] = moved


CSI: dict[tuple[str, str, str], Callable[[Screen, list[int]], None]] = {
    ("", "", "A"): Screen._up,
    ("", "", "B"): Screen._down,
    ("", "", "e"): Screen._down,
    ("", "", "C"): Screen._right,
    ("", "", "a"): Screen._right,
    ("", "", "D"): Screen._left,
    ("", "", "E"): Screen._next_line,
    ("", "", "F"): Screen._previous_line,
    ("", "", "G"): Screen._to_column,
    ("", "", "`"): Screen._to_column,
    ("", "", "d"): Screen._to_row,
    ("", "", "H"): Screen._to,
    ("", "", "f"): Screen._to,
    ("", "", "J"): Screen._erase_display,
    ("", "", "K"): Screen._erase_line,
    ("", "", "X"): Screen._erase_chars,
    ("", "", "@"): Screen._insert_chars,
    ("", "", "P"): Screen._delete_chars,
    ("", "", "L"): Screen._insert_lines,
    ("", "", "M"): Screen._delete_lines,
    ("", "", "S"): Screen._scroll_up,
    ("", "", "T"): Screen._scroll_down,
    ("", "", "b"): Screen._repeat,
    ("", "", "r"): Screen._margins,
    ("", "", "s"): Screen._save,
    ("", "", "u"): Screen._restore,
    ("?", "", "h"): Screen._set_private,
    ("?", "", "l"): Screen._reset_private,
    ("", "", "m"): Screen._ignore,
    ("", "", "h"): Screen._ignore,
    ("", "", "l"): Screen._ignore,
    ("", "", "t"): Screen._ignore,
    (">", "", "m"): Screen._ignore,
    (">", "", "u"): Screen._ignore,
    ("<", "", "u"): Screen._ignore,
    ("=", "", "u"): Screen._ignore,
    ("", " ", "q"): Screen._ignore,
    ("", "", "c"): Screen._device_attributes,
    (">", "", "c"): Screen._second_attributes,
    (">", "", "q"): Screen._version,
    ("?", "", "u"): Screen._keyboard,
    ("", "", "n"): Screen._status,
    ("?", "$", "p"): Screen._mode,
}


def _number(text: str) -> int:
    head = text.partition(":")[0]
    return min(int(head), PARAM_MAX) if head.isdecimal() and len(head) < 9 else (PARAM_MAX if head else 0)


def _width(char: str) -> int:
    if char < "\u0300":
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
