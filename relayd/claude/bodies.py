"""What Claude Code has really sent to the API: its own account of it, compared with what the client asked. Pure.

With `OTEL_LOG_RAW_API_BODIES=file:DIRECTORY`, a documented part of its telemetry, Claude Code writes the JSON body of each API
request to `DIRECTORY/<uuid>.request.json` when it sends it: system prompt, tools, messages and parameters as the model gets
them, without headers. Thinking reads REDACTED; its signature does not. The comparison says where a body differs,
never what it says there.

What Claude Code adds to every request is no difference: its own system blocks before the client's, the prefix and the order of
tools, its cache marks, and what older versions put before a message as a reminder. `core/session/witness.py` decides what
follows from a difference.
"""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.anthropic.blocks import Block
from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import CACHE, MessagesRequest
from relayd.claude import mcp
from relayd.claude.reminders import is_reminder

DIRECTORY = "bodies"  # in the slot's directory
ADDRESS = "OTEL_LOG_RAW_API_BODIES"
REQUEST_END = ".request.json"
ANSWER_END = ".response.json"  # `transcript.read_answer` reads it
OWN_SYSTEM_BLOCKS = 2
REDACTED_KINDS = ("thinking", "redacted_thinking")
IN_ORDER = ("input", "input_schema")  # the order of keys counts inside
BODY_MAX_BYTES = 2 * 1024 * 1024  # a larger one is not compared: reading its JSON would hold the loop for over 5 ms


def environment(directory: str) -> dict[str, str]:
    """Settings that make Claude Code write each request and answer to a file in `directory`, which it makes."""
    return {ADDRESS: f"file:{directory}"}


class Expected:
    """What the body of a call's request must hold; `parameters` by their names (`launch.extra_body`)."""

    def __init__(self, request: MessagesRequest, parameters: dict[str, Any]) -> None:
        self._request = request
        self._parameters = parameters
        self._messages = [_expected(message) for message in request.messages]
        self._is_inexact = any(name.startswith("messages") for name in request.inexact)

    def __repr__(self) -> str:
        return f"<Expected {len(self._messages)} messages>"

    def difference(self, body: dict[str, Any]) -> str:
        """The path of the first part that differs; "" if all is as the client asked. Raises ValueError for no request."""
        return (
            _parameters(self._parameters, body)
            or _system(self._request.system, body)
            or self._tools(body)
            or self._conversation(_list(body, "messages"), self._messages)
        )

    def is_continued_by(self, body: dict[str, Any]) -> bool:
        """True if a body goes on after this conversation: Claude Code has an answer to it, and asks for more by itself. After an
        answer without a word its request is added to the last message.
        """
        messages, count = _list(body, "messages"), len(self._messages)
        *before, last = self._messages
        content = _blocks(_dict(messages[count - 1]).get("content")) if len(messages) >= count else []
        if len(messages) < count or (len(messages) == count and len(content) <= len(last["content"])):
            return False
        own = messages[count - 1] | {"content": [_unjoined(block) for block in content[: len(last["content"])]]}
        wanted = last | {"content": [_unjoined(block) for block in last["content"]]}
        return not self._conversation([*messages[: count - 1], own], [*before, wanted])

    def _tools(self, body: dict[str, Any]) -> str:
        wanted = mcp.for_the_api(self._request.tools, self._request.server_tools)
        found = [_bare(tool) for tool in _list(body, "tools")]
        if len(found) != len(wanted):
            return "tools"
        is_inexact = any(name.startswith("tools") for name in self._request.inexact)
        differ = (n for n, (got, want) in enumerate(zip(found, wanted, strict=True)) if not _same(got, want, is_inexact))
        return next((f"tools.{number}" for number in differ), "")

    def _conversation(self, messages: list[Any], wanted: list[dict[str, Any]]) -> str:
        for number, (got, want) in enumerate(zip(map(_dict, messages), wanted, strict=False)):
            if got.get("role") != want["role"]:
                return f"messages.{number}.role"
            place = _content(got.get("content"), want["content"], self._is_inexact)
            if place is not None:
                return f"messages.{number}.content.{place}"
        return f"messages.{min(len(messages), len(wanted))}" if len(messages) != len(wanted) else ""


def read(data: bytes) -> dict[str, Any]:
    """A body. Raises ValueError if it is none, or not whole yet."""
    return _dict(codec.parse(data))


def _expected(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_plain(mcp.to_wire(block)) for block in message.content]}


def _content(value: Any, wanted: list[Block], is_inexact: bool) -> int | None:
    """The number of the first block that differs; None if none does."""
    found = [_plain(_bare(block)) for block in _blocks(value)]
    while len(found) > len(wanted) and is_reminder(str(found[0].get("text", ""))) and not _same(found[0], wanted[0], False):
        del found[0]
    if is_inexact:
        found, wanted = _calls_last(found), _calls_last(wanted)
    for number, (got, want) in enumerate(zip(found, wanted, strict=False)):
        if not _same(got, want, is_inexact):
            return number
    return None if len(found) == len(wanted) else min(len(found), len(wanted))


def _blocks(value: Any) -> list[Any]:
    """The content of a message; a text counts as one block."""
    return [{"type": "text", "text": value}] if isinstance(value, str) else value or []


def _plain(block: Block) -> Block:
    """A block in the form in which two are compared: results as blocks, thinking without its words."""
    if block.get("type") in REDACTED_KINDS:
        return {k: v for k, v in block.items() if k in ("type", "signature")}
    inner = block.get("content")
    if block.get("type") != "tool_result" or inner is None:
        return block
    if isinstance(inner, str):
        return block | {"content": [{"type": "text", "text": inner}]}
    return block | {"content": [_bare(each) for each in inner]}


def _unjoined(block: Any) -> Block:
    """A text without the line break that joins it to what Claude Code has added behind it."""
    found = _dict(block)
    return found | {"text": found["text"].removesuffix("\n")} if isinstance(found.get("text"), str) else found


def _calls_last(blocks: list[Block]) -> list[Block]:
    """An answer's blocks as JavaScript leaves them, where that was named."""
    return sorted(blocks, key=lambda block: block.get("type") == "tool_use")


def _bare(block: Any) -> Block:
    found = _dict(block)
    return {k: v for k, v in found.items() if k != CACHE} if CACHE in found else found


def _system(wanted: tuple[str, ...], body: dict[str, Any]) -> str:
    """The client's system prompt comes last, as one text. Other providers may get fewer blocks of Claude Code's own. Where the
    client is Claude Code, its first blocks look like these, and stay blocks.
    """
    found = [_bare(block) for block in _list(body, "system")]
    texts = [block["text"] for block in found if block.keys() == {"type", "text"} and block["type"] == "text"]
    text = "\n\n".join(filter(None, wanted))
    if len(texts) != len(found) or not all(isinstance(each, str) for each in texts):
        return "system"
    if not text:
        return "system" if len(texts) > OWN_SYSTEM_BLOCKS else ""
    counts = range(1, min(len(texts), OWN_SYSTEM_BLOCKS + 1) + 1)
    places = (n for n in counts if "\n\n".join(texts[-n:]) == text and len(texts) - n <= OWN_SYSTEM_BLOCKS)
    return "" if next(places, None) else "system"


def _parameters(wanted: dict[str, Any], body: dict[str, Any]) -> str:
    """Each parameter that relayd sets is there; Claude Code may have more beside it."""
    for name, value in wanted.items():
        found = body.get(name)
        if isinstance(value, dict) and isinstance(found, dict):
            found = {k: v for k, v in found.items() if k in value}
        if not _same(found, value, is_loose=True):
            return name
    return ""


def _same(got: Any, want: Any, is_loose: bool, is_ordered: bool = False) -> bool:
    """True if the JSON of both is the same. Kinds of numbers and, inside inputs and schemas, the order of keys count, unless
    `is_loose`.
    """
    if isinstance(want, str):
        return isinstance(got, str) and got == want
    if isinstance(want, dict):
        if not isinstance(got, dict) or got.keys() != want.keys():
            return False
        if is_ordered and not is_loose and list(got) != list(want):
            return False
        return all(_same(got[k], v, is_loose, is_ordered or k in IN_ORDER) for k, v in want.items())
    if isinstance(want, list):
        is_long = isinstance(got, list) and len(got) == len(want)
        return is_long and all(_same(g, w, is_loose, is_ordered) for g, w in zip(got, want, strict=True))
    if is_loose and isinstance(want, (int, float)) and not isinstance(want, bool):
        return isinstance(got, (int, float)) and float(got) == float(want)
    return type(got) is type(want) and bool(got == want)


def _list(body: dict[str, Any], name: str) -> list[Any]:
    found = body.get(name) or []
    if not isinstance(found, list):
        raise ValueError(f"{name}: no list")
    return found


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
