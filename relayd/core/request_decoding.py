"""What a client asks for: an HTTP request to a checked Messages request, whatever its shape. Pure.

Called by `core/http_api.py`. Everything that is refused here was refused before a process was touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from relayd.anthropic import answer as answers
from relayd.anthropic import request as requests
from relayd.anthropic.request import Held, MessagesRequest
from relayd.anthropic.sse import StreamEncoder
from relayd.claude import compose
from relayd.config import Config
from relayd.core import conversation_names
from relayd.core.conversation_names import Name
from relayd.core.encoder import Encoder
from relayd.errors import invalid
from relayd.http import encoding
from relayd.http.messages import HttpRequest
from relayd.openai import decode
from relayd.openai.encode import ChatEncoder

COUNT_MAX_TOKENS = 1_000_000  # count_tokens has no max_tokens of its own


@dataclass(frozen=True)
class DecodedRequest:
    """A request as it came: the Messages object in it, and what of its shape the answer must keep."""

    value: dict[str, Any]
    version: str
    name: Name | None = None
    is_chat: bool = False
    with_usage: bool = False
    ignored: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<DecodedRequest {self.name} chat={self.is_chat}>"

    def request(self, held: Held, config: Config) -> MessagesRequest:
        """The checked request. Raises ApiError."""
        request = requests.parse(self.value, self.version, held)
        request = replace(request, ignored=(*request.ignored, *self.ignored), emulated=self.emulated)
        compose.check(request)
        if config.strict and request.ignored:
            raise invalid(f"{', '.join(request.ignored)}: cannot be honoured (strict is on)")
        return request

    def encoder(self, request: MessagesRequest, created: int) -> Encoder:
        """What will write the answer. `created` is unix seconds."""
        message_id = answers.new_id("msg_01")
        if self.is_chat:
            return ChatEncoder(message_id, request.model, created, self.with_usage)
        return StreamEncoder(message_id, request.model)


def read(request: HttpRequest, is_chat: bool, config: Config) -> DecodedRequest:
    """What a POST asks for. Raises ApiError."""
    body = request.body
    if "content-encoding" in request.headers:
        body = encoding.decoded(body, request.headers["content-encoding"], config.body_max_bytes)
    value = requests.document(body)
    name = conversation_names.name_of(request.headers, value)
    if is_chat:
        options = value.get("stream_options")
        with_usage = isinstance(options, dict) and options.get("include_usage") is True
        ignored = requests.told(decode.ignored(value))
        emulated = ("response_format",) if decode.is_emulated(value) else ()
        return DecodedRequest(decode.to_messages(value), requests.VERSION_OLD, name, True, with_usage, ignored, emulated)
    return DecodedRequest(value, request.headers.get("anthropic-version", requests.VERSION_OLD), name)


def counted(asked: DecodedRequest, held: Held, config: Config) -> MessagesRequest:
    """The checked request of a count."""
    return requests.parse({"max_tokens": COUNT_MAX_TOKENS, **asked.value}, asked.version, held)
