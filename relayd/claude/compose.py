"""A conversation as a transcript that Claude Code resumes: values in, JSON lines out. Pure.

The rules were found by experiment (2.1.330): the snapshot line comes first and carries the system
prompt; user content is an array of blocks, or reminders are added; each line names the one before.
A transcript that ends in a user message starts that turn by itself.
"""

from __future__ import annotations

import uuid
from typing import Any

from relayd import codec
from relayd.anthropic.request import Message
from relayd.errors import invalid

# The transcript format's version, in every line; newer versions read older lines.
FORMAT_VERSION = "2.1.330"
# Claude Code's own marks of an interruption: as a whole last message they start no turn.
INTERRUPTED_TEXTS = ("[Request interrupted by user]", "[Request interrupted by user for tool use]")
ZERO_USAGE = {"input_tokens": 0, "output_tokens": 0}


class Composer:
    """Builds the lines of one transcript. `timestamp` is UTC ISO 8601 with milliseconds and Z."""

    def __init__(self, session_id: str, cwd: str, timestamp: str, model: str) -> None:
        self._common = {
            "isSidechain": False,
            "userType": "external",
            "entrypoint": "cli",
            "cwd": cwd,
            "sessionId": session_id,
            "version": FORMAT_VERSION,
            "gitBranch": "",
            "timestamp": timestamp,
        }
        self._model = model
        self._parent: str | None = None
        self._lines: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Composer {self._common['sessionId']} lines={len(self._lines)}>"

    def snapshot(self, system: tuple[str, ...]) -> None:
        """The system prompt and tools in force; must come before every message."""
        attachment = {
            "type": "prompt_snapshot",
            "systemPrompt": list(system),
            "tools": [],
            "reminderFold": False,
            "echoWireToolInputs": False,
            "contextRendering": "announced",
        }
        self._add("attachment", {"attachment": attachment})

    def message(self, message: Message) -> None:
        """One message of the conversation."""
        if message.role == "user":
            # Without the source, a last text that starts with "<bash-input>" counts as a shell line and starts no turn.
            self._add("user", {"promptSource": "sdk", "message": {"role": "user", "content": list(message.content)}})
            return
        body = {
            "id": f"msg_{uuid.uuid4().hex[:24]}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": list(message.content),
            "stop_reason": "tool_use" if message.content[-1]["type"] == "tool_use" else "end_turn",
            "stop_sequence": None,
            "usage": ZERO_USAGE,
        }
        self._add("assistant", {"message": body})

    def data(self) -> bytes:
        """All lines so far."""
        return b"".join(self._lines)

    def _add(self, kind: str, fields: dict[str, Any]) -> None:
        own = str(uuid.uuid4())
        line = {"parentUuid": self._parent, "type": kind, "uuid": own, **self._common, **fields}
        self._parent = own
        self._lines.append(codec.dump(line) + b"\n")


def check(messages: tuple[Message, ...]) -> None:
    """Raises ApiError 400 for a conversation that Claude Code would not answer."""
    last = messages[-1].content
    if len(last) == 1 and last[0].get("text") in INTERRUPTED_TEXTS:
        raise invalid(f"messages: Claude Code does not answer a last message that is exactly {last[0]['text']!r}")


def conversation(
    session_id: str, cwd: str, timestamp: str, model: str, system: tuple[str, ...], messages: tuple[Message, ...]
) -> bytes:
    """The whole transcript of a call."""
    composer = Composer(session_id, cwd, timestamp, model)
    composer.snapshot(system)
    for message in messages:
        composer.message(message)
    return composer.data()


def placeholder(session_id: str, cwd: str, timestamp: str) -> bytes:
    """What stands in the transcript of a slot that waits: enough for the session to be found.

    It ends in an answer. If the daemon dies, its FIFOs close and the processes go on; a transcript
    that ended in a question would then be sent upstream.
    """
    text = ({"type": "text", "text": "(waiting)"},)
    messages = (Message("user", text), Message("assistant", text))
    return conversation(session_id, cwd, timestamp, "none", (), messages)


def system_prompt(system: tuple[str, ...]) -> bytes:
    """What goes through the FIFO. Versions that honour the snapshot do not use it; older ones do.

    It must not be empty. Claude Code joins several system texts by a blank line; so do we.
    """
    return ("\n\n".join(system) or " ").encode("utf-8", "replace")
