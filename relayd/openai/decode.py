"""POST /v1/chat/completions: a body's JSON object to the one that the Messages API would get. Pure.

What is checked here is only what has no counterpart there; the rest is checked as any other request.
Called by `core/request_decoding.py`. Fields that mean nothing to these models are dropped, as Anthropic's own
compatible endpoint does it, and named. Where a field may hold any JSON, every type of it is looked at here: what goes on
to the Messages checks is of the right shape, or of a wrong one that these refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd.anthropic import checks, models
from relayd.errors import invalid
from relayd.openai import history

MAX_TOKENS_DEFAULT = 8192
TEMPERATURE_MAX = 2  # of OpenAI; the Messages API ends at 1
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
SAMPLING = ("temperature", "top_p")
HONOURED = (
    *("model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "n", "stop", *SAMPLING),
    *("tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "thinking"),
    *("functions", "function_call"),
)
USAGE = "stream_options.include_usage"
FORMATS = ("text", "json_object", "json_schema")
JSON_OBJECT = "Answer with a single JSON object and nothing else, without code fences."
# What errors call a field, and its name here.
NAMES = (
    ("stop_sequences", "stop"),
    ("output_config.format.schema", "response_format.json_schema.schema"),
    ("output_config.effort", "reasoning_effort"),
    (".custom.input_schema", ".function.parameters"),
    (".custom.", ".function."),
)


@dataclass(frozen=True)
class Translation:
    """The Messages request of a chat request, and what is to be said of it.

    `ignored`, `emulated` and `inexact` are names of fields. `is_legacy`: it has functions, not tools, and its answer, too.
    """

    value: dict[str, Any]
    with_usage: bool
    is_legacy: bool
    ignored: tuple[str, ...]
    emulated: tuple[str, ...]
    inexact: tuple[str, ...]


def translate(value: dict[str, Any]) -> Translation:
    """A chat request in the other shape. Raises ApiError 400."""
    if isinstance(value.get("n"), bool) or value.get("n") not in (None, 1):
        raise invalid("n: must be 1")
    modalities = value.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        raise invalid("modalities: these models give no audio")
    past = history.read(value.get("messages"))
    found: dict[str, Any] = {
        "model": value.get("model"),
        "max_tokens": _max_tokens(value),
        "messages": past.messages,
        "stream": checks.flag(value.get("stream"), "stream"),
    }
    found |= {"thinking": value["thinking"]} if value.get("thinking") is not None else {}
    is_legacy = value.get("functions") is not None and not value.get("tools")
    found |= _tools(_modern(value) if is_legacy else value)
    found |= _format(value, past.system)
    if any(past.system):
        found["system"] = "\n".join(past.system)
    stops, unheard = _stops(value.get("stop"))
    found |= {"stop_sequences": stops} if stops else {}
    sampling = sampling_of(value)
    emulated = ["response_format"] * _is_json_by_words(value) + ["messages.0.role"] * past.is_system_only
    return Translation(
        found | sampling,
        _wants_usage(value),
        is_legacy,
        (*_ignored(value, sampling), *unheard),
        tuple(emulated),
        tuple(past.inexact),
    )


def renamed(message: str) -> str:
    """An error's text with the names that chat requests have for the fields."""
    for theirs, ours in NAMES:
        message = message.replace(theirs, ours)
    return message


def _ignored(value: dict[str, Any], sampling: dict[str, Any]) -> list[str]:
    """The names of the fields that are dropped, or not honoured as they are: a temperature above 1 becomes 1."""
    found = [name for name, given in value.items() if name not in HONOURED and given is not None]
    found += [name for name in SAMPLING if value.get(name) is not None and sampling.get(name) != value[name]]
    return found + ["reasoning_effort"] * (_effort(value) not in ("", *EFFORTS))


def _is_json_by_words(value: dict[str, Any]) -> bool:
    """True if JSON is asked for by words alone: the API has no such parameter without a schema."""
    format_ = value.get("response_format")
    return isinstance(format_, dict) and format_.get("type") == "json_object"


def _wants_usage(value: dict[str, Any]) -> bool:
    """True if a stream shall end with the counts. Raises ApiError 400."""
    options = value.get("stream_options")
    return options is not None and checks.flag(checks.mapping(options, "stream_options").get("include_usage"), USAGE)


def _stops(value: Any) -> tuple[Any, list[str]]:
    """The stop sequences, and the names of those that the Messages API does not take: white space alone."""
    if value is None or not isinstance(value, (str, list)):
        return value, []
    given = [value] if isinstance(value, str) else value
    blank = [n for n, stop in enumerate(given) if isinstance(stop, str) and not stop.strip()]
    return [stop for n, stop in enumerate(given) if n not in blank], [f"stop.{n}" for n in blank]


def sampling_of(value: dict[str, Any]) -> dict[str, Any]:
    """The sampling parameters for models that take them: the newer ones refuse them, which a chat's client cannot know."""
    name = value.get("model")
    if isinstance(name, str) and not models.facts(name).takes_sampling:
        return {}
    temperature = value.get("temperature")
    return {"temperature": 1 if _is_clipped(temperature) else temperature, "top_p": value.get("top_p")}


def _modern(value: dict[str, Any]) -> dict[str, Any]:
    """`functions` and `function_call` as tools: one call at a time, as their answers have room for one."""
    functions = _listed(value.get("functions"), "functions")
    choice = value.get("function_call")
    return {
        "tools": [{"type": "function", "function": function} for function in functions],
        "tool_choice": {"function": choice} if isinstance(choice, dict) else choice,
        "parallel_tool_calls": False,
    }


def _max_tokens(value: dict[str, Any]) -> int:
    given = (value.get(name) for name in ("max_completion_tokens", "max_tokens"))
    found = next((count for count in given if count is not None), MAX_TOKENS_DEFAULT)
    return checks.integer(found, "max_tokens", 1)  # 0 has a meaning in the Messages API only


def _is_clipped(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value <= TEMPERATURE_MAX


def _listed(value: Any, path: str) -> list[Any]:
    """A list that may be left out."""
    return [] if value is None else checks.listing(value, path)


def _given_text(value: Any, path: str) -> str:
    """A text that may be left out."""
    return "" if value is None else checks.text(value, path)


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
