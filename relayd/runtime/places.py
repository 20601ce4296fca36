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
        self._since: dict[Rank, dict[int, float]] = {rank: {} for rank in Rank}

    def __repr__(self) -> str:
        return "<Places " + " ".join(f"{rank.name}={len(found)}" for rank, found in self._since.items()) + ">"

    def put(self, number: int, rank: Rank | None, now: float) -> None:
        """This connection has this rank from now on; None: it must not be touched."""
        for found in self._since.values():
            found.pop(number, None)
        if rank is not None:
            self._since[rank][number] = now

    @property
    def can_give_way(self) -> bool:
        """True if there is a connection that may."""
        return any(self._since.values())

    def first_to_go(self, now: float) -> int | None:
        """The connection that gives way, or None if all are being answered."""
        idle = next(iter(self._since[Rank.IDLE].items()), None)
        half = next(iter(self._since[Rank.HALF_SENT].items()), None)
        if idle is None or half is None:
            found = idle or half
            return found[0] if found else None
        is_fresh = now - idle[1] < FRESH_S and half[1] < idle[1]
        return half[0] if is_fresh else idle[0]
