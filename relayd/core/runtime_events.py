"""Facts that the runtime tells the core, in the past tense: about clients, one process, another API's answer, the daemon. They
carry values only. Used by the name of `events.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relayd.claude.capabilities import Capabilities
from relayd.claude.hooks import HookFact
from relayd.core.storage import StoreFact
from relayd.core.timers import Timer
from relayd.errors import ApiError
from relayd.http.messages import HttpRequest
from relayd.http.routes import Route

# About a client


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


# About a process of Claude Code


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
    """Bytes that Claude Code has appended to the transcript of a conversation, which is not always the latest one: what is read
    before a process takes up another conversation may be told after that.
    """

    slot: str
    conversation: str
    data: bytes


@dataclass(frozen=True)
class MemoryMeasured:
    """How much memory the process holds."""

    slot: str
    size_bytes: int


@dataclass(frozen=True)
class RequestTold:
    """Claude Code has told the body of an API request that it sends; empty if it is too large to be looked at."""

    slot: str
    body: bytes


@dataclass(frozen=True)
class AnswerTold:
    """Claude Code has told the body of an API answer that is complete."""

    slot: str
    body: bytes


@dataclass(frozen=True)
class BodiesRead:
    """Those that were there are told."""

    slot: str


@dataclass(frozen=True)
class HookArrived:
    """Claude Code has told something by hook. What it had told of requests and answers before that was told before this."""

    slot: str
    fact: HookFact


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


# About the answer that another API gives to a call instead of Claude Code; the call may have ended meanwhile


@dataclass(frozen=True)
class UpstreamAnswered:
    """The head of its answer has come. Header names are in lower case."""

    call: int
    status: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UpstreamSent:
    """A piece of its answer's body has come."""

    call: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class UpstreamEnded:
    """Its answer is complete, as HTTP counts."""

    call: int


@dataclass(frozen=True)
class UpstreamFailed:
    """It could not be reached, does not speak HTTP or has broken off. `reason` is for the client: no content, no address."""

    call: int
    reason: str


# About the daemon


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
    | AnswerTold
    | BodiesRead
    | HookArrived
    | HandOverFailed
)
UpstreamFact = UpstreamAnswered | UpstreamSent | UpstreamEnded | UpstreamFailed
Event = (
    SlotEvent
    | UpstreamFact
    | StoreFact
    | MemoryMeasured
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
