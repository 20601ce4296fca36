"""The tool calls of a chat's history: ids that repeat, ids and arguments of other makers, the functions of before tools. Pure.

In a chat an id is the client's own word: it may repeat, and hold any character. The Messages API takes each id once in a
conversation, of few characters. So each call of the history gets an id of its own, the client's where that will do; a result
belongs to the latest call of its id that has none. Ids in answers are the API's own and unique: nothing is mapped back.
Used by `history` and `response_items`, one object for each request.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from typing import Any

from relayd import codec
from relayd.anthropic import checks

UNCLEAN = re.compile(r"[^a-zA-Z0-9_-]")
FUNCTION = "function-"  # the id of a call from before calls had ids: its function's name follows


class CallIds:
    """Unique ids for the calls, and for the results that belong to them."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}  # with the last number that was put behind each
        self._open: defaultdict[str, deque[str]] = defaultdict(deque)
        self._latest: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<CallIds {len(self._taken)}>"

    def call(self, given: str) -> str:
        """The id of a call to which the client gave this one."""
        found = self._unique(UNCLEAN.sub("_", given) or "call")
        self._open[given].append(found)
        self._latest[given] = found
        return found

    def result(self, given: str) -> str:
        """The id that a result of this id names. One that belongs to no call stays, for the API's rules to refuse."""
        waiting = self._open.get(given)
        return waiting.popleft() if waiting else self._latest.get(given, given)

    def next_turn(self) -> None:
        """An answer begins: results that come after it do not belong to earlier ones."""
        self._open.clear()

    def _unique(self, wanted: str) -> str:
        found = wanted
        while found in self._taken:
            self._taken[wanted] += 1
            found = f"{wanted}_{self._taken[wanted]}"
        self._taken[found] = 1
        return found


def call(value: Any, path: str, ids: CallIds) -> tuple[dict[str, Any], bool]:
    """A tool call as a block, and whether its arguments are as they were given."""
    made = checks.mapping(value, path)
    function = checks.mapping(made.get("function"), f"{path}.function")
    return _block(ids.call(checks.text(made.get("id"), f"{path}.id")), function, f"{path}.function")


def function_call(value: Any, path: str, ids: CallIds) -> tuple[dict[str, Any], bool]:
    """The same for a `function_call`."""
    function = checks.mapping(value, path)
    name = checks.text(function.get("name"), f"{path}.name")
    return _block(ids.call(FUNCTION + name), function, path)


def result_id(value: dict[str, Any], path: str, ids: CallIds) -> str:
    """The call to which a message of the role `tool` or `function` belongs."""
    if value.get("role") == "function" and value.get("tool_call_id") is None:
        return ids.result(FUNCTION + checks.text(value.get("name"), f"{path}.name"))
    return ids.result(checks.text(value.get("tool_call_id"), f"{path}.tool_call_id"))


def _block(name: str, function: dict[str, Any], path: str) -> tuple[dict[str, Any], bool]:
    found, is_exact = arguments(function.get("arguments"), f"{path}.arguments")
    return {"type": "tool_use", "id": name, "name": function.get("name"), "input": found}, is_exact


def arguments(value: Any, path: str) -> tuple[dict[str, Any], bool]:
    """The object in a call's arguments; one with their text where a model has written something else: the API takes no other."""
    given = "" if value is None else checks.text(value, path)
    try:
        found = codec.parse((given if given.strip() else "{}").encode("utf-8", "replace"))
    except ValueError:
        return {"arguments": given}, False
    if isinstance(found, dict):  # one that nests too deeply is refused as any other
        return found, True
    return {"arguments": given}, False
