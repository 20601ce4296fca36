"""Facts about clients, in the past tense. Pure values; a part of `events.py`, by whose name they are used."""

from __future__ import annotations

from dataclasses import dataclass

from relayd.errors import ApiError
from relayd.http.messages import HttpRequest
from relayd.http.routes import Route


@dataclass(frozen=True)
class RequestArrived:
    """A client or Claude Code has sent a complete request. `origin` is the allowed foreign page it comes from, or ""."""

    client: int
    request: HttpRequest
    origin: str = ""


@dataclass(frozen=True)
class RequestRefused:
    """A request was wrong in its framing, too large, or not admitted. `route` is known unless the path was wrong."""

    client: int
    error: ApiError
    route: Route | None = None
    origin: str = ""


@dataclass(frozen=True)
class ClientLeft:
    """The connection of a client has ended; a request of it may be running."""

    client: int


@dataclass(frozen=True)
class FrameArrived:
    """A dashboard has sent a message."""

    client: int
    text: str


@dataclass(frozen=True)
class ViewerCaughtUp:
    """A dashboard that was too slow has taken all that was waiting; frames were dropped meanwhile."""

    client: int
