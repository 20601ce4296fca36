"""What a client asks for: an HTTP request to a checked Messages request, whatever its shape. Pure.

Called by `core/call_intake.py`. Everything that is refused here was refused before a process was touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from relayd.anthropic import edge
from relayd.anthropic import request as requests
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude import compose, launch
from relayd.config import Config
from relayd.core import conversation_names
from relayd.core.conversation_names import Name
from relayd.errors import ApiError, invalid
from relayd.http import encoding
from relayd.http.messages import HttpRequest
from relayd.openai import decode

COUNT_MAX_TOKENS = 1_000_000  # count_tokens has no max_tokens of its own


@dataclass(frozen=True)
class DecodedRequest:
    """A request as it came: the Messages object in it, and what of its shape the answer must keep."""

    value: dict[str, Any]
    version: str
    name: Name | None = None
    is_chat: bool = False
    with_usage: bool = False
    is_legacy: bool = False
    ignored: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    inexact: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<DecodedRequest {self.name} chat={self.is_chat}>"

    def request(self, held: Held, config: Config) -> MessagesRequest:
        """The checked request. Raises ApiError."""
        try:
            return self._checked(held, config)
        except ApiError as error:
            error.message = decode.renamed(error.message) if self.is_chat else error.message
            raise

    def _checked(self, held: Held, config: Config) -> MessagesRequest:
        request = requests.parse(self.value, self.version, held)
        request = replace(
            request,
            ignored=(*request.ignored, *self.ignored),
            emulated=self.emulated,
            inexact=(*request.inexact, *self.inexact),
        )
        compose.check(request)
        launch.check(request)
        if config.strict and (request.ignored or request.inexact):
            raise invalid(f"{', '.join((*request.ignored, *request.inexact))}: cannot be honoured (strict is on)")
        return request


def read(request: HttpRequest, is_chat: bool, config: Config) -> DecodedRequest:
    """What a POST asks for. Raises ApiError."""
    body = request.body
    if "content-encoding" in request.headers:
        body = encoding.decoded(body, request.headers["content-encoding"], config.body_max_bytes)
    value = requests.document(body)
    name = conversation_names.name_of(request.headers, value)
    if is_chat:
        found = decode.translate(value)
        told = map(edge.header_names, (found.ignored, found.emulated, found.inexact))
        return DecodedRequest(found.value, requests.VERSION_OLD, name, True, found.with_usage, found.is_legacy, *told)
    return DecodedRequest(value, request.headers.get("anthropic-version", requests.VERSION_OLD), name)


def counted(asked: DecodedRequest, held: Held, config: Config) -> MessagesRequest:
    """The checked request of a count."""
    return requests.parse({"max_tokens": COUNT_MAX_TOKENS, **asked.value}, asked.version, held)
