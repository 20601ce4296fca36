"""What a process has written to its terminal, for those who look at it later: bytes, bounded. Pure.

Past the limit the tape starts anew with the screen's text, without its colours. Owned by `core/session.py`.
"""

from __future__ import annotations

from relayd.terminal.screen import Screen

HOME_AND_CLEAR = b"\x1b[0m\x1b[2J\x1b[H"


class Tape:
    """`limit` is bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def __repr__(self) -> str:
        return f"<Tape {len(self._data)}>"

    def add(self, data: bytes, screen: Screen) -> None:
        """Output that `screen` has taken in."""
        self._data += data
        if len(self._data) > self._limit:
            rows = "\r\n".join(row.rstrip() for row in screen.frame().rows)
            self._data = bytearray(HOME_AND_CLEAR + rows.encode("utf-8", "replace"))

    def read(self) -> bytes:
        """Everything that shows the screen as it is."""
        return bytes(self._data)
