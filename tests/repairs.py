"""Generated conversations of the kinds that Claude Code repairs by itself, each with what relayd makes of it. Pure.

A repair that nobody sees asks the model another question. So each kind either reaches the model as it is, or is refused before
a process is touched: with the API's words where the API refuses it, with relayd's where only Claude Code is in the way.
Each was tried on 2.1.330, by replay and at the prompt. Called by the tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Block = dict[str, Any]
Messages = list[dict[str, Any]]

TOOLS = [{"name": "get", "description": "Gets.", "input_schema": {"type": "object"}}]
# What Claude Code writes itself where something is missing. As texts of a client they are texts.
MARKS = (
    "No response requested.",
    "[Request interrupted by user]",
    "[Request interrupted by user for tool use]",
    "[Tool use interrupted]",
    "(empty message)",
    "[Old tool result content cleared]",
    "[Tool result missing due to internal error]",
    "[Thinking removed]",
    "[No message content]",
    "Continue from where you left off.",
    "Tool loaded.",
    "Prompt is too long",
    "[Tool use removed]",
    "[Orphaned tool result removed due to conversation resume]",
    "API Error: 500 {}",
    ".",
    "\u200b",
)


@dataclass(frozen=True)
class Shape:
    """A conversation, and a part of the error that refuses it; empty for one that arrives as it is."""

    kind: str
    messages: Messages
    refusal: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """The request's own part."""
        return {"messages": self.messages, "tools": TOOLS}


def shape(seed: int) -> Shape:
    """The same seed gives the same conversation; seeds in a row go through all kinds."""
    chance = random.Random(seed)
    kind = list(KINDS)[seed % len(KINDS)]
    make, refusal = KINDS[kind]
    before: Messages = []
    if kind not in AT_THE_START:
        for _ in range(chance.choice((0, 0, 1, 3))):
            before += [user(chance.choice(("hi", *MARKS))), said(text(chance.choice(("hello", *MARKS))))]
    return Shape(kind, [*before, *make(chance), user("and now?")], refusal)


def user(*content: str | Block) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": [text(c) if isinstance(c, str) else c for c in content]}


def said(*content: Block) -> dict[str, Any]:
    """An assistant message."""
    return {"role": "assistant", "content": list(content)}


def text(value: str) -> Block:
    """A text block."""
    return {"type": "text", "text": value}


def thinking(chance: random.Random) -> Block:
    """A block of either kind of thinking."""
    shown = {"type": "thinking", "thinking": chance.choice(("", "hm")), "signature": "c2ln"}
    return chance.choice((shown, {"type": "redacted_thinking", "data": "eA=="}))


def call(name: str) -> Block:
    """A call of a tool of the client."""
    return {"type": "tool_use", "id": name, "name": "get", "input": {}}


def result(name: str, **fields: Any) -> Block:
    """Its result."""
    return {"type": "tool_result", "tool_use_id": name, **fields}


def server_pair(chance: random.Random) -> tuple[Block, Block]:
    """A call that the API has run itself, and its result."""
    name = f"srvtoolu_{chance.randbytes(6).hex()}"
    if chance.random() < 0.3:
        made: Block = {"type": "mcp_tool_use", "id": name, "name": "x", "server_name": "s", "input": {}}
        return made, {"type": "mcp_tool_result", "tool_use_id": name, "is_error": False, "content": [text("found")]}
    made = {"type": "server_tool_use", "id": name, "name": "web_search", "input": {"query": "x"}}
    return made, {"type": "web_search_tool_result", "tool_use_id": name, "content": []}


def _repeated(chance: random.Random) -> Messages:
    name = f"call_{chance.randint(0, 9)}"
    again = [user("go"), said(call(name)), user(result(name, content="one"))]
    between = [said(text("fine"))] if chance.random() < 0.5 else []
    return [*again, *between, *(again[1:] if not between else again), said(text("done"))]


def _repeated_at_once(chance: random.Random) -> Messages:
    return [user("go"), said(call("a"), call("a")), user(result("a", content="one")), said(text("done"))]


def _ends_thinking(chance: random.Random) -> Messages:
    before = [text("so")] if chance.random() < 0.5 else []
    return [user("go"), said(*before, thinking(chance))]


def _one_sided(chance: random.Random) -> Messages:
    made, _ = server_pair(chance)
    return [user("go"), said(text("let me see"), made, *([text("so")] if chance.random() < 0.5 else []))]


def _error_with_picture(chance: random.Random) -> Messages:
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    return [user("go"), said(call("a")), user(result("a", is_error=True, content=[text("no"), picture])), said(text("oh"))]


def _in_the_wrong_mouth(chance: random.Random) -> Messages:
    theirs = chance.choice((call("a"), thinking(chance), server_pair(chance)[0]))
    return [user("go", theirs), said(text("ok"))]


def _result_of_the_assistant(chance: random.Random) -> Messages:
    return [
        user("go"),
        said(call("a"), result("a", content="one"), text("ok")),
        user(result("a", content="one")),
        said(text("ok")),
    ]


def _begins_with_answer(chance: random.Random) -> Messages:
    return [said(text("Welcome.")), *([user("hi"), said(text("yes?"))] if chance.random() < 0.5 else [])]


def _no_content(chance: random.Random) -> Messages:
    before = [thinking(chance)] if chance.random() < 0.5 else []
    return [user("go"), said(*before, *(text(_filler(chance)) for _ in range(chance.choice((1, 1, 2)))))]


def _filler(chance: random.Random) -> str:
    return chance.choice(("(no content)", "[Empty text removed]", " (no content)\n"))


def _mark(chance: random.Random) -> Messages:
    mark = chance.choice(MARKS)
    more = [text(_filler(chance))] if chance.random() < 0.5 else []
    return [user(chance.choice(("(no content)", mark))), said(*more, text(mark))]


def _thinks_then_says(chance: random.Random) -> Messages:
    return [user("go"), said(thinking(chance), text("so"), thinking(chance), text(chance.choice(MARKS)))]


def _emptyish_result(chance: random.Random) -> Messages:
    given: Any = chance.choice(("", [], " ", "\n", chance.choice(MARKS), None))
    fields: Block = {} if given is None else {"content": given}
    failed = {"is_error": True} if chance.random() < 0.3 else {}
    return [user("go"), said(thinking(chance), call("a")), user(result("a", **fields, **failed)), said(text("done"))]


def _server_pairs(chance: random.Random) -> Messages:
    return [user("go"), said(*server_pair(chance), text("a"), *server_pair(chance), text("b"))]


def _emptyish_document(chance: random.Random) -> Messages:
    found: Block = {"type": "search_result", "source": "s", "title": "t", "content": []}
    paper: Block = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}}
    return [user(chance.choice((found, paper)), "what?"), said(text("nothing"))]


def _results_in_another_order(chance: random.Random) -> Messages:
    return [user("go"), said(call("a"), call("b")), user(result("b", content="2"), result("a", content="1")), said(text("done"))]


AT_THE_START = ("begins with an answer",)
# A kind: who makes it, and the words that refuse it.
KINDS: dict[str, tuple[Callable[[random.Random], Messages], str]] = {
    "an id that repeats": (_repeated, "`tool_use` ids must be unique"),
    "an id twice at once": (_repeated_at_once, "`tool_use` ids must be unique"),
    "an answer that ends in thinking": (_ends_thinking, "The final block in an assistant message cannot be `"),
    "a server's call alone": (_one_sided, "was found without a corresponding `"),
    "an error with a picture": (_error_with_picture, "all content must be type `text` if `is_error` is true"),
    "a call of the user": (_in_the_wrong_mouth, "blocks can only be in `assistant` messages"),
    "a result of the assistant": (_result_of_the_assistant, "blocks can only be in `user` messages"),
    "begins with an answer": (_begins_with_answer, "Claude Code cannot be given a conversation that begins with"),
    "an answer of no content": (_no_content, "Claude Code drops an assistant message whose only text is"),
    "a mark as text": (_mark, ""),
    "thinking among texts": (_thinks_then_says, ""),
    "a result with next to nothing": (_emptyish_result, ""),
    "a server's calls with results": (_server_pairs, ""),
    "a document with nothing": (_emptyish_document, ""),
    "results in another order": (_results_in_another_order, ""),
}
