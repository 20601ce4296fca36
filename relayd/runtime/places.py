"""Which connection gives way when there are as many as may be. Numbers in, a number out; O(1).

Idle ones go first, the one that was used longest ago before the others, then requests that have
arrived in part, the one that began longest ago first. A connection that has become idle within the
last moment is spared while a half-sent request is older: it may be a new client whose request is on
its way, and thousand half-sent requests must not push it out. One that is being answered never
goes. Owned by `server`; each `channel` says where it stands.
"""

from __future__ import annotations

from enum import Enum

FRESH_S = 1.0  # a client that has just connected sends its request within microseconds


class Rank(Enum):
    """What a connection that may give way is doing."""

    IDLE = "idle"
    HALF_SENT = "half sent"


class Places:
    """Connections by rank, each with the time since when it is there, in that order."""

    def __init__(self) -> None:
        self._idle: dict[int, float] = {}
        self._half_sent: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Places idle={len(self._idle)} half_sent={len(self._half_sent)}>"

    def put(self, number: int, rank: Rank | None, now: float) -> None:
        """This connection has this rank from now on; None: it must not be touched."""
        self._idle.pop(number, None)
        self._half_sent.pop(number, None)
        if rank is not None:
            (self._idle if rank is Rank.IDLE else self._half_sent)[number] = now

    @property
    def can_give_way(self) -> bool:
        """True if there is a connection that may."""
        return bool(self._idle or self._half_sent)

    def first_to_go(self, now: float) -> int | None:
        """The connection that gives way, or None if all are being answered."""
        idle = next(iter(self._idle.items()), None)
        half = next(iter(self._half_sent.items()), None)
        if idle is None or half is None:
            found = idle or half
            return found[0] if found else None
        is_fresh = now - idle[1] < FRESH_S and half[1] < idle[1]
        return half[0] if is_fresh else idle[0]
