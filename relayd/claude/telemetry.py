"""Claude Code's telemetry (OTLP logs as JSON) to facts about its API requests. Pure.

It is the quickest exact source of usage (the transcript lags by 0.1 s) and the only one of an API
error's status and own text. Side requests (titles and the like) are told apart by `query_source`.
Called by `core/relay.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.claude import told

MAIN_SOURCE = "repl_main_thread"
COST_MAX_USD = 10_000.0  # of one request
DIGITS_MAX = 15  # of a count: the answer's usage is written with it


@dataclass(frozen=True)
class RequestDone:
    """An API request of the conversation has succeeded, with the API's counts."""

    model: str
    usage: dict[str, Any]
    request_id: str
    cost_usd: float = 0.0  # by Claude Code's own table of prices


@dataclass(frozen=True)
class RequestFailed:
    """An API request of the conversation has failed; status 0 if there was no HTTP answer."""

    status: int
    message: str
    request_id: str


WireFact = RequestDone | RequestFailed


def read(body: bytes) -> list[WireFact]:
    """The facts in one export. Raises ValueError if it is malformed."""
    records = [
        record
        for resource in _inner(codec.parse(body), "resourceLogs")
        for scope in _inner(resource, "scopeLogs")
        for record in _inner(scope, "logRecords")
    ]
    return [fact for record in records if (fact := _fact(_attributes(record))) is not None]


def _inner(value: Any, name: str) -> list[Any]:
    return told.listing(told.mapping(value, "export").get(name, []), name)


def _attributes(record: Any) -> dict[str, str | int | float]:
    """The attributes that are texts or numbers, which those of the facts are."""
    found: dict[str, str | int | float] = {}
    for item in _inner(record, "attributes"):
        attribute = told.mapping(item, "attribute")
        value = next(iter(told.mapping(attribute.get("value"), "value").values()), None)
        if isinstance(value, (str, int, float)):
            found[told.text(attribute.get("key"), "key")] = value
    return found


def _fact(found: dict[str, str | int | float]) -> WireFact | None:
    if found.get("query_source") != MAIN_SOURCE:
        return None
    request_id = told.any_text(found.get("request_id"))
    if found.get("event.name") == "api_request":
        return RequestDone(told.any_text(found.get("model")), _usage(found), request_id, _cost(found.get("cost_usd")))
    if found.get("event.name") == "api_error":
        return RequestFailed(_number(found.get("status_code")), told.any_text(found.get("error")), request_id)
    return None


def _usage(found: dict[str, str | int | float]) -> dict[str, Any]:
    return {
        "input_tokens": _number(found.get("input_tokens")),
        "output_tokens": _number(found.get("output_tokens")),
        "cache_read_input_tokens": _number(found.get("cache_read_tokens")),
        "cache_creation_input_tokens": _number(found.get("cache_creation_tokens")),
        "cache_creation": {
            "ephemeral_5m_input_tokens": _number(found.get("cache_creation_5m_tokens")),
            "ephemeral_1h_input_tokens": _number(found.get("cache_creation_1h_tokens")),
        },
    }


def _number(value: Any) -> int:
    """A count, which protobuf's JSON writes as a text; 0 for what is none."""
    text = str(value) if isinstance(value, (str, int)) else ""
    return int(text) if text.isdecimal() and len(text) <= DIGITS_MAX else 0


def _cost(value: Any) -> float:
    """Dollars; 0 for what is none."""
    try:
        found = float(value) if isinstance(value, (str, int, float)) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return found if 0 <= found <= COST_MAX_USD else 0.0
