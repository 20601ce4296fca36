"""What the runtime's timers are for: one small class per owner. `server` gives each to its owner by its type.

A key is compared by identity where its owner holds it (cheap: some are set several times per request).
Keys of any other type belong to the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from relayd.config import Config
from relayd.http.http1 import Phase


class Deadline(Enum):
    """What a connection waits for."""

    PHASE = "phase"  # the rest of a request, or the next one
    STALL = "stall"  # the peer to take some of its answer
    LINGER = "linger"  # the peer to close after the last answer
    PEER = "peer"  # a look whether somebody still holds the other end
    BEHIND = "behind"  # the next turn: bytes that have been read are left


@dataclass(frozen=True, eq=False)
class ChannelTimer:
    """A connection's. Its channel holds it."""

    client: int
    what: Deadline


def phase_limit_s(phase: Phase, config: Config) -> float | None:
    """How long a client may take in this phase of its request, in seconds; None where it is our turn."""
    match phase:
        case Phase.IDLE:
            return config.idle_limit_s
        case Phase.HEAD:
            return config.header_limit_s
        case Phase.BODY:
            return config.body_limit_s
        case Phase.ANSWERING | Phase.CLOSING:
            return None
        case _:
            assert_never(phase)


class Poll(Enum):
    """What a slot looks at, or goes on with, now and again."""

    GATE = "gate"  # is the process at its gate?
    TAIL = "tail"  # has the transcript grown?
    EARLIER = "earlier"  # files of conversations that it held before
    WRITE = "write"  # the next piece of a long conversation


@dataclass(frozen=True)
class PollTimer:
    """A process's."""

    slot: str
    what: Poll


@dataclass(frozen=True, eq=False)
class StrangerTimer:
    """The end of a refused connection."""

    number: int


class ListenerTimer(Enum):
    """The listener's."""

    REST = "rest"


class Look(Enum):
    """What a connection to the fallback waits for."""

    CONNECT = "connect"  # the end of its patience
    BACKLOG = "backlog"  # its client to take more, or the next turn
    RESOLVER = "resolver"  # the addresses; of all connections


@dataclass(frozen=True)
class UpstreamTimer:
    """A connection's to the fallback, by its call; 0 for the resolver's."""

    call: int
    what: Look


class StoreTimer(Enum):
    """The store's: files that are being written or read."""

    WORK = "work"


class Chore(Enum):
    """The daemon's own."""

    WATCHDOG = "watchdog"
    BINARY = "binary"
    KEYS = "keys"
    PROMPT_HISTORY = "prompt history"
    REMOVALS = "removals"
