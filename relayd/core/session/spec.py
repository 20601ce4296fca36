"""What a session is made of, as the pool gives it. Pure data; read by `record.Session` and the effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relayd.claude.compose import TranscriptContext
from relayd.claude.launch import Launch, LaunchKey, SlotPaths
from relayd.config import Config
from relayd.core.actions import Mode


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
