"""Hook payloads: one POST body of Claude Code to one fact. Pure; called by `core/relay.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.claude import told

INDEX_MAX = 1_000_000  # pieces of one message


@dataclass(frozen=True)
class Displayed:
    """Raw text of the running message, in whole lines. `index` counts per message from 0."""

    message_id: str
    index: int
    final: bool
    delta: str


@dataclass(frozen=True)
class Stopped:
    """The turn has ended well; `text` is the last text block, trimmed."""

    text: str


@dataclass(frozen=True)
class TurnFailed:
    """The turn has ended in an API error: Claude Code's name for it, details, and the text it shows."""

    error: str
    details: str
    text: str


@dataclass(frozen=True)
class Submitted:
    """A typed prompt is about to go to the model, unless the answer to this hook blocks it."""

    prompt: str
    session: str


HookFact = Displayed | Stopped | TurnFailed | Submitted
PASS = b"{}"
BLOCK = b'{"decision":"block","reason":"relayd: this is not the text that was sent","suppressOriginalPrompt":true}'


def read(body: bytes) -> HookFact | None:
    """The fact in a payload; None for events that are not used. Raises ValueError if it is malformed."""
    value = told.mapping(codec.parse(body), "payload")
    name = told.text(value.get("hook_event_name"), "hook_event_name")
    if name == "MessageDisplay":
        return _displayed(value)
    if name == "Stop":
        return Stopped(told.any_text(value.get("last_assistant_message")))
    if name == "UserPromptSubmit":
        return Submitted(told.text(value.get("prompt"), "prompt"), told.text(value.get("session_id"), "session_id"))
    if name == "StopFailure":
        texts = (value.get(field) for field in ("error", "error_details", "last_assistant_message"))
        return TurnFailed(*map(told.any_text, texts))
    return None


def _displayed(value: dict[str, Any]) -> Displayed:
    index = told.count(value.get("index"), "index", INDEX_MAX)
    texts = (told.text(value.get(name), name) for name in ("message_id", "delta"))
    message_id, delta = texts
    return Displayed(message_id, index, value.get("final") is True, delta)
