"""What a client asks for: an HTTP request to a decoded one, whatever its shape. Pure.

Called by `core/call_intake.py`, `core/token_counter.py` and `core/stored_api.py`. Everything that is refused here was
refused before a process was touched.
"""

from __future__ import annotations

from typing import Any

from relayd import aliases
from relayd.anthropic import edge
from relayd.anthropic import request as requests
from relayd.config import Config
from relayd.core import conversation_names
from relayd.core.decoded_request import DecodedRequest
from relayd.core.stored_responses import StoredResponses
from relayd.http import encoding
from relayd.http.messages import HttpRequest
from relayd.http.routes import Completion
from relayd.openai import decode, responses


def read(request: HttpRequest, route: Completion, config: Config, stored: StoredResponses, now: float) -> DecodedRequest:
    """What a POST asks for, in the shape of its route. Raises ApiError."""
    body = content(request, config)
    document = requests.document(body)
    value = aliases.applied(document, config.model_aliases, config.default_model)
    if route is Completion.RESPONSES:
        return _response(request, value, stored, now)
    name = conversation_names.name_of(request.headers, value)
    if route is Completion.CHAT:
        found = decode.translate(value)
        told = map(edge.header_names, (found.ignored, found.emulated, found.inexact))
        return DecodedRequest(found.value, requests.VERSION_OLD, name, route, None, found.with_usage, found.is_legacy, *told)
    version = request.headers.get("anthropic-version", requests.VERSION_OLD)
    decoded = DecodedRequest(value, version, name)
    return decoded.sent(request, body, document.get("model")) if config.fallback_url and name is None else decoded


def document(request: HttpRequest, config: Config) -> dict[str, Any]:
    """The JSON object that a request brings. Raises ApiError."""
    return requests.document(content(request, config))


def content(request: HttpRequest, config: Config) -> bytes:
    """The body of a request as it was before it was encoded. Raises ApiError."""
    if "content-encoding" not in request.headers:
        return request.body
    return encoding.decoded(request.body, request.headers["content-encoding"], config.body_max_bytes)


def _response(request: HttpRequest, value: dict[str, Any], stored: StoredResponses, now: float) -> DecodedRequest:
    """The same for `POST /v1/responses`, with what came before it."""
    previous = responses.previous_id(value)
    name = conversation_names.name_beside(request.headers, previous)
    found = responses.translate(value, stored.before(previous, now))
    ignored, emulated, inexact = map(edge.header_names, (found.ignored, found.emulated, found.inexact))
    version, route = requests.VERSION_OLD, Completion.RESPONSES
    return DecodedRequest(found.value, version, name, route, found.asked, False, False, ignored, emulated, inexact)
