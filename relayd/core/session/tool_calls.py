"""The tools of one session, and its calls: which the answer asked for, which Claude Code waits for, which have results. Pure.

Claude Code asks which tools there are while it boots; a process that waits for its conversation has no answer yet.
Claude Code may ask before the answer is complete, and for the second call only after the first is answered;
results come all together. Owned by `record.Session`.

Claude Code begins a call when the call's block is whole, be the answer finished or not, and writes the answer's lines to
its transcript when its list of messages changes. A line whose message was not finished at that time waits for the next
change, which is the tool's result; but the result comes from a client that waits for those lines. So they are hurried:
a note on the call's progress is such a change. (Seen on 2.1.330: always, if the end of the message comes 0.1 s after the
call, as it does when a second call is still being made.)
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd.anthropic.answer import JSON_TYPE
from relayd.anthropic.blocks import Block
from relayd.anthropic.tools import Tool
from relayd.claude import mcp
from relayd.core import actions as do
from relayd.core.actions import Action

STREAM_TYPE = "text/event-stream"


@dataclass
class OpenCall:
    """A call that Claude Code waits for. `notes` is how many notes on its progress it has got."""

    client: int
    fact: mcp.ToolCalled
    notes: int = 0


class ToolCalls:
    """See the module's text."""

    def __init__(self) -> None:
        self.expected: frozenset[str] = frozenset()
        self.handed: set[str] = set()  # calls whose results Claude Code has got from us
        self._open: dict[str, OpenCall] = {}
        self._results: dict[str, Block] = {}
        self._tools: tuple[Tool, ...] | None = None
        self._questions: list[tuple[int, mcp.Asked]] = []

    def __repr__(self) -> str:
        return f"<ToolCalls expected={len(self.expected)} open={len(self._open)} results={len(self._results)}>"

    def asked(self, client: int, fact: mcp.Asked) -> list[Action]:
        """Claude Code wants to know the tools."""
        self._questions.append((client, fact))
        return self._list()

    def may_offer(self, tools: tuple[Tool, ...]) -> bool:
        """True if Claude Code has these tools, or has not been told of any: it would go on to send those it was told of."""
        return self._tools is None or self._tools == tools

    def offer(self, tools: tuple[Tool, ...]) -> list[Action]:
        """The conversation has come, and these with it."""
        self._tools = tools
        return self._list()

    def _list(self) -> list[Action]:
        if self._tools is None:
            return []
        questions, self._questions = self._questions, []
        return [_respond(client, mcp.listing(fact, self._tools)) for client, fact in questions]

    def called(self, client: int, fact: mcp.ToolCalled) -> list[Action]:
        """Claude Code waits for this result."""
        self._open[fact.tool_use_id] = OpenCall(client, fact)
        return self._hand(fact.tool_use_id) if fact.tool_use_id in self._results else []

    @property
    def can_hurry(self) -> bool:
        """True if a call is open about which Claude Code takes notes."""
        return any(call.fact.progress_token is not None for call in self._open.values())

    def hurry(self) -> list[Action]:
        """Have the lines of the answer written that asks for the open calls."""
        return [order for call in self._open.values() if call.fact.progress_token is not None for order in _note(call)]

    def expect(self, content: tuple[Block, ...]) -> None:
        """The answer is complete: these are the calls whose results must come together."""
        self.expected = frozenset(b["id"] for b in content if b["type"] == "tool_use")

    def bring(self, results: tuple[Block, ...]) -> None:
        """The client has run its tools."""
        self.expected = frozenset()
        self._results = {b["tool_use_id"]: b for b in results}

    @property
    def has_results(self) -> bool:
        """True if a call is open whose result is there."""
        return any(tool_use_id in self._open for tool_use_id in self._results)

    def hand_next(self) -> list[Action]:
        """The first result, in the client's order, whose call is open."""
        found = next((tool_use_id for tool_use_id in self._results if tool_use_id in self._open), None)
        return self._hand(found) if found is not None else []

    def _hand(self, tool_use_id: str) -> list[Action]:
        call = self._open.pop(tool_use_id)
        self.handed.add(tool_use_id)
        return _finish(call, mcp.result(call.fact.rpc_id, self._results.pop(tool_use_id)))


def _note(call: OpenCall) -> list[Action]:
    call.notes += 1
    note = do.SendChunk(call.client, mcp.event(mcp.progress(call.fact, call.notes)))
    head = do.StartStream(call.client, 200, [("content-type", STREAM_TYPE)])
    return [head, note] if call.notes == 1 else [note]


def _finish(call: OpenCall, result: bytes) -> list[Action]:
    if not call.notes:
        return [_respond(call.client, result)]
    return [do.SendChunk(call.client, mcp.event(result)), do.EndStream(call.client)]


def _respond(client: int, body: bytes) -> Action:
    return do.Respond(client, 200, [("content-type", JSON_TYPE)], body)
