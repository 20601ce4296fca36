"""Answers and errors in the Chat Completions shape, whole and as server-sent events. Pure.

Fed as `anthropic/sse.py` is, and with the same methods: `core/call.py` does not know which it drives.
"""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.anthropic.answer import Answer, Usage
from relayd.anthropic.blocks import Block
from relayd.errors import ApiError

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
DONE = b"data: [DONE]\n\n"
TOO_LONG = ("prompt is too long", "input length and `max_tokens` exceed context limit")


def error_body(error: ApiError, request_id: str) -> bytes:
    """An error object that OpenAI clients read."""
    inner: dict[str, Any] = {"message": error.message, "type": error.kind, "param": None, "code": code_of(error)}
    if error.resets_at:  # the login's usage is used up: Codex tells its user until when
        inner |= {"type": "usage_limit_reached", "resets_at": error.resets_at}
    return codec.dump({"error": inner})


def code_of(error: ApiError) -> str | None:
    """`error.code`, where there is one: clients that shorten a conversation by themselves look for that of its length."""
    if error.status == 400 and error.message.startswith(TOO_LONG):
        return "context_length_exceeded"
    found = (error.details or {}).get("error_code")
    return found if isinstance(found, str) else None


class ChatEncoder:
    """One answer. `created` is unix seconds; `with_usage` adds a chunk with the counts at the end of a stream.

    A method that raises has changed nothing.
    """

    route = "chat"

    def __init__(self, message_id: str, model: str, created: int, with_usage: bool, is_legacy: bool = False) -> None:
        self.message_id = "chatcmpl-" + message_id.removeprefix("msg_")
        self._model, self._created, self._with_usage = model, created, with_usage
        self._is_legacy = is_legacy  # the client knows functions, not tools: an answer calls one
        self._calls = 0

    def __repr__(self) -> str:
        return f"<ChatEncoder {self.message_id} calls={self._calls}>"

    def whole(self, answer: Answer) -> bytes:
        """The answer as one object."""
        text = "".join(b["text"] for b in answer.content if b["type"] == "text")
        calls = [_call(b) for b in answer.content if b["type"] == "tool_use"]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not calls else None,
            "refusal": None,
            "annotations": [],
        }
        if calls and self._is_legacy:
            message["function_call"] = calls[0]["function"]
        elif calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish(answer)}
        head = self._head("chat.completion") | {"model": answer.model}
        return codec.dump(head | {"choices": [choice], "usage": _usage(answer.usage)})

    def refusal(self, error: ApiError, request_id: str) -> bytes:
        """An error before anything was sent."""
        return error_body(error, request_id)

    def start(self) -> bytes:
        """The first chunk names the role."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def text(self, piece: str) -> bytes:
        """A piece of text."""
        return self._chunk({"content": piece})

    def block(self, block: Block) -> bytes:
        """A whole block: texts, tool calls and thinking are shown."""
        if block["type"] == "text":
            return self.text(block["text"])
        if block["type"] == "thinking":
            return self.thinking(block.get("thinking", ""))
        if block["type"] != "tool_use":
            return b""
        arguments = _call(block)["function"]["arguments"]
        data = self._begin(block["id"], block["name"]) + self._arguments(self._calls, arguments)
        self._calls += 1
        return data

    def thinking(self, piece: str) -> bytes:
        """A piece of thinking, in the field that clients of other reasoning models read."""
        return self._chunk({"reasoning_content": piece}) if piece else b""

    def signature(self, signature: str) -> bytes:
        """This shape has no place for it."""
        return b""

    def call(self, call_id: str, name: str) -> bytes:
        """A tool call begins."""
        data = self._begin(call_id, name)
        self._calls += 1
        return data

    def input(self, piece: str) -> bytes:
        """A piece of the latest call's arguments."""
        return self._arguments(self._calls - 1, piece)

    def _begin(self, call_id: str, name: str) -> bytes:
        function = {"name": name, "arguments": ""}
        if self._is_legacy:  # which knows of one call
            return self._chunk({"function_call": function}) if self._calls == 0 else b""
        return self._chunk({"tool_calls": [{"index": self._calls, "id": call_id, "type": "function", "function": function}]})

    def _arguments(self, index: int, piece: str) -> bytes:
        if self._is_legacy:
            return self._chunk({"function_call": {"arguments": piece}}) if index == 0 else b""
        return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    def _finish(self, answer: Answer) -> str:
        reason = FINISH.get(answer.stop_reason, "stop")
        return "function_call" if self._is_legacy and reason == "tool_calls" else reason

    def finish(self, answer: Answer) -> bytes:
        """The end: reason, counts if they were asked for, the mark of the end."""
        data = self._chunk({}, self._finish(answer))
        if self._with_usage:
            usage = self._head("chat.completion.chunk") | {"choices": [], "usage": _usage(answer.usage)}
            data += b"data: " + codec.dump(usage) + b"\n\n"
        return data + DONE

    def stop_block(self) -> bytes:
        """Blocks have no end in this shape."""
        return b""

    def error(self, error: ApiError, request_id: str) -> bytes:
        """An error after the stream has begun."""
        return b"data: " + error_body(error, request_id) + b"\n\n"

    def ping(self) -> bytes:
        """A comment, which clients skip."""
        return b": ping\n\n"

    def stored(self, answer: Answer) -> None:
        """Answers of this shape are not stored."""

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        value = self._head("chat.completion.chunk") | {"choices": [choice]}
        if self._with_usage:
            value["usage"] = None
        return b"data: " + codec.dump(value) + b"\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.message_id, "object": kind, "created": self._created, "model": self._model}


def _call(block: Block) -> dict[str, Any]:
    arguments = codec.dump(block["input"]).decode()
    return {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}


def _usage(usage: Usage) -> dict[str, Any]:
    counts = usage.as_json()
    cached = counts["cache_read_input_tokens"]
    prompt = counts["input_tokens"] + counts["cache_creation_input_tokens"] + cached
    completion = counts["output_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
