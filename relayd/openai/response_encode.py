"""Answers and errors in the Responses shape, whole and as server-sent events. Pure.

Fed as `encode.py` is, and with the same methods: `core/call.py` does not know which it drives. Each event has its name, its
`type` and the next `sequence_number`. An item is closed when the next one begins, or at the end: clients run a call as soon as
it is closed, so one that breaks off never is.
"""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.anthropic.answer import Answer, Usage
from relayd.anthropic.blocks import Block
from relayd.errors import ApiError
from relayd.openai import response_output, response_tools
from relayd.openai.encode import code_of, error_body
from relayd.openai.response_output import COMPLETED, IN_PROGRESS, INCOMPLETE, Item
from relayd.openai.response_tools import FUNCTION, ClientTool
from relayd.openai.responses import ResponsesRequest

# Reasons for which an answer is not whole, in OpenAI's words.
INCOMPLETE_REASONS = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
FAILED = "failed"
RATE_LIMIT = 429


class ResponseEncoder:
    """One answer. `created` is unix seconds. After a method that raises only `error` may follow."""

    route = "responses"

    def __init__(self, message_id: str, model: str, created: int, asked: ResponsesRequest) -> None:
        self._suffix = message_id.removeprefix("msg_")
        self.message_id = f"resp_{self._suffix}"
        self._model, self._created, self._asked = model, created, asked
        self._number = 0  # of the next event
        self._items: list[Item] = []  # that are closed
        self._kind = ""  # of the open block: text, thinking, or call
        self._pieces: list[str] = []  # of the open block
        self._call_id = self._open_id = ""
        self._tool = ClientTool(FUNCTION, "")

    def __repr__(self) -> str:
        return f"<ResponseEncoder {self.message_id} items={len(self._items)} open={self._kind}>"

    def response(self, answer: Answer) -> dict[str, Any]:
        """The response object of a whole answer."""
        status = INCOMPLETE if answer.stop_reason in INCOMPLETE_REASONS else COMPLETED
        output = response_output.items(answer.content, self._asked.tools, self._suffix, status)
        return self._ended(answer, output)

    def whole(self, answer: Answer) -> bytes:
        """The answer as one object."""
        return codec.dump(self.response(answer))

    def refusal(self, error: ApiError, request_id: str) -> bytes:
        """An error before anything was sent."""
        return error_body(error, request_id)

    def start(self) -> bytes:
        """The response begins."""
        response = self._response(IN_PROGRESS, [])
        return self._event("response.created", response=response) + self._event("response.in_progress", response=response)

    def text(self, piece: str) -> bytes:
        """A piece of text, in the open message or a new one."""
        data = b"" if self._kind == "text" else self._open_text()
        self._pieces.append(piece)
        return data + self._item_event("response.output_text.delta", content_index=0, delta=piece, logprobs=[])

    def thinking(self, piece: str) -> bytes:
        """A piece of thinking, in the open item or a new one."""
        if not piece:
            return b""
        data = b"" if self._kind == "thinking" else self._open_thinking()
        if not self._pieces:
            part = {"type": "summary_text", "text": ""}
            data += self._item_event("response.reasoning_summary_part.added", summary_index=0, part=part)
        self._pieces.append(piece)
        return data + self._item_event("response.reasoning_summary_text.delta", summary_index=0, delta=piece)

    def signature(self, signature: str) -> bytes:
        """The end of the thinking."""
        data = b"" if self._kind == "thinking" else self._open_thinking()
        return data + self._close_thinking({"type": "thinking", "thinking": "".join(self._pieces), "signature": signature})

    def call(self, call_id: str, name: str) -> bytes:
        """A tool call begins. Only functions are shown while they are made: the others have a form of their own."""
        data = self._close()
        self._kind, self._pieces, self._call_id, self._tool = "call", [], call_id, self._asked.tools.tool(name)
        if self._tool.kind != FUNCTION:
            return data
        empty = response_tools.item(self._tool, {"id": call_id, "input": {}}) | {"arguments": ""}
        return data + self._added(empty)

    def input(self, piece: str) -> bytes:
        """A piece of the open call's input."""
        self._pieces.append(piece)
        if self._tool.kind != FUNCTION or not piece:
            return b""
        return self._item_event("response.function_call_arguments.delta", delta=piece)

    def block(self, block: Block) -> bytes:
        """A whole block of another kind: tool calls and thinking are shown."""
        if block["type"] == "text":
            return self.text(block["text"])
        if block["type"] == "thinking":
            return self._close() + self.thinking(block.get("thinking", "")) + self.signature(block.get("signature", ""))
        if block["type"] == "redacted_thinking":
            return self._close() + self._open_thinking() + self._close_thinking(block)
        if block["type"] != "tool_use":
            return b""
        return self.call(block["id"], block["name"]) + self.input(codec.dump(block["input"]).decode())

    def stop_block(self) -> bytes:
        """An item is closed when the next one begins: see the module's text."""
        return b""

    def finish(self, answer: Answer) -> bytes:
        """The end: the last item is closed, and the whole response is told."""
        reason = answer.stop_reason in INCOMPLETE_REASONS
        data = self._close(INCOMPLETE if reason else COMPLETED)
        kind = "response.incomplete" if reason else "response.completed"
        return data + self._event(kind, response=self._ended(answer, self._items))

    def error(self, error: ApiError, request_id: str) -> bytes:
        """An error after the stream has begun."""
        code = code_of(error) or ("rate_limit_exceeded" if error.status == RATE_LIMIT else "server_error")
        response = self._response(FAILED, self._items) | {"error": {"code": code, "message": error.message}}
        return self._event("response.failed", response=response)

    def ping(self) -> bytes:
        """A sign of life that clients count as one: some do not see comments."""
        return self._event("response.in_progress", response=self._response(IN_PROGRESS, []))

    def stored(self, answer: Answer) -> tuple[dict[str, Any], tuple[Any, ...]] | None:
        """The response object, and what it is an answer to, unless the client wants it forgotten."""
        asked = self._asked
        return (self.response(answer), (*asked.past, *asked.items)) if asked.is_stored else None

    # Items

    def _open_text(self) -> bytes:
        data = self._close()
        self._kind, self._pieces = "text", []
        data += self._added(response_output.message("") | {"content": []})
        part = response_output.text_part("")
        return data + self._item_event("response.content_part.added", content_index=0, part=part)

    def _open_thinking(self) -> bytes:
        data = self._close()
        self._kind, self._pieces = "thinking", []
        return data + self._added({"type": "reasoning", "summary": []})

    def _close(self, status: str = COMPLETED) -> bytes:
        """Close the open item, if there is one."""
        match self._kind:
            case "text":
                return self._close_text(status)
            case "thinking":  # without its signature it cannot be sent back
                return self._close_thinking({"type": "thinking", "thinking": "".join(self._pieces), "signature": ""})
            case "call":
                return self._close_call()
            case _:
                return b""

    def _close_text(self, status: str) -> bytes:
        text = "".join(self._pieces)
        part = response_output.text_part(text)
        data = self._item_event("response.output_text.done", content_index=0, text=text, logprobs=[])
        data += self._item_event("response.content_part.done", content_index=0, part=part)
        return data + self._done(response_output.message(text), status)

    def _close_thinking(self, block: Block) -> bytes:
        data, item = b"", response_output.thought(block)
        if self._pieces:
            part = item["summary"][0]
            data += self._item_event("response.reasoning_summary_text.done", summary_index=0, text=part["text"])
            data += self._item_event("response.reasoning_summary_part.done", summary_index=0, part=part)
        return data + self._done(item, COMPLETED)

    def _close_call(self) -> bytes:
        """One whose input is not whole stays open: nobody shall run it."""
        raw = "".join(self._pieces) or "{}"
        given = _object(raw)
        if given is None:
            self._kind = ""
            return b""
        item = response_tools.item(self._tool, {"id": self._call_id, "input": given})
        if self._tool.kind == FUNCTION:
            data = self._item_event("response.function_call_arguments.done", arguments=raw, name=self._tool.name)
            return data + self._done(item | {"arguments": raw}, COMPLETED)
        data = self._added(item | ({"input": ""} if item["type"] == "custom_tool_call" else {}))
        if item["type"] == "custom_tool_call":
            data += self._item_event("response.custom_tool_call_input.delta", delta=item["input"])
            data += self._item_event("response.custom_tool_call_input.done", input=item["input"])
        return data + self._done(item, COMPLETED)

    def _added(self, item: Item) -> bytes:
        shown = response_output.with_id(item, self._suffix, len(self._items), IN_PROGRESS)
        self._open_id = shown["id"]
        return self._event("response.output_item.added", output_index=len(self._items), item=shown)

    def _done(self, item: Item, status: str) -> bytes:
        place = len(self._items)
        shown = response_output.with_id(item, self._suffix, place, status)
        data = self._event("response.output_item.done", output_index=place, item=shown)
        self._items.append(shown)
        self._kind = ""
        return data

    # Events and the response object

    def _item_event(self, kind: str, **fields: Any) -> bytes:
        return self._event(kind, item_id=self._open_id, output_index=len(self._items), **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        value = {"type": kind, "sequence_number": self._number, **fields}
        data = b"event: " + kind.encode() + b"\ndata: " + codec.dump(value) + b"\n\n"
        self._number += 1
        return data

    def _ended(self, answer: Answer, output: list[Item]) -> dict[str, Any]:
        reason = INCOMPLETE_REASONS.get(answer.stop_reason)
        ended = self._response(INCOMPLETE if reason else COMPLETED, output) | {"model": answer.model}
        return ended | {"incomplete_details": {"reason": reason} if reason else None, "usage": _usage(answer.usage)}

    def _response(self, status: str, output: list[Item]) -> dict[str, Any]:
        return {
            "id": self.message_id,
            "object": "response",
            "created_at": self._created,
            "completed_at": None,  # there is no clock here
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self._model,
            "output": output,
            "usage": None,
            **self._asked.echo,
        }


def _object(raw: str) -> dict[str, Any] | None:
    """The object that a call's input is; None if it has broken off."""
    try:
        found = codec.parse(raw.encode())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _usage(usage: Usage) -> dict[str, Any]:
    counts = usage.as_json()
    cached, written = counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"]
    given, made = counts["input_tokens"] + written + cached, counts["output_tokens"]
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": counts["output_tokens_details"].get("thinking_tokens", 0)},
        "total_tokens": given + made,
    }
