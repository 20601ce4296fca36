"""Whole answers as orders: JSON, and errors in the shape that the client speaks. Pure."""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.anthropic import answer as answers
from relayd.anthropic.answer import JSON_TYPE
from relayd.core import actions as do
from relayd.core.encoder import OPENAI_REQUEST_ID
from relayd.errors import ApiError
from relayd.openai import encode


def new_request_id() -> str:
    """The id of a request, which its answer carries."""
    return answers.new_id("req_01")


def json_reply(client: int, body: bytes, request_id: str) -> do.Respond:
    """200 with a JSON body."""
    return do.Respond(client, 200, [("content-type", JSON_TYPE), ("request-id", request_id)], body)


def value_reply(client: int, value: dict[str, Any], request_id: str) -> do.Respond:
    """200 with a value as JSON."""
    return json_reply(client, codec.dump(value), request_id)


def error_reply(client: int, error: ApiError, request_id: str, is_openai: bool = False) -> do.Respond:
    """An error in the shape of the Messages API, or of OpenAI's."""
    body = encode.error_body(error, request_id) if is_openai else codec.dump(answers.error_json(error, request_id))
    headers = [("content-type", JSON_TYPE), ("request-id", request_id), *answers.error_headers(error)]
    headers += [(OPENAI_REQUEST_ID, request_id)] if is_openai else []
    return do.Respond(client, error.status, headers, body)
