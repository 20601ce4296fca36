"""Facts, in the past tense: everything that can happen to the core.

`Event` is what the runtime tells the hub; `SlotEvent` the part of it that is about one process; `SessionEvent` what a
session takes, which adds what one part of the core tells another. Imports only the values that they carry. What clients do is
in `client_facts.py`, what comes back from the disk in `storage.py`; both are told here by the same names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relayd.anthropic.blocks import Block
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude import mcp
from relayd.claude.capabilities import Capabilities
from relayd.claude.hooks import HookFact
from relayd.claude.pieces import Pieces
from relayd.claude.prompt import Draft
from relayd.claude.telemetry import WireFact
from relayd.core.client_facts import ClientLeft as ClientLeft
from relayd.core.client_facts import FrameArrived as FrameArrived
from relayd.core.client_facts import RequestArrived as RequestArrived
from relayd.core.client_facts import RequestRefused as RequestRefused
from relayd.core.client_facts import ViewerCaughtUp as ViewerCaughtUp
from relayd.core.storage import Stored as Stored
from relayd.core.storage import StoredRead as StoredRead
from relayd.core.storage import StoreFact
from relayd.core.storage import StoreFailed as StoreFailed
from relayd.core.timers import SlotDue, Timer
from relayd.errors import ApiError

# From the runtime


@dataclass(frozen=True)
class SlotSpawned:
    """The process runs."""

    slot: str
    pid: int


@dataclass(frozen=True)
class SpawnFailed:
    """The process could not be started."""

    slot: str
    reason: str


@dataclass(frozen=True)
class GateOpened:
    """The process waits at its FIFO."""

    slot: str


@dataclass(frozen=True)
class PtyOutput:
    """The process has written to its terminal."""

    slot: str
    data: bytes


@dataclass(frozen=True)
class PtyClosed:
    """The terminal's other end is closed; nothing more can be read."""

    slot: str


@dataclass(frozen=True)
class ChildExited:
    """The process has ended and was reaped. `status` is its exit code, or minus the signal."""

    slot: str
    status: int


@dataclass(frozen=True)
class TranscriptGrew:
    """Bytes that Claude Code has appended to the transcript."""

    slot: str
    data: bytes


@dataclass(frozen=True)
class RequestTold:
    """Claude Code has told the body of an API request that it sends; empty if it is too large to be looked at."""

    slot: str
    body: bytes


@dataclass(frozen=True)
class HandOverFailed:
    """The conversation could not be written (disk full, FIFO broken), or is not what was written any more."""

    slot: str
    reason: str


@dataclass(frozen=True)
class SlotBroke:
    """The runtime met an error on behalf of this process, which may still run: its gate is gone, an order failed."""

    slot: str
    reason: str


@dataclass(frozen=True)
class TimerFired:
    """A timer set with `SetTimer` is due."""

    key: Timer


@dataclass(frozen=True)
class ClaudeChanged:
    """The `claude` binary on disk is another one (or is gone: empty fingerprint), or the doctor's verdict about it is."""

    fingerprint: str
    capabilities: Capabilities = Capabilities()


@dataclass(frozen=True)
class KeysChanged:
    """The files of the token and of the named keys have changed. `named` is what `http.keys` has read of the latter."""

    token: str = field(repr=False)
    named: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class ShutdownAsked:
    """The daemon was told to end."""


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
class HookArrived:
    """Claude Code has told something by hook."""

    fact: HookFact


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


SlotEvent = (
    SlotSpawned
    | SpawnFailed
    | SlotBroke
    | GateOpened
    | PtyOutput
    | PtyClosed
    | ChildExited
    | TranscriptGrew
    | RequestTold
    | HandOverFailed
)
Event = (
    SlotEvent
    | StoreFact
    | RequestArrived
    | RequestRefused
    | ClientLeft
    | FrameArrived
    | ViewerCaughtUp
    | TimerFired
    | ClaudeChanged
    | KeysChanged
    | ShutdownAsked
)
SessionEvent = (
    SlotEvent
    | TurnAssigned
    | PrefixAssigned
    | PrefixLoaded
    | TurnAbandoned
    | HookArrived
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
    | LinesOverdue
    | WitnessOverdue
    | GivenUp
    | Retired
)
