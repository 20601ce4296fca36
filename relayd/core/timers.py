"""The names of the core's timers, as values: whose timer it is, and what is due.

The runtime treats them as opaque keys. Setting a timer again moves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SlotDue(Enum):
    """What a session waits for."""

    STATE = "state"  # the limit of its state
    RESULTS = "results"  # the client has brought more results than Claude Code has been given
    LINES = "lines"  # a tool call is open, and the lines of the answer that asks for it have not come
    LAG = "lag"  # what follows the end of a turn: transcript lines, the status of an error
    DIALOG = "dialog"  # a dialog has stood long enough to take a key
    PROMPT = "prompt"  # the terminal has been silent: what the editor brings may be in the prompt
    WITNESS = "witness"  # parts of an answer are held back until it is known what the model was asked
    FORGET = "forget"  # a session that holds its conversation in memory: delete what is on disk


class CallDue(Enum):
    """What a call waits for."""

    TURN = "turn"  # its turn in a sticky session
    QUEUE = "queue"  # a process
    HOLD = "hold"  # the moment to send a stream's head although nothing has come
    PING = "ping"  # the next sign of life in a stream
    FALLBACK = "fallback"  # the other side's answer, or more of it


class RelayDue(Enum):
    """What the hub waits for."""

    REFILL = "refill"  # the pool is worth looking at
    EXPIRE = "expire"  # a conversation was not used for too long
    STORED = "stored"  # files and batches: what is over, what may run again
    VIEWERS = "viewers"  # the dashboards' next status
    FORCE = "force"  # shutdown: end what still runs
    LEAVE = "leave"  # shutdown: go, whatever is left


@dataclass(frozen=True)
class SlotTimer:
    """A timer of one session."""

    slot: str
    due: SlotDue


@dataclass(frozen=True)
class CallTimer:
    """A timer of one call."""

    call: int
    due: CallDue


@dataclass(frozen=True)
class RelayTimer:
    """A timer of the hub."""

    due: RelayDue


Timer = SlotTimer | CallTimer | RelayTimer
