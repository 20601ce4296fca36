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


# Results of tools that the API runs itself, by their calls' names, as the API gives them.
SERVER_RESULTS: dict[str, tuple[str, Any]] = {
    "web_search": (
        "web_search_tool_result",
        [{"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e", "page_age": None}],
    ),
    "web_fetch": (
        "web_fetch_tool_result",
        {
            "type": "web_fetch_result",
            "url": "https://example.com",
            "retrieved_at": None,
            "content": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
        },
    ),
    "code_execution": (
        "code_execution_tool_result",
        {"type": "code_execution_result", "stdout": "1\n", "stderr": "", "return_code": 0, "content": []},
    ),
    "bash_code_execution": (
        "bash_code_execution_tool_result",
        {"type": "bash_code_execution_result", "stdout": "", "stderr": "", "return_code": 1, "content": []},
    ),
    "text_editor_code_execution": (
        "text_editor_code_execution_tool_result",
        {"type": "text_editor_code_execution_create_result", "is_file_update": False},
    ),
    "tool_search_tool_regex": (
        "tool_search_tool_result",
        {"type": "tool_search_tool_search_result", "tool_references": [{"type": "tool_reference", "tool_name": "get"}]},
    ),
}


def _each_server_tool(chance: random.Random) -> Messages:
    name, (kind, content) = chance.choice(list(SERVER_RESULTS.items()))
    made: Block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": name, "input": {"query": "x"}}
    found: Block = {"type": kind, "tool_use_id": "srvtoolu_1", "content": content}
    if chance.random() < 0.3:
        found["content"] = {"type": f"{kind}_error", "error_code": "unavailable"}
    before = [text("let me see")] if chance.random() < 0.5 else []
    after = [text("so")] if chance.random() < 0.7 else []
    return [user("go"), said(*before, made, found, *after)]


def _reference(chance: random.Random) -> Messages:
    found = {"type": "tool_reference", "tool_name": "get"}
    return [
        user("go"),
        said(call("a")),
        user(result("a", content=chance.choice(([found], [text("so"), found])))),
        said(text("ok")),
    ]


def _unknown(chance: random.Random) -> Messages:
    kinds = ("compaction", "fallback", "connector_text", "advisor_tool_result", "mcp_tool_listing", "browser_state", "audio")
    block: Block = {"type": chance.choice(kinds), "content": "x"}
    return chance.choice(([user("go", block), said(text("ok"))], [user("go"), said(block, text("ok"))]))


def _upload(chance: random.Random) -> Messages:
    return [user("look", {"type": "container_upload", "file_id": "file_1"}), said(text("ok"))]


NUMBERS: tuple[Any, ...] = (
    *(2**53 - 1, 2**53, 2**53 + 1, 1234567890123456789, -(2**63), 2**63 - 1, 2**64 - 1),
    *(0, -0.0, 1.0, -2.0, 1e21, 1e22, 1e-7, 0.1, 1.5e300, 5e-324, 100000000000000000000.0),
)


def value(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON: numbers that JavaScript rounds, keys that it moves or that mean something to it, empty things."""
    kind = chance.random()
    if depth > 2 or kind < 0.5:
        return chance.choice((*NUMBERS, "", "x", "1234567890123456789", True, False, None))
    if kind < 0.65:
        return [value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    names = ["a", "b", "10", "9", "007", "4294967295", "__proto__", "constructor", "toString", "", " ", "é", "length"]
    return {name: value(chance, depth + 1) for name in chance.sample(names, chance.randint(0, 4))}


def _any_input(chance: random.Random) -> Messages:
    made = call("a") | {"input": {"x": value(chance), "y": value(chance)}}
    more = [text("and so")] if chance.random() < 0.3 else []
    return [user("go"), said(made, *more), user(result("a", content="it")), said(text("done"))]


def _beside_pictures(chance: random.Random) -> Messages:
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    paper = {"type": "document", "source": {"type": "content", "content": [text("a"), picture]}, "title": "", "context": ""}
    seen = {"type": "search_result", "source": "s", "title": "", "content": [text("t")], "citations": {"enabled": True}}
    given = [block for block in (picture, paper, seen) if chance.random() < 0.6] or [picture]
    if chance.random() < 0.5:
        return [user("go"), said(call("a")), user(result("a", content=given)), said(text("done"))]
    return [user(*given, *(["what?"] if chance.random() < 0.5 else [])), said(text("that"))]


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
    "a server tool of any kind": (_each_server_tool, ""),
    "a reference to a tool": (_reference, "`tool_reference` blocks cannot be handed to Claude Code"),
    "a kind that is not known": (_unknown, "does not match any of the expected tags"),
    "a file of a container": (_upload, ""),
    "any input": (_any_input, ""),
    "things to look at": (_beside_pictures, ""),
}
