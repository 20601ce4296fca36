"""A request as it was decoded, and the checked Messages request in it. Pure.

Made by `core/request_decoding.py`; checked when nothing comes before the call any more, since what is stored of its conversation
belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from relayd.anthropic import request as requests
from relayd.anthropic.request import Held, MessagesRequest
from relayd.claude import compose, launch
from relayd.config import Config
from relayd.core import original
from relayd.core.conversation_names import Name
from relayd.core.original import Original
from relayd.errors import ApiError, invalid
from relayd.http.messages import HttpRequest
from relayd.http.routes import Completion
from relayd.openai import decode, responses
from relayd.openai.responses import ResponsesRequest

COUNT_MAX_TOKENS = 1_000_000  # count_tokens has no max_tokens of its own
RENAMED = {Completion.CHAT: decode.renamed, Completion.RESPONSES: responses.renamed}  # how errors call the fields


@dataclass(frozen=True)
class DecodedRequest:
    """A request as it came: the Messages object in it, and what of its shape the answer must keep."""

    value: dict[str, Any]
    version: str
    name: Name | None = None
    route: Completion = Completion.MESSAGES
    asked: ResponsesRequest | None = None
    with_usage: bool = False
    is_legacy: bool = False
    ignored: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    inexact: tuple[str, ...] = ()
    original: Original | None = field(default=None, kw_only=True)  # as it came, if another API may get it

    def __repr__(self) -> str:
        return f"<DecodedRequest {self.name} {self.route.value}>"

    def sent(self, request: HttpRequest, body: bytes, model: Any) -> DecodedRequest:
        """The same, with the request as its client has sent it; `model` is what it names."""
        return replace(self, original=original.of(request, body, self.value, model))

    def request(self, held: Held, config: Config, profile: str = "") -> MessagesRequest:
        """The checked request of that profile. Raises ApiError."""
        try:
            return self._checked(held, config, profile)
        except ApiError as error:
            error.message = RENAMED[self.route](error.message) if self.route in RENAMED else error.message
            raise

    def _checked(self, held: Held, config: Config, profile: str) -> MessagesRequest:
        request = requests.parse(self.value, self.version, held)
        request = replace(
            request,
            ignored=(*request.ignored, *self.ignored),
            emulated=self.emulated,
            inexact=(*request.inexact, *self.inexact),
            profile=profile,
        )
        compose.check(request)
        launch.check(request)
        if config.strict and (request.ignored or request.inexact):
            raise invalid(f"{', '.join((*request.ignored, *request.inexact))}: cannot be honoured (strict is on)")
        return request

    def counted(self, held: Held) -> MessagesRequest:
        """The checked request of a count. Raises ApiError."""
        return requests.parse({"max_tokens": COUNT_MAX_TOKENS, **self.value}, self.version, held)
