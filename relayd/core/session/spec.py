"""What a session is made of, as the pool gives it. Pure data; read by `record.Session` and the effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relayd.anthropic.request import MessagesRequest
from relayd.claude import bodies
from relayd.claude.compose import TranscriptContext
from relayd.claude.launch import Launch, LaunchKey, SlotPaths
from relayd.claude.transcript import TranscriptReader
from relayd.config import Config
from relayd.core.actions import Mode
from relayd.core.session.witness import Witness


@dataclass(frozen=True)
class SessionSpec:
    """`transcript_context` gives the place and time of the transcript of a session id.

    `conversation` is the session id of its conversation: `slot`, but for a process that loads it.
    `config` is the one in force at its start.
    """

    slot: str
    conversation: str
    secret: str
    key: LaunchKey
    launch: Launch
    paths: SlotPaths
    workspace: str
    mode: Mode
    transcript_context: Callable[[str, float], TranscriptContext]
    config: Config

    @property
    def is_at_prompt(self) -> bool:
        """True if the process begins at its prompt, without a conversation."""
        return self.mode is Mode.PROMPT

    def reader(self) -> TranscriptReader:
        """The reader of a new conversation's lines."""
        return TranscriptReader()

    def witness(self, request: MessagesRequest) -> Witness:
        """The witness of a turn that this request begins."""
        return Witness(request, self.is_witnessed)

    @property
    def is_witnessed(self) -> bool:
        """True if the process tells the requests that it sends."""
        return bodies.ADDRESS in self.launch.env
