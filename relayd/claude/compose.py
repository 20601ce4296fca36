"""A conversation as a transcript that Claude Code resumes: values in, JSON lines out. Pure.

The rules were found by experiment (2.1.330): the snapshot line comes first and carries the system
prompt and the tools; user content is an array of blocks, or reminders are added; each line names the one
before. A transcript that ends in a user message starts that turn by itself, unless it ends in tool results:
then "Continue from where you left off." is added, so they are followed by a line whose blank text starts
the turn and is not sent. A message of the role `system` is an attachment; the one that ends a conversation
comes before the user line that it follows.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.anthropic import media, models
from relayd.anthropic.blocks import Block
from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude import mcp, reminders
from relayd.claude.reminders import Machine
from relayd.errors import invalid

# The transcript format's version, in every line; newer versions read older lines.
FORMAT_VERSION = "2.1.330"
# Claude Code's own marks of an interruption: as a whole last message they start no turn.
INTERRUPTED_TEXTS = ("[Request interrupted by user]", "[Request interrupted by user for tool use]")
# What it writes where an answer said nothing: an answer of these alone, with thinking or without, is dropped.
FILLERS = ("(no content)", "[Empty text removed]")
BLANK: Block = {"type": "text", "text": " "}  # starts a turn and is dropped on the way to the API
# Pictures and documents in a conversation, as the API has it: for models with a window of a million tokens, and for others …
MEDIA_MAX, MEDIA_MAX_SMALL = 600, 100
MEDIA_MAX_CHARS = 24 * 1024 * 1024  # … and all of them together, as base64
ZERO_USAGE = {"input_tokens": 0, "output_tokens": 0}


@dataclass(frozen=True)
class TranscriptContext:
    """Where and when a transcript plays: its session, directory and time (UTC ISO 8601, milliseconds, Z), and the local date."""

    session_id: str
    cwd: str
    timestamp: str
    today: str
    machine: Machine


class Composer:
    """Builds the lines of one transcript."""

    def __init__(self, context: TranscriptContext, model: str) -> None:
        self._common = {
            "isSidechain": False,
            "userType": "external",
            "entrypoint": "cli",
            "cwd": context.cwd,
            "sessionId": context.session_id,
            "version": FORMAT_VERSION,
            "gitBranch": "",
            "timestamp": context.timestamp,
        }
        self._context = context
        self._model = model
        self._parent: str | None = None
        self._lines: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Composer {self._common['sessionId']} lines={len(self._lines)}>"

    def snapshot(self, system: tuple[str, ...], tools: list[dict[str, Any]]) -> None:
        """The system prompt and tools in force, then what counts as told; must come before every message."""
        attachment = {
            "type": "prompt_snapshot",
            "systemPrompt": list(system),
            "tools": tools,
            "reminderFold": False,
            "echoWireToolInputs": False,
            "contextRendering": "announced",
        }
        self._add("attachment", {"attachment": attachment})
        context = self._context
        for note in reminders.notes(context.machine, context.cwd, self._model, context.today):
            self._add("attachment", note)

    def system_turn(self, message: Message) -> None:
        """A message of the role `system`."""
        self._add("attachment", reminders.system_turn("\n\n".join(b["text"] for b in message.content)))

    def user(self, content: tuple[Block, ...], is_last: bool) -> None:
        """A user message; the last one starts the turn, and cannot do so with tool results in it."""
        results = sum(b["type"] == "tool_result" for b in content) if is_last else 0
        if results:
            self._user_line(content[:results])
        if not results or content[results:]:
            self._user_line(content[results:])
        else:
            self._user_line((BLANK,))

    def _user_line(self, content: tuple[Block, ...]) -> None:
        # Without the source, a last text that starts with "<bash-input>" counts as a shell line and starts no turn.
        self._add("user", {"promptSource": "sdk", "message": {"role": "user", "content": list(content)}})

    def assistant(self, content: tuple[Block, ...]) -> None:
        """An answer of the past."""
        self._add("assistant", {"message": self._answer(content)})

    def nothing_said(self) -> None:
        """What makes a transcript without messages one that can be loaded: an answer that is not sent to the model."""
        self._add("assistant", {"isVirtual": True, "message": self._answer(({"type": "text", "text": "(new)"},))})

    def _answer(self, content: tuple[Block, ...]) -> dict[str, Any]:
        return {
            "id": f"msg_{uuid.uuid4().hex[:24]}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [mcp.to_wire(b) for b in content],
            "stop_reason": "tool_use" if content[-1]["type"] == "tool_use" else "end_turn",
            "stop_sequence": None,
            "usage": ZERO_USAGE,
        }

    def past(self, message: Message) -> None:
        """A message before the last one."""
        if message.role == "assistant":
            self.assistant(message.content)
        elif message.role == "user":
            self.user(message.content, is_last=False)
        else:
            self.system_turn(message)

    def data(self) -> bytes:
        """All lines so far."""
        return b"".join(self._lines)

    def _add(self, kind: str, fields: dict[str, Any]) -> None:
        own = str(uuid.uuid4())
        line = {"parentUuid": self._parent, "type": kind, "uuid": own, **self._common, **fields}
        self._parent = own
        self._lines.append(codec.dump(line) + b"\n")


def check(request: MessagesRequest) -> None:
    """Raises ApiError 400 for a conversation that Claude Code would not answer, or would change on every road."""
    last = request.messages[-1].content
    if len(last) == 1 and last[0].get("text") in INTERRUPTED_TEXTS:
        raise invalid(f"messages: Claude Code does not answer a last message that is exactly {last[0]['text']!r}")
    if request.messages[0].role == "assistant":
        raise invalid("messages.0: Claude Code cannot be given a conversation that begins with an assistant message")
    for number, message in enumerate(request.messages):
        if message.role == "assistant" and not any(map(_is_visible, message.content)):
            raise invalid(f"messages.{number}: Claude Code drops an assistant message whose only text is {' or '.join(FILLERS)}")
    _check_media(request)
    if any(m.role == "system" for m in request.messages) and not reminders.takes_system_role(request.model):
        raise invalid("role 'system' is not supported on this model")


def _check_media(request: MessagesRequest) -> None:
    """Claude Code leaves out the oldest pictures and documents past its limits, in silence."""
    given = sum(media.counted(message.content) for message in request.messages)
    limit = MEDIA_MAX if models.facts(request.model).window >= models.M or request.model.endswith("[1m]") else MEDIA_MAX_SMALL
    if given > limit:
        raise invalid(f"messages: Claude Code hands at most {limit} images and documents to this model; there are {given}")
    size = sum(media.base64_chars(message.content) for message in request.messages)
    if size > MEDIA_MAX_CHARS:
        raise invalid(f"messages: Claude Code hands over at most {MEDIA_MAX_CHARS} characters of base64; there are {size}")


def _is_visible(block: Block) -> bool:
    """False for what does not keep an answer from being dropped."""
    if block["type"] == "text":
        return block["text"].replace("\ufeff", "").strip() not in FILLERS
    return block["type"] not in ("thinking", "redacted_thinking")


def conversation(context: TranscriptContext, request: MessagesRequest) -> bytes:
    """The whole transcript of a call."""
    composer = Composer(context, request.model)
    composer.snapshot(request.system, [mcp.snapshot_entry(t) for t in request.tools])
    messages = request.messages
    *_, last_user = (n for n, message in enumerate(messages) if message.role == "user")
    for number, message in enumerate(messages):
        if number == last_user:
            for ending in messages[last_user + 1 :]:
                composer.system_turn(ending)
            composer.user(message.content, is_last=True)
        elif number < last_user:
            composer.past(message)
    return composer.data()


def opening(context: TranscriptContext, request: MessagesRequest) -> bytes:
    """The transcript of a call without its last text, which is typed.

    What comes before that text in the same message is a message of its own here: Claude Code leaves out the answer
    that stands between, and joins the two. A text there would get a line break, so a blank one takes it, and is dropped.
    """
    composer = Composer(context, request.model)
    composer.snapshot(request.system, [mcp.snapshot_entry(t) for t in request.tools])
    for message in request.messages[:-1]:
        composer.past(message)
    rest = request.messages[-1].content[:-1]
    if rest:
        composer.user((*rest, BLANK) if rest[-1]["type"] == "text" else rest, is_last=False)
    if rest or len(request.messages) == 1:
        composer.nothing_said()
    return composer.data()


def prefix(context: TranscriptContext, model: str, held: Held) -> bytes:
    """The transcript of what a conversation begins with, up to a message that is still to come."""
    composer = Composer(context, model)
    composer.snapshot(held.system, [mcp.snapshot_entry(t) for t in held.tools])
    for message in held.messages:
        composer.past(message)
    if not held.messages:
        composer.nothing_said()
    return composer.data()


def placeholder(context: TranscriptContext) -> bytes:
    """What stands in the transcript of a slot that waits: enough for the session to be found.

    If the daemon dies, its FIFOs close and the processes go on. A transcript that ended in a question would then
    be sent upstream: it ends in an answer, and if that is cut off, in a line to which none is given.
    """
    composer = Composer(context, "none")
    composer.snapshot((), [])
    composer.user(({"type": "text", "text": INTERRUPTED_TEXTS[0]},), is_last=False)
    composer.assistant(({"type": "text", "text": "(waiting)"},))
    return composer.data()


def system_prompt(system: tuple[str, ...]) -> bytes:
    """What goes through the FIFO. Versions that honour the snapshot do not use it; older ones do.

    It must not be empty. Claude Code joins several system texts by a blank line; so do we.
    """
    return ("\n\n".join(system) or " ").encode("utf-8", "replace")
