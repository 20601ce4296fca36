"""Answers the small questions: models, counts, sessions, health, status, metrics. Pure.

It starts no call. Owned by `core/relay.py`, whose tables it reads; called by `core/http_api.py` and for dashboards.
"""

from __future__ import annotations

from typing import Any, assert_never

from relayd import __version__, codec
from relayd.anthropic import models
from relayd.anthropic.answer import JSON_TYPE
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core import response_api
from relayd.core.actions import Action, Headers
from relayd.core.conversations import Conversations
from relayd.core.encoder import OPENAI_REQUEST_ID
from relayd.core.reports import METRICS_TYPE
from relayd.core.status import Status
from relayd.core.token_counter import TokenCounter
from relayd.http import routes
from relayd.http.routes import Completion, Question

ESTIMATED = ("x-relayd-emulated", "input_tokens")


class AdminApi:
    """See the module's text."""

    def __init__(self, status: Status, counter: TokenCounter, conversations: Conversations) -> None:
        self._status = status
        self._counter = counter
        self._conversations = conversations

    def __repr__(self) -> str:
        return f"<AdminApi {self._status!r}>"

    def answer(self, event: ev.RequestArrived, question: Question, name: str, request_id: str, now: float) -> list[Action]:
        """The answer to a question. `name` is what its path names, if it does. Raises ApiError."""
        body, headers = self._answer(event, question, name, now)
        headers = [*headers, ("request-id", request_id)]
        headers += [(OPENAI_REQUEST_ID, request_id)] if question in routes.OPENAI else []
        return [do.Respond(event.client, 200, headers, body)]

    def _answer(self, event: ev.RequestArrived, question: Question, name: str, now: float) -> tuple[bytes, Headers]:
        match question:
            case Question.METRICS:
                return self._status.metrics(now), [("content-type", METRICS_TYPE)]
            case Question.USAGE:
                return _json(self._status.usage(now))
            case Question.COUNT:
                tokens = self._counter.count(event.request, Completion.MESSAGES, now)
                return _json({"input_tokens": tokens}, ESTIMATED)
            case Question.RESPONSE_COUNT:
                tokens = self._counter.count(event.request, Completion.RESPONSES, now)
                return _json({"object": "response.input_tokens", "input_tokens": tokens}, ESTIMATED)
            case Question.RESPONSE:
                return _json(response_api.response(self._conversations.responses, event.request, name, now))
            case Question.RESPONSE_INPUT:
                return _json(response_api.input_items(self._conversations.responses, event.request, name, now))
            case Question.HELLO:
                return _json({})
            case Question.MODELS:
                return _json(models.page(event.request.query))
            case Question.MODEL:
                return _json(models.model(self._status.model_meant(name)))
            case Question.HEALTH:
                return _json(self._status.health(now))
            case Question.STATUS:
                return _json(self._status.full(now))
            case Question.VERSION:
                return _json({"name": "relayd", "version": __version__})
            case Question.AVAILABILITY:
                return _json({"available": self._status.is_available})
            case Question.LICENSE | Question.LICENSE_REFRESH:
                return _json({"valid": True, "license": "MIT"})
            case Question.SESSIONS:
                return _json({"data": [self._conversations.describe(each, now) for each in self._conversations.names(now)]})
            case Question.SESSION:
                return _json(self._session(event.request.method, name, now))
            case unanswered:
                assert_never(unanswered)

    def _session(self, method: str, name: str, now: float) -> dict[str, Any]:
        if method == "DELETE":
            self._conversations.delete(name)
            return {"type": "session_deleted", "id": name}
        return self._conversations.describe(name, now)


def _json(value: dict[str, Any], *headers: tuple[str, str]) -> tuple[bytes, Headers]:
    return codec.dump(value), [("content-type", JSON_TYPE), *headers]
