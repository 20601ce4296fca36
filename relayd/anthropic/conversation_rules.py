"""What the API asks of a conversation as a whole: turns in order, tool calls in pairs, nothing that it refuses. Pure.

A block alone is checked in `blocks`; here it is looked at among the others. Claude Code *repairs* what the API refuses: it
drops calls whose id was used before and answers of thinking alone, and the model is asked another question. So nothing that
the API refuses may get past these rules. Texts of errors are the API's own. Called by `request`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, takewhile

from relayd.anthropic.blocks import CALLS, SERVER_CALLS, Block
from relayd.errors import invalid

IDS_SHOWN = 10  # of tool calls without results
THINKING = ("thinking", "redacted_thinking")


@dataclass(frozen=True)
class Message:
    """One turn of the conversation: neighbours of the same role are already merged."""

    role: str
    content: tuple[Block, ...]


def merged(given: list[tuple[str, list[Block]]]) -> tuple[Message, ...]:
    """Neighbours of the same role become one message, as the API does it."""
    found: list[tuple[str, list[Block]]] = []
    for role, content in given:
        if found and found[-1][0] == role:
            found[-1][1].extend(content)
        else:
            found.append((role, list(content)))
    return tuple(Message(role, tuple(content)) for role, content in found)


def check(messages: tuple[Message, ...]) -> None:
    """Raises ApiError 400 for a conversation that the API refuses."""
    _check_order(messages)
    _check_roles(messages)
    _check_endings(messages)
    _check_tool_pairs(messages)
    _check_server_calls(messages)


def _check_order(messages: tuple[Message, ...]) -> None:
    """The last message is the user's. A system message comes between a user's and an answer, or at the end."""
    if messages[0].role == "system":
        raise invalid("messages.0: use the top-level 'system' parameter for the initial system prompt")
    for first, second in pairwise(messages):
        if second.role == "system" and first.role == "assistant":
            raise invalid("messages: a system message must follow a user message")
        if first.role == "system" and second.role == "user":
            raise invalid("messages: a system message must be followed by an assistant message or end the conversation")
    if messages[-1].role == "assistant":
        raise invalid("This model does not support assistant message prefill. The conversation must end with a user message.")


def _check_roles(messages: tuple[Message, ...]) -> None:
    """Who calls and thinks is the assistant; who brings results is the user."""
    for number, message in enumerate(messages):
        for kind in (block["type"] for block in message.content):
            role = "assistant" if kind in (*CALLS, *THINKING) else "user" if kind == "tool_result" else message.role
            if role != message.role:
                raise invalid(f"messages.{number}: `{kind}` blocks can only be in `{role}` messages")


def _check_endings(messages: tuple[Message, ...]) -> None:
    """An answer ends in something that was said or called."""
    for number, message in enumerate(messages):
        kind = message.content[-1]["type"]
        if message.role == "assistant" and kind in THINKING:
            raise invalid(f"messages.{number}: The final block in an assistant message cannot be `{kind}`.")


def _check_tool_pairs(messages: tuple[Message, ...]) -> None:
    """Every tool_use has an id of its own and is answered once at the start of the next message, and only those are."""
    open_ids: list[str] = []
    known: set[str] = set()
    for number, message in enumerate(messages):
        path = f"messages.{number}.content"
        first = takewhile(lambda b: b["type"] == "tool_result", message.content)
        answered = {b["tool_use_id"] for b in first}
        missing = [i for i in open_ids if i not in answered]
        if missing:
            raise invalid(
                f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing[:IDS_SHOWN])}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
        _check_results(message, frozenset(open_ids), path)
        open_ids = []
        for index, block in enumerate(message.content):
            if block["type"] == "tool_use":
                if block["id"] in known:
                    raise invalid(f"{path}.{index}: `tool_use` ids must be unique")
                known.add(block["id"])
                open_ids.append(block["id"])


def _check_results(message: Message, open_ids: frozenset[str], path: str) -> None:
    seen = set()
    for index, block in enumerate(message.content):
        if block["type"] != "tool_result":
            continue
        name = block["tool_use_id"]
        if name not in open_ids:
            raise invalid(
                f"{path}.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if name in seen:
            raise invalid(
                f"{path}.{index}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {name}"
            )
        seen.add(name)


def _check_server_calls(messages: tuple[Message, ...]) -> None:
    """What the API has run is there with its result."""
    for number, message in enumerate(messages):
        results = {str(b["tool_use_id"]) for b in message.content if b["type"] != "tool_result" and "tool_use_id" in b}
        for block in message.content:
            if block["type"] in SERVER_CALLS and block["id"] not in results:
                raise invalid(
                    f"messages.{number}: `{block['name']}` tool use with id `{block['id']}` was found without a corresponding "
                    f"`{_result_kind(block)}` block"
                )


def _result_kind(call: Block) -> str:
    return "mcp_tool_result" if call["type"] == "mcp_tool_use" else f"{call['name']}_tool_result"
