"""What a client makes of an answer: right to the letter, one well-formed error, or neither. Both shapes, whole and streamed."""

from __future__ import annotations

import json
from typing import Any


class Malformed(Exception):
    """No client could read this; the message says why."""


def judge(status: int, kind: str, body: bytes, is_chat: bool, wanted: str) -> str:
    """`right`, `error: STATUS TYPE`, or `BAD: …`."""
    try:
        if status != 200:
            return f"error: {status} {_error(json.loads(body), is_chat)}"
        if kind.startswith("text/event-stream"):
            text, failed = (_chat_stream if is_chat else _stream)(body.decode())
        else:
            text, failed = (_chat if is_chat else _whole)(json.loads(body)), ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, Malformed) as error:
        return f"BAD: {type(error).__name__} {error} in {body[-300:]!r}"
    if failed:
        return f"error: 200 {failed}" if wanted.startswith(text) else f"BAD: {text!r} before its error, not {wanted!r}"
    return "right" if text == wanted else f"BAD: {text[:200]!r} instead of {wanted[:200]!r}"


def _error(value: dict[str, Any], is_chat: bool) -> str:
    if not is_chat and (value["type"] != "error" or "request_id" not in value):
        raise Malformed("no error object")
    if not isinstance(value["error"]["message"], str) or "Traceback" in value["error"]["message"]:
        raise Malformed("no message, or a traceback")
    return str(value["error"]["type"])


def _said(blocks: list[dict[str, Any]]) -> str:
    """Texts, and tool calls as `[name {input}]`."""
    return "".join(
        b["text"] if b["type"] == "text" else f"[{b['name']} {json.dumps(b['input'], sort_keys=True)}]"
        for b in blocks
        if b["type"] in ("text", "tool_use")
    )


def _whole(value: dict[str, Any]) -> str:
    if (
        value["type"] != "message"
        or value["role"] != "assistant"
        or not value["stop_reason"]
        or "input_tokens" not in value["usage"]
    ):
        raise Malformed("no message")
    return _said(value["content"])


def _chat(value: dict[str, Any]) -> str:
    (choice,) = value["choices"]
    if not choice["finish_reason"] or "prompt_tokens" not in value["usage"]:
        raise Malformed("no completion")
    message = choice["message"]
    return (message["content"] or "") + "".join(
        f"[{c['function']['name']} {json.dumps(json.loads(c['function']['arguments']), sort_keys=True)}]"
        for c in message.get("tool_calls") or []
    )


def _events(text: str) -> list[tuple[str, dict[str, Any]]]:
    if not text.endswith("\n\n"):
        raise Malformed("the stream is torn")
    found = []
    pieces = (piece for piece in text.split("\n\n")[:-1] if not piece.startswith(":"))  # a comment names what is inexact
    for piece in pieces:
        first, _, second = piece.partition("\n")
        name = first.removeprefix("event: ") if second else ""
        data = (second or first).removeprefix("data: ")
        found.append((name, {} if data == "[DONE]" else json.loads(data)))
    return found


def _stream(text: str) -> tuple[str, str]:
    """The text and the type of the error that it ended in. Every block must be opened and closed, in order."""
    blocks: list[dict[str, Any]] = []
    is_open, is_over, pieces = False, False, ""
    for number, (name, event) in enumerate(_events(text)):
        if event["type"] != name or is_over or (number == 0) != (name == "message_start" or (number == 0 and name == "error")):
            raise Malformed(f"{name} at {number}")
        if name == "content_block_start":
            if is_open or event["index"] != len(blocks):
                raise Malformed("a block begins in a block")
            is_open, pieces = True, ""
            blocks.append(dict(event["content_block"]))
        elif name == "content_block_delta":
            if not is_open:
                raise Malformed("a delta outside a block")
            delta = event["delta"]
            if delta["type"] == "text_delta":
                blocks[-1]["text"] += delta["text"]
            pieces += delta.get("partial_json", "")
        elif name == "content_block_stop":
            if not is_open:
                raise Malformed("no block to stop")
            is_open = False
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = json.loads(pieces or "{}")
        elif name == "error":
            return _said([b for b in blocks if b["type"] == "text"]), str(event["error"]["type"])
        elif name == "message_stop":
            is_over = True
    if not is_over or is_open:
        raise Malformed("the stream has no end")
    return _said(blocks), ""


def _chat_stream(text: str) -> tuple[str, str]:
    said, calls, finish, is_done = "", [], "", False
    for _, event in _events(text):
        if is_done:
            raise Malformed("something after [DONE]")
        if not event:
            is_done = True
        elif "error" in event:
            return said, _error(event, True)
        for choice in event.get("choices", []):
            finish = choice["finish_reason"] or finish
            said += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or []:
                if call["index"] == len(calls):
                    calls.append([call["function"]["name"], ""])
                calls[call["index"]][1] += call["function"].get("arguments") or ""
    if not is_done or not finish:
        raise Malformed("the stream has no end")
    return said + "".join(f"[{name} {json.dumps(json.loads(args or '{}'), sort_keys=True)}]" for name, args in calls), ""
