"""POST /v1/chat/completions: a body's JSON object to the one that the Messages API would get. Pure.

What is checked here is only what has no counterpart there; the rest is checked as any other request.
Called by `core/request_decoding.py`. Fields that mean nothing to these models are dropped, as Anthropic's own
compatible endpoint does it, and named. Where a field may hold any JSON, every type of it is looked at here: what goes on
to the Messages checks is of the right shape, or of a wrong one that these refuse.
"""

from __future__ import annotations

import re
from typing import Any

from relayd import codec
from relayd.anthropic import checks
from relayd.errors import invalid

MAX_TOKENS_DEFAULT = 8192
TEMPERATURE_MAX = 2  # of OpenAI; the Messages API ends at 1
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
USAGE = "stream_options.include_usage"
FORMATS = ("text", "json_object", "json_schema")
JSON_OBJECT = "Answer with a single JSON object and nothing else, without code fences."


def ignored(value: dict[str, Any]) -> tuple[str, ...]:
    """The names of the fields that are dropped, or not honoured as they are: a temperature above 1 becomes 1."""
    found = [name for name, given in value.items() if name not in HONOURED and given is not None]
    found += ["temperature"] * _is_clipped(value.get("temperature"))
    return (*found, *["reasoning_effort"] * (_effort(value) not in ("", *EFFORTS)))


def is_emulated(value: dict[str, Any]) -> bool:
    """True if JSON is asked for by words alone: the API has no such parameter without a schema."""
    format_ = value.get("response_format")
    return isinstance(format_, dict) and format_.get("type") == "json_object"


def wants_usage(value: dict[str, Any]) -> bool:
    """True if a stream shall end with the counts. Raises ApiError 400."""
    options = value.get("stream_options")
    return options is not None and checks.flag(checks.mapping(options, "stream_options").get("include_usage"), USAGE)


def to_messages(value: dict[str, Any]) -> dict[str, Any]:
    """The Messages request of a chat request. Raises ApiError 400."""
    if isinstance(value.get("n"), bool) or value.get("n") not in (None, 1):
        raise invalid("n: must be 1")
    items = [checks.mapping(m, f"messages.{n}") for n, m in enumerate(checks.listing(value.get("messages"), "messages"))]
    system = [_text(m.get("content"), f"messages.{n}.content") for n, m in enumerate(items) if m.get("role") in SYSTEM_ROLES]
    found: dict[str, Any] = {
        "model": value.get("model"),
        "max_tokens": _max_tokens(value),
        "messages": [_message(m, n) for n, m in enumerate(items) if m.get("role") not in SYSTEM_ROLES],
        "stream": checks.flag(value.get("stream"), "stream"),
    }
    found |= _tools(value)
    found |= _format(value, system)
    if any(system):
        found["system"] = "\n".join(system)
    stop = value.get("stop")
    if stop is not None and stop != []:
        found["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    temperature = value.get("temperature")
    return found | {"temperature": 1 if _is_clipped(temperature) else temperature, "top_p": value.get("top_p")}


def _max_tokens(value: dict[str, Any]) -> Any:
    given = (value.get(name) for name in ("max_completion_tokens", "max_tokens"))
    return next((count for count in given if count is not None), MAX_TOKENS_DEFAULT)


def _is_clipped(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value <= TEMPERATURE_MAX


def _message(value: dict[str, Any], number: int) -> dict[str, Any]:
    path = f"messages.{number}"
    role = value.get("role")
    content = value.get("content")
    if role in ("tool", "function"):
        result = {"type": "tool_result", "tool_use_id": value.get("tool_call_id"), "content": _text(content, f"{path}.content")}
        return {"role": "user", "content": [result]}
    if role == "assistant":
        calls = _listed(value.get("tool_calls"), f"{path}.tool_calls")
        blocks = _blocks(content, path) + [_call(c, f"{path}.tool_calls.{n}") for n, c in enumerate(calls)]
        return {"role": "assistant", "content": blocks}
    if role != "user":
        raise invalid(f"{path}.role: Input should be 'system', 'developer', 'user', 'assistant' or 'tool'")
    return {"role": "user", "content": content if isinstance(content, str) else _blocks(content, path)}


def _listed(value: Any, path: str) -> list[Any]:
    """A list that may be left out."""
    return [] if value is None else checks.listing(value, path)


def _given_text(value: Any, path: str) -> str:
    """A text that may be left out."""
    return "" if value is None else checks.text(value, path)


def _call(value: Any, path: str) -> dict[str, Any]:
    call = checks.mapping(value, path)
    function = checks.mapping(call.get("function"), f"{path}.function")
    arguments = _given_text(function.get("arguments"), f"{path}.function.arguments")
    try:
        given = codec.parse((arguments or "{}").encode())
    except ValueError as error:
        raise invalid(f"{path}.function.arguments: not JSON: {error}") from error
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given}


def _blocks(content: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    parts = _listed(content, f"{path}.content")
    return [_part(checks.mapping(p, f"{path}.content.{n}"), f"{path}.content.{n}") for n, p in enumerate(parts)]


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
    data = _given_text(file.get("file_data"), f"{path}.file.file_data")
    _, comma, encoded = data.partition(";base64,")
    if not comma:
        raise invalid(f"{path}.file.file_data: must be a data URL with base64 data")
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
    name = _given_text(file.get("filename"), f"{path}.file.filename")
    return {"type": "document", "source": source, **({"title": name} if name else {})}


def _text(content: Any, path: str) -> str:
    """The text of a message that can hold nothing else."""
    if isinstance(content, str):
        return content
    texts = []
    for number, item in enumerate(_listed(content, path)):
        part = checks.mapping(item, f"{path}.{number}")
        checks.one_of(part.get("type"), ("text",), f"{path}.{number}.type")
        texts.append(checks.text(part.get("text"), f"{path}.{number}.text"))
    return "".join(texts)


def _tools(value: dict[str, Any]) -> dict[str, Any]:
    tools = [_tool(t, n) for n, t in enumerate(_listed(value.get("tools"), "tools"))]
    choice = _choice(value.get("tool_choice"))
    if not tools:
        return {"tool_choice": choice} if choice["type"] in ("any", "tool") else {}
    parallel = value.get("parallel_tool_calls")
    if parallel is not None and not checks.boolean(parallel, "parallel_tool_calls") and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": tools, "tool_choice": choice}


def _choice(value: Any) -> dict[str, Any]:
    if value is None:
        return {"type": "auto"}
    if isinstance(value, str):
        if value not in CHOICES:
            raise invalid("tool_choice: Input should be 'auto', 'none', 'required' or a function")
        return {"type": CHOICES[value]}
    function = checks.mapping(checks.mapping(value, "tool_choice").get("function"), "tool_choice.function")
    return {"type": "tool", "name": function.get("name")}


def _tool(value: Any, number: int) -> dict[str, Any]:
    path = f"tools.{number}"
    function = checks.mapping(checks.mapping(value, path).get("function"), f"{path}.function")
    given = function.get("parameters")
    schema = {} if given is None else checks.mapping(given, f"{path}.function.parameters")
    schema = schema or {"type": "object", "properties": {}}
    strict = {"strict": True} if function.get("strict") else {}  # which is named as ignored, as in the other shape
    return {"name": function.get("name"), "description": function.get("description"), "input_schema": schema, **strict}


def _effort(value: dict[str, Any]) -> str:
    return _given_text(value.get("reasoning_effort"), "reasoning_effort")


def _format(value: dict[str, Any], system: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    effort = EFFORTS.get(_effort(value))
    if effort:
        config["effort"] = effort
    given = value.get("response_format")
    format_ = {"type": "text"} if given is None else checks.mapping(given, "response_format")
    kind = checks.one_of(format_.get("type"), FORMATS, "response_format.type")
    if kind == "json_schema":
        wanted = checks.mapping(format_.get("json_schema"), "response_format.json_schema").get("schema")
        config["format"] = {"type": "json_schema", "schema": {"type": "object"} if wanted is None else wanted}
    elif kind == "json_object":
        system.append(JSON_OBJECT)
    return {"output_config": config} if config else {}
