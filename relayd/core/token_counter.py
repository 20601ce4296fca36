"""Answers `count_tokens`: the request is checked like a call, and its tokens are estimated. Pure.

Called by `core/admin_api.py`.
"""

from __future__ import annotations

from relayd.config import Config
from relayd.core import request_decoding
from relayd.core.conversations import Conversations
from relayd.core.token_estimate import TokenEstimate
from relayd.http.messages import HttpRequest
from relayd.http.routes import Completion


class TokenCounter:
    """See the module's text."""

    def __init__(self, config: Config, conversations: Conversations, estimate: TokenEstimate) -> None:
        self._config = config
        self._conversations = conversations
        self._estimate = estimate

    def __repr__(self) -> str:
        return f"<TokenCounter {self._estimate!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def count(self, request: HttpRequest, route: Completion, now: float) -> int:
        """About how many input tokens the API would count for a request of this shape. Raises ApiError."""
        decoded = request_decoding.read(request, route, self._config, self._conversations.responses, now)
        held = self._conversations.held(decoded.name, now)
        return self._estimate.of(decoded.counted(held))
