"""Orders, in the imperative: everything the core can want. `runtime/performer.py` carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from relayd.claude.launch import Launch, SlotPaths
from relayd.core.runtime_events import HookArrived
from relayd.core.storage import Ticket
from relayd.core.timers import Timer

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Respond:
    """Send a whole answer."""

    client: int
    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class StartStream:
    """Send the head of a streamed answer."""

    client: int
    status: int
    headers: Headers


@dataclass(frozen=True)
class SendChunk:
    """Send a piece of a streamed answer."""

    client: int
    data: bytes


@dataclass(frozen=True)
class EndStream:
    """End a streamed answer."""

    client: int


@dataclass(frozen=True)
class Upgrade:
    """Answer the client's request by turning its connection into a WebSocket."""

    client: int


@dataclass(frozen=True)
class SendFrame:
    """Send a WebSocket message, or drop it if too much is waiting already."""

    client: int
    text: str


@dataclass(frozen=True)
class SendFile:
    """Answer with what is in a stored file, at the pace at which the client takes it. Paths begin at the state directory."""

    client: int
    status: int
    headers: Headers
    path: str


@dataclass(frozen=True)
class CloseClient:
    """End a connection at once."""

    client: int


class Mode(Enum):
    """How a process comes to its conversation."""

    GATE = "gate"  # it waits, blocked, before it reads any: takes every conversation
    PROMPT = "prompt"  # it stands at its prompt: takes one whose last message may be typed
    LATE = "late"  # it is started with it


@dataclass(frozen=True)
class BodyFiles:
    """Where a process writes down what it sends and gets: files in `directory`. The names of requests and of answers end in
    these; one of more than `max_bytes` is not read.
    """

    directory: str
    requests: str
    answers: str
    max_bytes: int


@dataclass(frozen=True)
class SpawnSlot:
    """Make the slot's files and start its process (or, LATE, do that at its hand-over); then watch its gate, if it has one."""

    slot: str
    launch: Launch
    paths: SlotPaths
    placeholder: bytes
    bodies: BodyFiles
    mode: Mode = Mode.GATE


@dataclass(frozen=True)
class HurryGate:
    """A call waits for this process: look at its gate more often."""

    slot: str


@dataclass(frozen=True)
class ConversationFiles:
    """Where a process keeps another conversation than its first: its session id, the transcript, a directory it may make."""

    session_id: str
    transcript: str
    beside: str


@dataclass(frozen=True)
class HandOver:
    """Write the transcript, then the system prompt through the FIFO; then tail the transcript. `files`: if it is not the
    process's first conversation; those of the earlier ones go then.
    """

    slot: str
    transcript: bytes
    system_prompt: bytes
    files: ConversationFiles | None = None


@dataclass(frozen=True)
class WritePty:
    """Type control keys or answer a terminal query; never request content."""

    slot: str
    data: bytes


@dataclass(frozen=True)
class OpenEditor:
    """Put a text where the editor of a process finds it, and press the key that opens the editor."""

    slot: str
    text: str
    key: bytes


@dataclass(frozen=True)
class SignalChild:
    """Send TERM or KILL to the process group."""

    slot: str
    name: str


@dataclass(frozen=True)
class RemoveSlot:
    """Close what is open and delete every file of the slot. The last order about it."""

    slot: str


@dataclass(frozen=True)
class SetTimer:
    """(Re)set a timer; `at` is monotonic seconds."""

    key: Timer
    at: float


@dataclass(frozen=True)
class CancelTimer:
    """Forget a timer, if it is set."""

    key: Timer


@dataclass(frozen=True)
class Log:
    """A log line, with facts by name. Never a prompt, an answer or a secret."""

    level: str
    text: str
    fields: dict[str, Any] | None = None


@dataclass(frozen=True)
class Record:
    """Append a call's record, a line of JSON, to the file of recent calls."""

    line: bytes


@dataclass(frozen=True)
class Remember:
    """Keep the launch keys used lately for the next start (model names and numbers only)."""

    data: bytes


@dataclass(frozen=True)
class ForgetPrompts:
    """A typed turn has ended: take it out of Claude Code's list of typed prompts at this time."""

    at: float


@dataclass(frozen=True)
class ForgetTranscript:
    """The process rests with its conversation in memory: delete what is on disk. What it writes next makes a new file."""

    slot: str


@dataclass(frozen=True)
class ReadBodies:
    """Look at once for the requests and answers that Claude Code has told. Else that is looked for now and again. `then` is what
    it has told after them, and comes behind them.
    """

    slot: str
    then: HookArrived | None = None


@dataclass(frozen=True)
class MeasureMemory:
    """Tell how much memory the process holds (`MemoryMeasured`), where the system says."""

    slot: str


@dataclass(frozen=True)
class Forward:
    """Ask the fallback, and tell what it answers as the call's. The key and what the connection needs are the runtime's."""

    call: int
    client: int  # who gets the answer: as much is read as this one takes
    target: str
    headers: Headers
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class StopForward:
    """Nobody waits for the fallback's answer to this call any more."""

    call: int


@dataclass(frozen=True)
class WriteFile:
    """Write a stored file, so that it is there whole or not at all; then tell `Stored` or `StoreFailed`."""

    ticket: Ticket
    path: str
    data: bytes


@dataclass(frozen=True)
class AppendFile:
    """The same for whole lines behind those of a stored file."""

    ticket: Ticket
    path: str
    data: bytes


@dataclass(frozen=True)
class ReadFile:
    """Read a part of a stored file; then tell `StoredRead` or `StoreFailed`."""

    ticket: Ticket
    path: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class EraseFile:
    """Delete a stored file, if it is there."""

    path: str


@dataclass(frozen=True)
class Finish:
    """Everything has ended: leave the loop."""


Action = (
    Respond
    | StartStream
    | SendChunk
    | EndStream
    | Upgrade
    | SendFrame
    | SendFile
    | CloseClient
    | SpawnSlot
    | HurryGate
    | HandOver
    | WritePty
    | OpenEditor
    | SignalChild
    | RemoveSlot
    | SetTimer
    | CancelTimer
    | Log
    | Record
    | Remember
    | ForgetPrompts
    | ForgetTranscript
    | ReadBodies
    | MeasureMemory
    | Forward
    | StopForward
    | WriteFile
    | AppendFile
    | ReadFile
    | EraseFile
    | Finish
)
