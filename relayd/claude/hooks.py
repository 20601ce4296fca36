"""Hook payloads: one POST body of Claude Code to one fact. Pure; called by `core/relay.py`."""

from __future__ import annotations

from dataclasses import dataclass

from relayd import codec


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
    value = codec.parse(body)
    try:
        name = value["hook_event_name"]
        if name == "MessageDisplay":
            return Displayed(str(value["message_id"]), int(value["index"]), bool(value["final"]), str(value["delta"]))
        if name == "Stop":
            return Stopped(str(value.get("last_assistant_message") or ""))
        if name == "UserPromptSubmit":
            return Submitted(str(value["prompt"]), str(value["session_id"]))
        if name == "StopFailure":
            details, text = value.get("error_details") or "", value.get("last_assistant_message") or ""
            return TurnFailed(str(value.get("error") or ""), str(details), str(text))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"hook payload without {error}") from error
    return None
