"""Facts, in the past tense: everything that can happen to the core.

`Event` is what the runtime tells the relay, and `SlotEvent` the part of it that is about one process (`runtime_events.py`, and
`storage.py` for the disk; they go by this module's name). Here are those that one part of the core tells a session;
`SessionEvent` is all that a session takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd.anthropic.blocks import Block
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude import mcp
from relayd.claude.pieces import Pieces
from relayd.claude.prompt import Draft
from relayd.claude.telemetry import WireFact
from relayd.core.runtime_events import (
    AnswerTold,
    BodiesRead,
    ChildExited,
    ClaudeChanged,
    ClientLeft,
    Event,
    FrameArrived,
    GateOpened,
    HandOverFailed,
    HookArrived,
    KeysChanged,
    MemoryMeasured,
    PtyClosed,
    PtyOutput,
    RequestArrived,
    RequestRefused,
    RequestTold,
    ShutdownAsked,
    SlotBroke,
    SlotEvent,
    SlotSpawned,
    SpawnFailed,
    TimerFired,
    TranscriptGrew,
    UpstreamAnswered,
    UpstreamEnded,
    UpstreamFact,
    UpstreamFailed,
    UpstreamSent,
    ViewerCaughtUp,
)
from relayd.core.storage import Stored, StoredRead, StoreFailed
from relayd.core.timers import SlotDue
from relayd.errors import ApiError

__all__ = (  # what goes by this module's name
    "AnswerTold",
    "BodiesRead",
    "ChildExited",
    "ClaudeChanged",
    "ClientLeft",
    "Event",
    "FrameArrived",
    "GateOpened",
    "HandOverFailed",
    "HookArrived",
    "KeysChanged",
    "MemoryMeasured",
    "PtyClosed",
    "PtyOutput",
    "RequestArrived",
    "RequestRefused",
    "RequestTold",
    "ShutdownAsked",
    "SlotBroke",
    "SlotEvent",
    "SlotSpawned",
    "SpawnFailed",
    "StoreFailed",
    "Stored",
    "StoredRead",
    "TimerFired",
    "TranscriptGrew",
    "UpstreamAnswered",
    "UpstreamEnded",
    "UpstreamFact",
    "UpstreamFailed",
    "UpstreamSent",
    "ViewerCaughtUp",
)

# From one part of the core to a session


@dataclass(frozen=True)
class TurnAssigned:
    """A call takes this process; `draft` is what may be typed of its last message."""

    call: int
    request: MessagesRequest
    draft: Draft | None = None


@dataclass(frozen=True)
class PrefixAssigned:
    """The pool wants this process to load what calls begin with, so that a call needs only type."""

    prefix: Held


@dataclass(frozen=True)
class PrefixLoaded:
    """Claude Code has loaded it, and is at its prompt."""


@dataclass(frozen=True)
class TurnAbandoned:
    """The call is gone: its client has left or it was answered with an error."""


@dataclass(frozen=True)
class PiecesArrived:
    """Claude Code's mod has told pieces of the answer."""

    fact: Pieces


@dataclass(frozen=True)
class WireArrived:
    """Claude Code has reported one of its API requests."""

    fact: WireFact


@dataclass(frozen=True)
class ToolCalled:
    """Claude Code asks for a tool to be run; `client` is the connection that waits for its result."""

    client: int
    fact: mcp.ToolCalled


@dataclass(frozen=True)
class ToolsAsked:
    """Claude Code asks which tools there are; `client` is the connection that waits for the answer."""

    client: int
    fact: mcp.Asked


@dataclass(frozen=True)
class TurnParked:
    """The answer asks for tools and is complete; the turn waits for their results."""

    content: tuple[Block, ...]


@dataclass(frozen=True)
class ResultsBrought:
    """The next call of the conversation brings the results of all tools."""

    call: int
    request: MessagesRequest


@dataclass(frozen=True)
class PromptReached:
    """The process stands at its prompt."""


@dataclass(frozen=True)
class TurnKept:
    """The answer is complete, and the process may wait for the next message of its conversation."""

    content: tuple[Block, ...]


@dataclass(frozen=True)
class MessageBrought:
    """The next call of the conversation, with a message that may be typed."""

    call: int
    request: MessagesRequest
    draft: Draft


@dataclass(frozen=True)
class PromptSettled:
    """The terminal has been silent for a moment: what the editor brings may be in the prompt."""


@dataclass(frozen=True)
class PromptRefused:
    """What was typed is not what Claude Code has."""


@dataclass(frozen=True)
class TurnSeen:
    """The first sign that the turn runs."""


@dataclass(frozen=True)
class TurnEnded:
    """The turn is over, well or not; the process is not needed any more."""


@dataclass(frozen=True)
class TrustAsked:
    """The screen shows the trust dialog of our own workspace."""


@dataclass(frozen=True)
class DialogSettled:
    """A known dialog has stood long enough to take a key."""


@dataclass(frozen=True)
class ScreenBlocked:
    """The screen waits for a person."""

    error: ApiError


@dataclass(frozen=True)
class DeadlinePassed:
    """A deadline of the session's state has passed."""

    due: SlotDue


@dataclass(frozen=True)
class ForgetDue:
    """The session has rested for a moment with its answer on disk."""


@dataclass(frozen=True)
class ResultDue:
    """Claude Code has had time to read the result before: it may have the next."""


@dataclass(frozen=True)
class LinesOverdue:
    """A tool call is open, and the answer that asks for it is still not in the transcript."""


@dataclass(frozen=True)
class WitnessOverdue:
    """Parts of the answer have come, and the request that it answers was not told."""


@dataclass(frozen=True)
class GivenUp:
    """The process has survived every KILL."""


@dataclass(frozen=True)
class Retired:
    """The pool does not want this process any more."""

    reason: str


SessionEvent = (
    SlotEvent
    | TurnAssigned
    | PrefixAssigned
    | PrefixLoaded
    | TurnAbandoned
    | PiecesArrived
    | WireArrived
    | ToolCalled
    | ToolsAsked
    | TurnParked
    | ResultsBrought
    | PromptReached
    | TurnKept
    | MessageBrought
    | PromptSettled
    | PromptRefused
    | TurnSeen
    | TurnEnded
    | TrustAsked
    | DialogSettled
    | ScreenBlocked
    | DeadlinePassed
    | ForgetDue
    | ResultDue
    | LinesOverdue
    | WitnessOverdue
    | GivenUp
    | Retired
)
