"""The items of a Responses conversation as messages of the Messages API. Pure; called by `responses`.

Items come in one flat list; the Messages API has turns. What the model said makes one message until the client says something;
what the client says makes one until the model does: results of tools first, which the API demands, then the rest in its order.
Instructions before everything else are the system prompt. Later ones stay where they are, as messages of the role `system`,
if the model takes them; else they join the system prompt, which is named as inexact. So is whatever had to move.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from relayd.anthropic import checks
from relayd.errors import invalid
from relayd.openai import reasoning, response_parts, response_tools, tool_calls
from relayd.openai.response_tools import CALLS, FUNCTION, KNOWN, RESULTS
from relayd.openai.tool_calls import CallIds

INSTRUCTING = ("system", "developer")
SEARCH = "web_search_call"  # of another provider: what was found is not in it
MODEL, USER, RESULT, SYSTEM = "assistant", "user", "result", "system"
KINDS = ("message", "reasoning", *CALLS, *RESULTS)
FAILED = "failed"  # the status of a patch that could not be applied


@dataclass(frozen=True)
class Said:
    """What an item comes to: who says it, and the blocks of it."""

    who: str
    blocks: list[dict[str, Any]]
    path: str

    @property
    def text(self) -> str:
        """The texts in it."""
        return "\n\n".join(block["text"] for block in self.blocks)


@dataclass
class History:
    """What the items come to. `inexact` are paths of what could not be said as it was, `ignored` of what is left out."""

    system: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    is_system_only: bool = False

    def __repr__(self) -> str:
        return f"<History messages={len(self.messages)}>"


def read(items: Iterable[tuple[str, Any]], takes_system: bool) -> History:
    """The history in the items, each with its path in the request. Raises ApiError 400."""
    found, ids, said = History(), CallIds(), []
    was_models = False
    for path, item in items:
        value = checks.mapping(item, path)
        is_models = _is_models(value)
        if is_models and not was_models:
            ids.next_turn()
        was_models = is_models
        one = _said(value, path, found, ids)
        said += [one] if one.blocks else []
    for is_models, group in groupby(said, lambda one: one.who == MODEL):
        if is_models:
            _add_answer(found, list(group))
        else:
            _add_question(found, list(group), takes_system)
    found.is_system_only = not found.messages and bool(found.system)
    return found


def _is_models(value: dict[str, Any]) -> bool:
    return value.get("type") in (*CALLS, "reasoning", SEARCH) or value.get("role") == MODEL


def _said(value: dict[str, Any], path: str, found: History, ids: CallIds) -> Said:
    given = value.get("type")
    kind = "message" if given is None else checks.text(given, f"{path}.type")
    if kind == "message":
        return _message(value, path, found)
    if kind == "reasoning":
        block = reasoning.opened(value.get("encrypted_content"))
        found.ignored += [] if block else [path]
        return Said(MODEL, [block] if block else [], path)
    if kind in CALLS:
        return Said(MODEL, [_call(value, path, found, ids)], path)
    if kind in RESULTS:
        return Said(RESULT, [_result(value, path, found, ids)], path)
    if kind == SEARCH:
        found.ignored.append(path)
        return Said(MODEL, [], path)
    quoted = ", ".join(f"'{known}'" for known in KINDS)
    raise invalid(f"{path}.type: '{kind[:80]}' is not supported by relayd. Input should be one of {quoted}")


def _message(value: dict[str, Any], path: str, found: History) -> Said:
    role = checks.one_of(value.get("role"), (USER, MODEL, *INSTRUCTING), f"{path}.role")
    blocks = response_parts.blocks(checks.field(value, "content", path), f"{path}.content", found.ignored)
    if role not in INSTRUCTING:
        return Said(role, blocks, path)
    if any(block["type"] != "text" for block in blocks):
        raise invalid(f"{path}.content: instructions may hold texts only")
    return Said(SYSTEM, blocks, path)


def _call(value: dict[str, Any], path: str, found: History, ids: CallIds) -> dict[str, Any]:
    tool = response_tools.called(value, path)
    name = ids.call(checks.text(checks.field(value, "call_id", path), f"{path}.call_id"))
    if tool.kind in KNOWN:
        given = response_tools.known_input(value, path)
    elif tool.kind == FUNCTION:
        given, is_exact = tool_calls.arguments(value.get("arguments"), f"{path}.arguments")
        found.inexact += [] if is_exact else [path]
    else:
        given = {"input": checks.text(checks.field(value, "input", path), f"{path}.input")}
    return {"type": "tool_use", "id": name, "name": tool.wire_name, "input": given}


def _result(value: dict[str, Any], path: str, found: History, ids: CallIds) -> dict[str, Any]:
    kind, output = value["type"], value.get("output")
    given = value.get("call_id") or (value.get("id") if kind == "local_shell_call_output" else None)
    name = ids.result(checks.text(given, f"{path}.call_id"))
    if kind == "shell_call_output":
        content: Any = response_tools.shell_text(output, f"{path}.output")
    else:
        content = response_parts.result(output, f"{path}.output", found.ignored)
    failed = kind == "apply_patch_call_output" and value.get("status") == FAILED
    return {"type": "tool_result", "tool_use_id": name, "content": content} | ({"is_error": True} if failed else {})


def _add_answer(found: History, said: list[Said]) -> None:
    """What the model said, without thinking at its end: the API takes none that led to nothing."""
    while said and said[-1].blocks[-1]["type"] in reasoning.KINDS:
        found.ignored.append(said.pop().path)
    if said:
        found.messages.append({"role": MODEL, "content": [block for one in said for block in one.blocks]})


def _add_question(found: History, said: list[Said], takes_system: bool) -> None:
    """What the client said. Before everything else only instructions can have come."""
    if not found.messages:
        count = next((n for n, one in enumerate(said) if one.who != SYSTEM), len(said))
        found.system += [one.text for one in said[:count]]
        said = said[count:]
    ordered = sorted(said, key=lambda one: (RESULT, USER, SYSTEM).index(one.who))
    found.inexact += [one.path for one, other in zip(said, ordered, strict=True) if one is not other]
    instructions = [one for one in ordered if one.who == SYSTEM]
    spoken = [block for one in ordered if one.who != SYSTEM for block in one.blocks]
    if not spoken and instructions:  # an answer must follow a message of the user
        found.inexact += [one.path for one in instructions]
        spoken, instructions = [block for one in instructions for block in one.blocks], []
    if spoken:
        found.messages.append({"role": USER, "content": spoken})
    if instructions and takes_system:
        found.messages.append({"role": SYSTEM, "content": [block for one in instructions for block in one.blocks]})
    elif instructions:
        found.inexact += [one.path for one in instructions]
        found.system += [one.text for one in instructions]
