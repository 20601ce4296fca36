"""What all connections of a daemon have together. Made by `clients`, read by each `channel`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relayd.core import events as ev
from relayd.http.access import Access
from relayd.http.budget import BODIES_MAX_BYTES, BodyBudget
from relayd.runtime.clock import HttpDate
from relayd.runtime.loop import Loop
from relayd.runtime.places import Places

ClientFact = ev.RequestArrived | ev.RequestRefused | ev.ClientLeft | ev.FrameArrived | ev.ViewerCaughtUp


@dataclass(frozen=True)
class Shared:
    """`emit` takes facts for the core."""

    loop: Loop
    emit: Callable[[ClientFact], None]
    access: Access
    budget: BodyBudget
    places: Places
    date: HttpDate


def shared(body_max_bytes: int, loop: Loop, emit: Callable[[ClientFact], None], access: Access, places: Places) -> Shared:
    """For a daemon that takes bodies of so many bytes: one of them always fits the budget."""
    return Shared(loop, emit, access, BodyBudget(max(BODIES_MAX_BYTES, body_max_bytes)), places, HttpDate())
