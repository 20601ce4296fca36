"""What the stand-in answers: a prompt with directives in, a `Plan` out.

Pure: it opens nothing and knows no clock. `standin.py` performs the plan. A directive is
written in the last user message as `[[name argument]]`; a prompt with none is echoed. The
answers depend on the request alone, so a test can say in advance what must come back.
What `improvise.py` can do with a prompt in plain words comes before the echo.

    [[say TEXT]]            answer with TEXT (may hold newlines)
    [[paragraphs N]]        N short markdown paragraphs
    [[long N]]              N characters of text, in lines
    [[think TEXT]]          a thinking block with a signature, before the text
    [[block JSON]]          any block, as it is (with a space between two brackets), before all others
    [[search QUERY]]        what the API's own `web_search` brings: its call, its result, and a text that cites it
    [[tool NAME JSON]]      a tool_use block (repeat for parallel calls), after text said before it; stop_reason tool_use
    [[tools N NAME JSON]]   the same tool call in each of the first N rounds of the turn
    [[final TEXT]]          text for the round after the last tool call only
    [[then]]                what follows is the next answer's, whoever asks for it: the client, or Claude Code by itself
    [[clip N]]              N characters of the last call's input alone, as where the answer is cut at `max_tokens`
    [[stop REASON]]         stop_reason: max_tokens, refusal, stop_sequence, pause_turn, ...
    [[details JSON]]        stop_details
    [[error STATUS TEXT]]   an API error with the API's own error type
    [[retry-after N]]       with `error`: the header
    [[resets UNIX]]         with `error 429`: the headers of a subscription's usage limit
    [[midway STATUS]]       starts a stream, then sends an SSE error event
    [[slow SECONDS]]        pause before each piece of text
    [[pieces N]]            N characters in each piece
    [[hold]]                pause before the last piece of the first block, until the stand-in is told to go on
    [[late SECONDS]]        pause between the last block and the end of the message
    [[wait SECONDS]]        pause before the answer's first byte
    [[hang]]                accept the request, never answer
    [[reset]]               close the connection without a byte
    [[cut]]                 close the connection in the middle of the stream
    [[escaped]]             the TEXT of `say`, `think` and `final` has JSON's escapes, so that any of it can be typed
    [[count]]               answer with the number of messages and the characters received
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from relayd.claude.reminders import is_reminder
from relayd.doctor import improvise

DIRECTIVE = re.compile(r"\[\[(?P<name>[a-z-]+)(?:[ =:](?P<argument>.*?))?\]\]", re.DOTALL)
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
THEN = "[[then]]"
ECHO_LIMIT_CHARS = 4000
PIECE_CHARS = 24
SIGNATURE = "c3RhbmQtaW4gc2lnbmF0dXJl"


@dataclass
class Plan:
    """One answer: the blocks to send, how it ends, and what goes wrong on the way."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: Any = None
    error_status: int | None = None
    error_text: str = ""
    retry_after: str | None = None
    resets: str | None = None
    midway_status: int | None = None
    piece_pause_s: float = 0.0
    piece_chars: int = PIECE_CHARS
    input_chars: int | None = None  # of the last call
    holds: bool = False
    searches: int = 0
    first_pause_s: float = 0.0
    last_pause_s: float = 0.0
    fault: str | None = None  # hang | reset | cut


def last_user_text(messages: list[dict[str, Any]]) -> str:
    """The text of the last user message that a person wrote: reminders of Claude Code left out."""
    return next(filter(None, map(_user_text, reversed(messages))), "")


def _user_text(message: dict[str, Any]) -> str:
    content = (message.get("content") or []) if message.get("role") == "user" else []
    if isinstance(content, str):
        return content
    texts = [b.get("text", "") for b in content if b.get("type") == "text"]
    return "\n".join(t for t in texts if not is_reminder(t))


def part_due(messages: list[dict[str, Any]]) -> str | None:
    """Of a prompt in parts, that of the next answer; None if the last prompt with directives has none.

    A line that Claude Code has added to the prompt itself, after an answer without a word, counts as an answer.
    """
    for place in range(len(messages) - 1, -1, -1):
        parts = _user_text(messages[place]).split(THEN)
        if len(parts) > 1:
            answers = sum(message.get("role") == "assistant" for message in messages[place + 1 :])
            answers += bool(parts[-1].rpartition("]]")[2].strip())
            return str(parts[min(answers, len(parts) - 1)])
        if DIRECTIVE.search(parts[0]):
            break
    return None


def results_since_prompt(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool_result blocks that came after the last prompt, oldest first."""
    results: list[dict[str, Any]] = []
    for message in reversed(messages):
        content = message.get("content")
        if message.get("role") != "user":
            continue
        if isinstance(content, str):
            break
        found = [b for b in content or [] if b.get("type") == "tool_result"]
        if not found:
            break
        results = found + results
    return results


def plan_for(body: dict[str, Any], salt: str = "") -> Plan:
    """The answer to one Messages request body. `salt` makes the ids of tool calls unique."""
    if body.get("max_tokens") == 0:  # warms the API's cache
        return Plan(stop_reason="max_tokens")
    messages = body.get("messages") or []
    part = part_due(messages)
    prompt = last_user_text(messages) if part is None else part
    plan = Plan()
    text: list[str] = []
    calls: list[tuple[str, dict[str, Any]]] = []
    rounds = len(results_since_prompt(messages)) if part is None else 0
    is_escaped = "[[escaped]]" in prompt
    for match in DIRECTIVE.finditer(prompt):
        name, argument = match["name"], match["argument"] or ""
        if is_escaped and name in ("say", "think", "final"):
            argument = str(json.loads(f'"{argument}"'))
        if name in ("tool", "tools"):
            calls += _calls(name, argument, rounds)
            continue
        if name == "final":
            text += [argument] if rounds else []
            continue
        _apply(plan, text, name, argument, body)
    if not DIRECTIVE.search(prompt):
        _improvise(plan, text, calls, body, prompt, bool(rounds))
    if calls:
        if text:
            plan.blocks.append({"type": "text", "text": "\n".join(text)})
        _add_calls(plan, calls, body, salt or f"{len(messages):04d}")
        return plan
    if rounds and DIRECTIVE.search(prompt) and "[[final" not in prompt:
        text.append("results: " + _results_text(messages))
    if not text and not plan.searches and "[[block" not in prompt:
        text.append("echo: " + prompt[:ECHO_LIMIT_CHARS] if prompt else "(nothing to echo)")
    if text and text != [""]:
        plan.blocks.append({"type": "text", "text": _stopped("\n".join(text), plan, body.get("stop_sequences") or [])})
    return plan


def _improvise(
    plan: Plan, text: list[str], calls: list[tuple[str, dict[str, Any]]], body: dict[str, Any], prompt: str, has_results: bool
) -> None:
    """A prompt in plain words: a tool call, an object, the results of tools; else it will be echoed."""
    call = improvise.tool_call(body, prompt) if not has_results else None
    schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
    if call:
        calls.append(call)
        return
    if improvise.shows_thinking(body):
        plan.blocks.append({"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE})
    if schema:
        text.append(json.dumps(improvise.sample(schema, prompt)))
    elif has_results:
        text.append(f"The result is {_results_text(body['messages'])}.")


def _stopped(text: str, plan: Plan, sequences: list[str]) -> str:
    """The text up to the first stop sequence, which is then named, as the API does it."""
    found = [(text.find(s), s) for s in sequences if s in text]
    if not found:
        return text
    position, plan.stop_sequence = min(found)
    plan.stop_reason = "stop_sequence"
    return text[:position]


def _calls(name: str, argument: str, rounds: int) -> list[tuple[str, dict[str, Any]]]:
    limit = 1
    if name == "tools":
        count, _, argument = argument.partition(" ")
        limit = int(count)
    tool, _, raw = argument.partition(" ")
    return [(tool, json.loads(raw or "{}"))] if rounds < limit else []


def _add_calls(plan: Plan, calls: list[tuple[str, dict[str, Any]]], body: dict[str, Any], salt: str) -> None:
    known = [t.get("name", "") for t in body.get("tools") or []]
    for number, (tool, value) in enumerate(calls):
        full = next((k for k in known if k == tool or k.endswith("__" + tool)), tool)
        call_id = f"toolu_01standin{salt}{number:04d}"
        plan.blocks.append({"type": "tool_use", "id": call_id, "name": full, "input": value})
    plan.stop_reason = "tool_use" if plan.stop_reason == "end_turn" else plan.stop_reason


def _results_text(messages: list[dict[str, Any]]) -> str:
    parts = []
    for result in results_since_prompt(messages):
        content = result.get("content")
        if isinstance(content, list):
            content = "".join(b.get("text", f"<{b.get('type')}>") for b in content if not is_reminder(b.get("text", "")))
        parts.append(f"{content}"[:200])
    return " | ".join(parts)


def _apply(plan: Plan, text: list[str], name: str, argument: str, body: dict[str, Any]) -> None:
    if name == "say":
        text.append(argument)
    elif name == "paragraphs":
        text.append("\n\n".join(f"Paragraph {n} with *some* `words` in it." for n in range(1, int(argument) + 1)))
    elif name == "long":
        text.append(long_text(int(argument)))
    elif name == "count":
        size = len(json.dumps(body["messages"]))
        text.append(f"{len(body['messages'])} messages, {size} characters")
    elif name == "block":
        plan.blocks.append(json.loads(argument))
    elif name == "search":
        plan.blocks += searched(argument)
        plan.searches += 1
    elif name == "think":
        plan.blocks.append({"type": "thinking", "thinking": argument, "signature": SIGNATURE})
    elif name == "stop":
        plan.stop_reason = argument
    elif name == "details":
        plan.stop_details = json.loads(argument)
    elif name == "error":
        status, _, message = argument.partition(" ")
        plan.error_status, plan.error_text = int(status), message or "the stand-in was told to fail"
    elif name == "retry-after":
        plan.retry_after = argument
    elif name == "resets":
        plan.resets = argument
    elif name == "midway":
        plan.midway_status = int(argument)
    elif name == "slow":
        plan.piece_pause_s = float(argument)
    elif name == "pieces":
        plan.piece_chars = int(argument)
    elif name == "clip":
        plan.input_chars = int(argument)
    elif name == "hold":
        plan.holds = True
    elif name == "late":
        plan.last_pause_s = float(argument)
    elif name == "wait":
        plan.first_pause_s = float(argument)
    elif name in ("hang", "reset", "cut"):
        plan.fault = name


def searched(query: str) -> list[dict[str, Any]]:
    """The blocks of a search by the API, and a text with a citation."""
    call_id, url = f"srvtoolu_01standin{len(query):04d}", "https://example.org/page"
    found = {"type": "web_search_result", "title": "A page", "url": url, "encrypted_content": "RW5jcnlwdGVk", "page_age": "today"}
    place = {
        "type": "web_search_result_location",
        "url": url,
        "title": "A page",
        "encrypted_index": "SW5kZXg=",
        "cited_text": "so",
    }
    return [
        {"type": "server_tool_use", "id": call_id, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": call_id, "content": [found]},
        {"type": "text", "text": f"Found: {query}", "citations": [place]},
    ]


def long_text(size_chars: int) -> str:
    """Text of exactly `size_chars` characters, in numbered lines of 80."""
    lines, total, number = [], 0, 0
    while total < size_chars:
        line = f"{number:06d} " + "the quick brown fox jumps over the lazy dog, twice. " * 2
        line = line[:79] + "\n"
        lines.append(line)
        total += len(line)
        number += 1
    return "".join(lines)[:size_chars]
