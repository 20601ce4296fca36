"""POST /v1/responses: a body's JSON object to the one that the Messages API would get. Pure.

The sibling of `decode`, which does it for chats: what is checked here has no counterpart there, the rest is checked as any
other request. A field that cannot be honoured is named, or refused where the answer would be another one without it.
Called by `core/request_decoding.py`, which has found what came before `previous_response_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relayd.anthropic import checks, models
from relayd.anthropic.models import Does
from relayd.errors import invalid
from relayd.openai import decode, response_items, response_tools
from relayd.openai.response_items import History
from relayd.openai.response_tools import Toolbox

OUTPUT_MAX_DEFAULT = 32_000  # tokens: each model that is listed gives as many, and leaves room for a question
ADAPTIVE_SINCE = (4, 6)  # the first version that decides for itself how much it thinks
INPUT = "input"
SUMMARIES = ("auto", "concise", "detailed")
NO_EFFORTS = ("none", "minimal")  # for which nobody has to think
INCLUDED = ("reasoning.encrypted_content",)
HONOURED = (
    *("model", INPUT, "instructions", "max_output_tokens", "stream", "stream_options", "store", "previous_response_id"),
    *("tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "include", "metadata", *decode.SAMPLING),
)
# Without these the answer would be another one, or come by another way.
REFUSED = {
    "background": "relayd answers at once; leave it out",
    "conversation": "relayd keeps no conversations of this API; use previous_response_id",
    "prompt": "relayd has no stored prompts",
}
SILENT = {"truncation": "disabled", "service_tier": "auto", "top_logprobs": 0}  # values that ask for nothing
FUNCTION_ECHO = {"description": None, "parameters": None, "strict": False}  # what the types declare of a function
# What errors call a field, and its name here.
NAMES = (
    ("output_config.format.schema", "text.format.schema"),
    ("output_config.effort", "reasoning.effort"),
    ("max_tokens", "max_output_tokens"),
    (".custom.input_schema", ".parameters"),
    (".custom.", "."),
)


@dataclass(frozen=True)
class ResponsesRequest:
    """What the answer must repeat of its request, and what of it is stored.

    `echo` are the fields of the response object that the request decides; `items` what it brings, `past` what came before.
    """

    echo: dict[str, Any]
    items: tuple[Any, ...]
    past: tuple[Any, ...]
    tools: Toolbox
    is_stored: bool

    def __repr__(self) -> str:
        return f"<ResponsesRequest items={len(self.items)} past={len(self.past)} stored={self.is_stored}>"


@dataclass(frozen=True)
class Translation:
    """The Messages request of a Responses request, and what is to be said of it: names of fields, as in `decode`."""

    value: dict[str, Any]
    asked: ResponsesRequest
    ignored: tuple[str, ...]
    emulated: tuple[str, ...]
    inexact: tuple[str, ...]


def translate(value: dict[str, Any], past: tuple[Any, ...] = ()) -> Translation:
    """A Responses request in the other shape. `past` are the items before it. Raises ApiError 400."""
    checks.shallow(value, "body")
    for name, why in REFUSED.items():
        if value.get(name):
            raise invalid(f"{name}: not supported: {why}")
    model = value.get("model")
    items, box = _items(value.get(INPUT)), Toolbox()
    box.add(value.get("tools"), "tools")
    history = response_items.read(_placed(past, items), _takes_system(model))
    choice = response_tools.choice(value.get("tool_choice"), box)
    sampling = decode.sampling_of(value)
    found = {"model": model, "max_tokens": _max_tokens(value), "stream": checks.flag(value.get("stream"), "stream")}
    found |= _offered(value, box, choice) | sampling
    thinking, unheard = _thinking(value, choice, sampling)
    found |= thinking | _format(value, history) | _said(value, history)
    asked = ResponsesRequest(_echo(value), tuple(items), past, box, _stores(value))
    ignored = (*_ignored(value, sampling), *unheard, *box.ignored, *history.ignored)
    emulated = [*box.emulated, *["text.format"] * _is_json_by_words(value), *["input.role"] * history.is_system_only]
    return Translation(found, asked, ignored, tuple(emulated), tuple(history.inexact))


def renamed(message: str) -> str:
    """An error's text with the names that Responses requests have for the fields."""
    for theirs, ours in NAMES:
        message = message.replace(theirs, ours)
    return message


def previous_id(value: dict[str, Any]) -> str:
    """The response that this request goes on from; empty if there is none. Raises ApiError 400."""
    given = value.get("previous_response_id")
    return "" if given is None else checks.text(given, "previous_response_id")


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return checks.listing(value, INPUT)


def _placed(past: tuple[Any, ...], items: list[Any]) -> Iterator[tuple[str, Any]]:
    """Each item with its path: errors and names speak of what the client has sent this time."""
    for item in past:
        yield "previous_response_id", item
    for number, item in enumerate(items):
        yield f"{INPUT}.{number}", item


def _takes_system(model: Any) -> bool:
    return isinstance(model, str) and Does.SYSTEM in models.facts(model).does


def _max_tokens(value: dict[str, Any]) -> int:
    given = value.get("max_output_tokens")
    return OUTPUT_MAX_DEFAULT if given is None else checks.integer(given, "max_output_tokens", 1)


def _offered(value: dict[str, Any], box: Toolbox, choice: dict[str, Any]) -> dict[str, Any]:
    if not box.tools:
        return {"tool_choice": choice} if choice["type"] in ("any", "tool") else {}
    parallel = value.get("parallel_tool_calls")
    if parallel is not None and not checks.boolean(parallel, "parallel_tool_calls") and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": box.tools, "tool_choice": choice}


def _said(value: dict[str, Any], history: History) -> dict[str, Any]:
    """System prompt and messages. Instructions alone are the question, since a conversation must have one."""
    given = value.get("instructions")
    own = [] if given is None else [checks.text(given, "instructions")]
    system = [text for text in (*own, *history.system) if text.strip()]
    if history.is_system_only and system:
        return {"messages": [{"role": "user", "content": "\n\n".join(system)}]}
    prompt = {"system": [{"type": "text", "text": text} for text in system]} if system else {}
    return {"messages": history.messages, **prompt}


def _thinking(value: dict[str, Any], choice: dict[str, Any], sampling: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What `reasoning` asks for, and what of it cannot be had. Neither a forced tool nor sampling goes with thinking."""
    given = _part(value, "reasoning")
    if not given:
        return {}, []
    effort, summary = (_given_text(given.get(name), f"reasoning.{name}") for name in ("effort", "summary"))
    summary = summary or _given_text(given.get("generate_summary"), "reasoning.generate_summary")
    unheard = ["reasoning.effort"] * (effort not in ("", *NO_EFFORTS, *decode.EFFORTS))
    facts = models.facts(value["model"]) if isinstance(value.get("model"), str) else models.UNKNOWN
    thinks = Does.THINK in facts.does
    if effort == "none":
        return {}, [*unheard, *["reasoning.effort"] * thinks]
    wants_more = summary in SUMMARIES or (effort in decode.EFFORTS and effort not in NO_EFFORTS)
    if not wants_more or (thinks and summary not in SUMMARIES):
        return {}, unheard
    can = facts.version >= ADAPTIVE_SINCE and not any(given is not None for given in sampling.values())
    if not can or choice["type"] in ("any", "tool"):
        return {}, [*unheard, *["reasoning.summary"] * (summary in SUMMARIES)]
    shown = {"display": "summarized"} if summary in SUMMARIES else {}
    return {"thinking": {"type": "adaptive", **shown}}, unheard


def _format(value: dict[str, Any], history: History) -> dict[str, Any]:
    config: dict[str, Any] = {}
    effort = decode.EFFORTS.get(_given_text(_part(value, "reasoning").get("effort"), "reasoning.effort"))
    if effort:
        config["effort"] = effort
    given = _part(value, "text").get("format")
    format_ = {"type": "text"} if given is None else checks.mapping(given, "text.format")
    kind = checks.one_of(format_.get("type"), decode.FORMATS, "text.format.type")
    if kind == "json_schema":
        config["format"] = {"type": "json_schema", "schema": checks.field(format_, "schema", "text.format")}
    elif kind == "json_object":
        history.system.append(decode.JSON_OBJECT)
    return {"output_config": config} if config else {}


def _is_json_by_words(value: dict[str, Any]) -> bool:
    format_ = _part(value, "text").get("format")
    return isinstance(format_, dict) and format_.get("type") == "json_object"


def _part(value: dict[str, Any], name: str) -> dict[str, Any]:
    """An object that may be left out."""
    given = value.get(name)
    return {} if given is None else checks.mapping(given, name)


def _given_text(value: Any, path: str) -> str:
    return "" if value is None else checks.text(value, path)


def _stores(value: dict[str, Any]) -> bool:
    given = value.get("store")
    return given is None or checks.boolean(given, "store")


def _ignored(value: dict[str, Any], sampling: dict[str, Any]) -> list[str]:
    """The names of the fields that are dropped, or not honoured as they are."""
    found = [name for name, given in value.items() if name not in HONOURED and given not in (None, SILENT.get(name), False)]
    found += [name for name in decode.SAMPLING if value.get(name) is not None and sampling.get(name) != value[name]]
    found += ["text.verbosity"] * (_part(value, "text").get("verbosity") is not None)
    found += ["stream_options.include_obfuscation"] * bool(_part(value, "stream_options").get("include_obfuscation"))
    given = value.get("include")
    included = [] if given is None else checks.listing(given, "include")
    return found + [name for name in dict.fromkeys(map(str, included)) if name not in INCLUDED]


def _number(value: Any) -> float:
    """A sampling parameter as it is repeated: the default is 1."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 1.0


def _echo(value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a response that repeat its request; what the SDKs' types declare is there, be it empty."""
    reasoning, text = _part(value, "reasoning"), _part(value, "text")
    choice, parallel = value.get("tool_choice"), value.get("parallel_tool_calls")
    return {
        "background": False,
        "instructions": value.get("instructions"),
        "max_output_tokens": value.get("max_output_tokens"),
        "max_tool_calls": None,
        "metadata": _part(value, "metadata"),
        "parallel_tool_calls": True if parallel is None else parallel,
        "previous_response_id": value.get("previous_response_id"),
        "prompt_cache_key": value.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": value.get("safety_identifier"),
        "service_tier": "default",
        "store": value.get("store") is not False,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "temperature": _number(value.get("temperature")),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": "auto" if choice is None else choice,
        "tools": [FUNCTION_ECHO | tool if tool["type"] == "function" else tool for tool in value.get("tools") or []],
        "top_logprobs": 0,
        "top_p": _number(value.get("top_p")),
        "truncation": "disabled",
        "user": value.get("user"),
    }
