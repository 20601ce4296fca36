"""POST /v1/chat/completions: a body's JSON object to the one that the Messages API would get. Pure.

What is checked here is only what has no counterpart there; the rest is checked as any other request.
Called by `core.request_decoding.py`. Fields that mean nothing to these models are dropped, as Anthropic's own
compatible endpoint does it, and named.
"""

from __future__ import annotations

import re
from typing import Any

from relayd import codec
from relayd.anthropic import checks
from relayd.errors import invalid

MAX_TOKENS_DEFAULT = 8192
IMAGE_DATA = re.compile(r"data:(?P<type>image/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)
SYSTEM_ROLES = ("system", "developer")
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
HONOURED = (
    *(
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "stream_options",
        "n",
        "stop",
        "temperature",
        "top_p",
    ),
    *("tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format"),
)
JSON_OBJECT = "Answer with a single JSON object and nothing else, without code fences."


def ignored(value: dict[str, Any]) -> tuple[str, ...]:
    """The names of the fields that are dropped."""
    return tuple(name for name, given in value.items() if name not in HONOURED and given is not None)


def is_emulated(value: dict[str, Any]) -> bool:
    """True if JSON is asked for by words alone: the API has no such parameter without a schema."""
    format_ = value.get("response_format")
    return isinstance(format_, dict) and format_.get("type") == "json_object"


def to_messages(value: dict[str, Any]) -> dict[str, Any]:
    """The Messages request of a chat request. Raises ApiError 400."""
    if value.get("n") not in (None, 1):
        raise invalid("n: must be 1")
    items = [checks.mapping(m, f"messages.{n}") for n, m in enumerate(checks.listing(value.get("messages"), "messages"))]
    system = [_text(m.get("content"), f"messages.{n}.content") for n, m in enumerate(items) if m.get("role") in SYSTEM_ROLES]
    found: dict[str, Any] = {
        "model": value.get("model"),
        "max_tokens": value.get("max_completion_tokens") or value.get("max_tokens") or MAX_TOKENS_DEFAULT,
        "messages": [_message(m, n) for n, m in enumerate(items) if m.get("role") not in SYSTEM_ROLES],
        "stream": bool(value.get("stream")),
    }
    found |= _tools(value)
    found |= _format(value, system)
    if any(system):
        found["system"] = "\n".join(system)
    stop = value.get("stop")
    if stop:
        found["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    for name in ("temperature", "top_p"):
        if value.get(name) is not None:
            found[name] = min(value[name], 1) if isinstance(value[name], (int, float)) else value[name]
    return found


def _message(value: dict[str, Any], number: int) -> dict[str, Any]:
    path = f"messages.{number}"
    role = value.get("role")
    if role in ("tool", "function"):
        result = {"type": "tool_result", "tool_use_id": value.get("tool_call_id"), "content": _text(value.get("content"), path)}
        return {"role": "user", "content": [result]}
    content = value.get("content")
    if role == "assistant":
        blocks = _blocks(content, path) + [_call(c, path) for c in value.get("tool_calls") or []]
        return {"role": "assistant", "content": blocks}
    if role != "user":
        raise invalid(f"{path}.role: Input should be 'system', 'developer', 'user', 'assistant' or 'tool'")
    return {"role": "user", "content": content if isinstance(content, str) else _blocks(content, path)}


def _call(value: Any, path: str) -> dict[str, Any]:
    call = checks.mapping(value, f"{path}.tool_calls")
    function = checks.mapping(call.get("function"), f"{path}.tool_calls.function")
    try:
        arguments = codec.parse((function.get("arguments") or "{}").encode())
    except (ValueError, AttributeError) as error:
        raise invalid(f"{path}.tool_calls.function.arguments: not JSON: {error}") from error
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": arguments}


def _blocks(content: Any, path: str) -> list[dict[str, Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(checks.mapping(p, f"{path}.content.{n}"), f"{path}.content.{n}") for n, p in enumerate(content)]


def _part(part: dict[str, Any], path: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return {"type": "text", "text": part.get("text") or part.get("refusal")}
    if kind == "image_url":
        url = checks.text(checks.mapping(part.get("image_url"), f"{path}.image_url").get("url"), f"{path}.image_url.url")
        data = IMAGE_DATA.fullmatch(url)
        if data:
            return {"type": "image", "source": {"type": "base64", "media_type": data["type"], "data": data["data"]}}
        return {"type": "image", "source": {"type": "url", "url": url}}
    if kind == "file":
        return _file(checks.mapping(part.get("file"), f"{path}.file"), path)
    raise invalid(f"{path}.type: Input should be 'text', 'image_url' or 'file'")


def _file(file: dict[str, Any], path: str) -> dict[str, Any]:
    data = str(file.get("file_data") or "")
    _, comma, encoded = data.partition(";base64,")
    if not comma:
        raise invalid(f"{path}.file.file_data: must be a data URL with base64 data")
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
    title = {"title": str(file["filename"])} if file.get("filename") else {}
    return {"type": "document", "source": source, **title}


def _text(content: Any, path: str) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    parts = [checks.mapping(p, path) for p in checks.listing(content, path)]
    return "".join(str(p.get("text") or "") for p in parts)


def _tools(value: dict[str, Any]) -> dict[str, Any]:
    tools = [_tool(t, n) for n, t in enumerate(value.get("tools") or [])]
    if not tools:
        return {}
    choice = value.get("tool_choice") or "auto"
    found: dict[str, Any]
    if isinstance(choice, str):
        if choice not in CHOICES:
            raise invalid("tool_choice: Input should be 'auto', 'none', 'required' or a function")
        found = {"type": CHOICES[choice]}
    else:
        function = checks.mapping(checks.mapping(choice, "tool_choice").get("function"), "tool_choice.function")
        found = {"type": "tool", "name": function.get("name")}
    if value.get("parallel_tool_calls") is False and found["type"] != "none":
        found["disable_parallel_tool_use"] = True
    return {"tools": tools, "tool_choice": found}


def _tool(value: Any, number: int) -> dict[str, Any]:
    tool = checks.mapping(value, f"tools.{number}")
    function = checks.mapping(tool.get("function"), f"tools.{number}.function")
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function.get("name"), "description": function.get("description") or "", "input_schema": schema}


def _format(value: dict[str, Any], system: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    effort = EFFORTS.get(str(value.get("reasoning_effort")))
    if effort:
        config["effort"] = effort
    format_ = value.get("response_format") or {}
    kind = checks.mapping(format_, "response_format").get("type", "text")
    if kind == "json_schema":
        given = checks.mapping(format_.get("json_schema"), "response_format.json_schema")
        config["format"] = {"type": "json_schema", "schema": given.get("schema") or {"type": "object"}}
    elif kind == "json_object":
        system.append(JSON_OBJECT)
    elif kind != "text":
        raise invalid("response_format.type: Input should be 'text', 'json_object' or 'json_schema'")
    return {"output_config": config} if config else {}
