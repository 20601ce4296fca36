"""Answers the small questions: models, counts, sessions, health, status, metrics. Pure.

It starts no call. Owned by `core/relay.py`, whose tables it reads; called by `core/http_api.py` and for dashboards.
"""

from __future__ import annotations

from typing import Any

from relayd import __version__, codec
from relayd.anthropic import models
from relayd.anthropic.answer import JSON_TYPE
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action, Headers
from relayd.core.conversations import Conversations
from relayd.core.reports import METRICS_TYPE
from relayd.core.status import Status
from relayd.core.token_counter import TokenCounter
from relayd.errors import ApiError
from relayd.http import routes


class AdminApi:
    """See the module's text."""

    def __init__(self, status: Status, counter: TokenCounter, conversations: Conversations) -> None:
        self._status = status
        self._counter = counter
        self._conversations = conversations

    def __repr__(self) -> str:
        return f"<AdminApi {self._status!r}>"

    def answer(self, event: ev.RequestArrived, route: routes.Route, request_id: str, now: float) -> list[Action]:
        """The answer to a question. Raises ApiError."""
        if route.name == "metrics":
            return [_reply(event.client, request_id, self._status.metrics(now), METRICS_TYPE)]
        if route.name == "count":
            tokens = codec.dump({"input_tokens": self._counter.count(event.request, now)})
            return [_reply(event.client, request_id, tokens, JSON_TYPE, [("x-relayd-emulated", "input_tokens")])]
        value = self._value(event, route, now)
        return [_reply(event.client, request_id, codec.dump(value), JSON_TYPE)]

    def _value(self, event: ev.RequestArrived, route: routes.Route, now: float) -> dict[str, Any]:
        match route.name:
            case "hello":
                return {}
            case "models":
                return models.page(event.request.query)
            case "model":
                return models.model(route.argument)
            case "health":
                return self._status.health(now)
            case "status":
                return self._status.full(now)
            case "version":
                return {"name": "relayd", "version": __version__}
            case "availability":
                return {"available": self._status.is_available}
            case "license" | "license_refresh":
                return {"valid": True, "license": "MIT"}
            case "sessions":
                return {"data": [self._conversations.describe(name, now) for name in self._conversations.names(now)]}
            case "session":
                return self._session(event.request.method, route.argument, now)
            case _:
                raise ApiError(404, "Not Found")

    def _session(self, method: str, name: str, now: float) -> dict[str, Any]:
        if method == "DELETE":
            self._conversations.delete(name)
            return {"type": "session_deleted", "id": name}
        return self._conversations.describe(name, now)


def _reply(client: int, request_id: str, body: bytes, kind: str, more: Headers | None = None) -> Action:
    return do.Respond(client, 200, [("content-type", kind), ("request-id", request_id), *(more or [])], body)
