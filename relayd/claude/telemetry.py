"""Claude Code's telemetry (OTLP logs as JSON) to facts about its API requests. Pure.

It is the quickest exact source of usage (the transcript lags by 0.1 s) and the only one of an API
error's status and own text. Side requests (titles and the like) are told apart by `query_source`.
Called by `core/relay.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd import codec

MAIN_SOURCE = "repl_main_thread"


@dataclass(frozen=True)
class RequestDone:
    """An API request of the conversation has succeeded, with the API's counts."""

    model: str
    usage: dict[str, Any]
    request_id: str


@dataclass(frozen=True)
class RequestFailed:
    """An API request of the conversation has failed; status 0 if there was no HTTP answer."""

    status: int
    message: str
    request_id: str


WireFact = RequestDone | RequestFailed


def read(body: bytes) -> list[WireFact]:
    """The facts in one export. Raises ValueError if it is malformed."""
    value = codec.parse(body)
    try:
        records = [
            record
            for resource in value.get("resourceLogs", [])
            for scope in resource.get("scopeLogs", [])
            for record in scope.get("logRecords", [])
        ]
        return [fact for record in records if (fact := _fact(_attributes(record))) is not None]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"telemetry without {error}") from error


def _attributes(record: dict[str, Any]) -> dict[str, Any]:
    return {a["key"]: next(iter(a["value"].values()), None) for a in record.get("attributes", [])}


def _fact(found: dict[str, Any]) -> WireFact | None:
    if found.get("query_source") != MAIN_SOURCE:
        return None
    request_id = str(found.get("request_id") or "")
    if found.get("event.name") == "api_request":
        return RequestDone(str(found.get("model") or ""), _usage(found), request_id)
    if found.get("event.name") == "api_error":
        return RequestFailed(_number(found.get("status_code")), str(found.get("error") or ""), request_id)
    return None


def _usage(found: dict[str, Any]) -> dict[str, Any]:
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
    text = str(value)
    return int(text) if text.isdecimal() else 0
