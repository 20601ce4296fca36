"""The tool calls of one session: which the answer asked for, which Claude Code waits for, which have results. Pure.

Claude Code may ask before the answer is complete, and for the second call only after the first is answered;
results come all together. Owned by `core/session.py`.
"""

from __future__ import annotations

from relayd.anthropic.answer import JSON_TYPE
from relayd.anthropic.blocks import Block
from relayd.claude import mcp
from relayd.core import actions as do
from relayd.core.actions import Action


class ToolCalls:
    """See the module's text."""

    def __init__(self) -> None:
        self.expected: frozenset[str] = frozenset()
        self.handed: set[str] = set()  # calls whose results Claude Code has got from us
        self._open: dict[str, tuple[int, mcp.ToolCalled]] = {}
        self._results: dict[str, Block] = {}

    def __repr__(self) -> str:
        return f"<ToolCalls expected={len(self.expected)} open={len(self._open)} results={len(self._results)}>"

    def called(self, client: int, fact: mcp.ToolCalled) -> list[Action]:
        """Claude Code waits for this result."""
        self._open[fact.tool_use_id] = (client, fact)
        return self._answer()

    def expect(self, content: tuple[Block, ...]) -> None:
        """The answer is complete: these are the calls whose results must come together."""
        self.expected = frozenset(b["id"] for b in content if b["type"] == "tool_use")

    def bring(self, results: tuple[Block, ...]) -> list[Action]:
        """The client has run its tools."""
        self.expected = frozenset()
        self._results = {b["tool_use_id"]: b for b in results}
        return self._answer()

    def _answer(self) -> list[Action]:
        ready = [i for i in self._open if i in self._results]
        orders: list[Action] = []
        for tool_use_id in ready:
            client, fact = self._open.pop(tool_use_id)
            self.handed.add(tool_use_id)
            body = mcp.result(fact.rpc_id, self._results.pop(tool_use_id))
            orders.append(do.Respond(client, 200, [("content-type", JSON_TYPE)], body))
        return orders
