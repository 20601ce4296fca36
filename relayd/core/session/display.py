"""What a process has written to its terminal: the screen as it stands, and the bytes that draw it for a late dashboard. Pure.

Its title says whether Claude Code works. On a busy machine it says so late: a quick answer may be whole while the title is
still that of the moment before the turn.

Past the limit the bytes start anew with the text on the screen, without its colours. Owned by `record.Session`.
"""

from __future__ import annotations

from relayd.claude import screens
from relayd.config import Config
from relayd.terminal.screen import Screen

__all__ = ["Display", "Screen"]
HOME_AND_CLEAR = b"\x1b[0m\x1b[2J\x1b[H"


class Display:
    """See the module's text."""

    def __init__(self, config: Config) -> None:
        self.screen = Screen(config.columns, config.rows)
        self._limit_bytes = config.tape_max_bytes
        self._drawn = bytearray()
        self._has_worked = True  # its title has said so since a turn was awaited

    def __repr__(self) -> str:
        return f"<Display {len(self._drawn)} bytes>"

    @property
    def is_settled(self) -> bool:
        """True if its title says that the turn that was awaited last is over."""
        return self._has_worked and not screens.is_busy(self.screen.title)

    def await_turn(self) -> None:
        """A turn begins, which its title must show before it can show the end."""
        self._has_worked = screens.is_busy(self.screen.title)

    def feed(self, data: bytes) -> None:
        """Draw output of the process."""
        self.screen.feed(data)
        self._has_worked = self._has_worked or any(map(screens.is_busy, self.screen.titles))
        self._drawn += data
        if len(self._drawn) > self._limit_bytes:
            rows = "\r\n".join(row.rstrip() for row in self.screen.frame().rows)
            self._drawn = bytearray(HOME_AND_CLEAR + rows.encode("utf-8", "replace"))

    def replay(self) -> bytes:
        """The bytes that draw the screen as it is."""
        return bytes(self._drawn)
