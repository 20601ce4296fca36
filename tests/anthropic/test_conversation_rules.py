"""What Claude Code would repair without a word is refused, in the API's words where it has some."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.anthropic import conversation_rules as rules
from relayd.anthropic.request import parse
from relayd.claude import compose
from relayd.errors import ApiError
from tests import repairs

ASK: dict[str, Any] = {"model": "claude-sonnet-5", "max_tokens": 10}


def refusal(messages: list[dict[str, Any]]) -> str:
    """The error that a conversation gets; empty if it gets none."""
    try:
        compose.check(parse(ASK | {"tools": repairs.TOOLS, "messages": messages}, "2023-06-01"))
    except ApiError as error:
        return error.message if error.status == 400 else str(error)
    return ""


@pytest.mark.parametrize("seed", range(10 * len(repairs.KINDS)))
def test_each_kind_is_refused_by_name_or_let_through(seed: int) -> None:
    """Six kinds were answered with 200 after Claude Code had dropped calls, results, pictures or whole answers."""
    shape = repairs.shape(seed)
    found = refusal(shape.messages)
    assert shape.refusal in found if shape.refusal else not found


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (
            [repairs.user("a"), repairs.said(repairs.call("c")), repairs.user(repairs.result("c"))] * 2,
            "messages.3.content.0: `tool_use` ids must be unique",
        ),
        (
            [repairs.user("a"), repairs.said({"type": "thinking", "thinking": "h", "signature": "s"}), repairs.user("b")],
            "messages.1: The final block in an assistant message cannot be `thinking`.",
        ),
        (
            [
                repairs.user("a"),
                repairs.said({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}),
                repairs.user("b"),
            ],
            "messages.1: `web_search` tool use with id `srvtoolu_1` was found without a corresponding "
            "`web_search_tool_result` block",
        ),
        (
            [repairs.user("a"), repairs.said(repairs.call("call one")), repairs.user(repairs.result("call one"))],
            "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ),
    ],
)
def test_the_words_are_the_apis_own(messages: list[dict[str, Any]], error: str) -> None:
    """Taken from answers of the API in public reports."""
    assert refusal(messages[: 1 + max(n for n, m in enumerate(messages) if m["role"] == "user")]) == error


def test_an_id_counts_in_the_stored_part_of_a_conversation_too() -> None:
    """A sticky session's earlier messages and the new ones are one conversation to the API."""
    before = parse(
        ASK | {"messages": [repairs.user("a"), repairs.said(repairs.call("c")), repairs.user(repairs.result("c"))]}, ""
    )
    merged = rules.merged([*((m.role, list(m.content)) for m in before.messages), ("assistant", [repairs.call("c")])])
    with pytest.raises(ApiError, match="ids must be unique"):
        rules.check((*merged, rules.Message("user", (repairs.result("c"),))))
