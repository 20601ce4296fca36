"""Which encoder writes the answer of a request. Pure; called by `core/admission.py`."""

from __future__ import annotations

from relayd.anthropic.answer import new_id
from relayd.anthropic.request import MessagesRequest
from relayd.anthropic.sse import StreamEncoder
from relayd.core.decoded_request import DecodedRequest
from relayd.core.encoder import Encoder
from relayd.http.routes import Completion
from relayd.openai.encode import ChatEncoder
from relayd.openai.response_encode import ResponseEncoder


def encoder_for(decoded: DecodedRequest, request: MessagesRequest, created: int) -> Encoder:
    """The encoder of the client's shape. `created` is unix seconds."""
    message_id = new_id("msg_01")
    if decoded.asked is not None:
        return ResponseEncoder(message_id, request.model, created, decoded.asked)
    if decoded.route is Completion.CHAT:
        return ChatEncoder(message_id, request.model, created, decoded.with_usage, decoded.is_legacy)
    return StreamEncoder(message_id, request.model)
