"""The messages of a chat as those of the Messages API. Pure; called by `decode`.

Anything that says nothing is left out: empty texts, an answer of no content and no calls. A chat that holds instructions alone
has them as its question, since a conversation must have one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relayd.anthropic import checks
from relayd.errors import invalid
from relayd.openai import parts, tool_calls
from relayd.openai.tool_calls import CallIds

SYSTEM_ROLES = ("system", "developer")
RESULT_ROLES = ("tool", "function")


@dataclass
class History:
    """What a chat's messages come to. `inexact` are paths of what could not be said as it was."""

    system: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    is_system_only: bool = False


def read(value: Any) -> History:
    """The history in `messages`. Raises ApiError 400."""
    found, ids = History(), CallIds()
    items = checks.listing(value, "messages")
    for number, item in enumerate(items):
        path = f"messages.{number}"
        message = checks.mapping(item, path)
        if message.get("role") in SYSTEM_ROLES:
            found.system.append(parts.text(message.get("content"), f"{path}.content"))
        else:
            _add(found, message, path, ids)
    found.is_system_only = bool(items) and not found.messages and any(found.system)
    if found.is_system_only:
        found.messages = [{"role": "user", "content": "\n".join(found.system)}]
        found.system = []
    return found


def _add(found: History, message: dict[str, Any], path: str, ids: CallIds) -> None:
    role, content = message.get("role"), message.get("content")
    if role in RESULT_ROLES:
        name = tool_calls.result_id(message, path, ids)
        result = {"type": "tool_result", "tool_use_id": name, "content": parts.of_result(content, f"{path}.content")}
        found.messages.append({"role": "user", "content": [result]})
        return
    if role not in ("user", "assistant"):
        raise invalid(f"{path}.role: Input should be 'system', 'developer', 'user', 'assistant', 'tool' or 'function'")
    blocks = parts.blocks(content, f"{path}.content")
    if role == "assistant":
        ids.next_turn()
        blocks += _calls(found, message, path, ids)
    if blocks:
        found.messages.append({"role": role, "content": blocks})


def _calls(found: History, message: dict[str, Any], path: str, ids: CallIds) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    items = [] if calls is None else checks.listing(calls, f"{path}.tool_calls")
    made = [(f"{path}.tool_calls.{n}", tool_calls.call(c, f"{path}.tool_calls.{n}", ids)) for n, c in enumerate(items)]
    if not items and message.get("function_call") is not None:
        made = [(f"{path}.function_call", tool_calls.function_call(message["function_call"], f"{path}.function_call", ids))]
    found.inexact += [place for place, (_, is_exact) in made if not is_exact]
    return [block for _, (block, _) in made]
