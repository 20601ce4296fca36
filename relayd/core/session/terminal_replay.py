"""What a process has written to its terminal, so that a dashboard that opens later can draw the screen. Bounded. Pure.

Past the limit the record starts anew with the text on the screen, without its colours. Owned by `record.Session`.
"""

from __future__ import annotations

from relayd.terminal.screen import Screen

HOME_AND_CLEAR = b"\x1b[0m\x1b[2J\x1b[H"


class TerminalReplay:
    """`limit` is bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def __repr__(self) -> str:
        return f"<TerminalReplay {len(self._data)}>"

    def add(self, data: bytes, screen: Screen) -> None:
        """Add output that `screen` has taken in."""
        self._data += data
        if len(self._data) > self._limit:
            rows = "\r\n".join(row.rstrip() for row in screen.frame().rows)
            self._data = bytearray(HOME_AND_CLEAR + rows.encode("utf-8", "replace"))

    def read(self) -> bytes:
        """The bytes that draw the screen as it is."""
        return bytes(self._data)
