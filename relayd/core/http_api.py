"""Answers HTTP requests: who may ask, which route it is, and which part of the core takes it. Pure.

Owned by `core/relay.py`. Calls go to the intake, Claude Code's own requests to the callbacks, small questions to the
admin API, pages to the dashboard's files; what goes wrong on the way becomes an error in the client's shape. A new
endpoint is a member and a line in `http/routes.py`; mypy then names the `match` that lacks its case.
"""

from __future__ import annotations

from typing import assert_never

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.admin_api import AdminApi
from relayd.core.call_intake import CallIntake
from relayd.core.callbacks import Callbacks
from relayd.core.pages import Pages
from relayd.core.replies import error_reply, new_request_id
from relayd.core.stored_api import StoredApi
from relayd.errors import ApiError, internal
from relayd.faults import describe
from relayd.http import access, routes
from relayd.http.routes import BatchRoute, Callback, Completion, FileRoute, Page, Question


class HttpApi:
    """See the module's text."""

    def __init__(
        self,
        intake: CallIntake,
        callbacks: Callbacks,
        admin: AdminApi,
        pages: Pages,
        stored: StoredApi,
    ) -> None:
        self._intake = intake
        self._callbacks = callbacks
        self._admin = admin
        self._pages = pages
        self._stored = stored
        self._page_origins: dict[int, str] = {}  # connections of web pages that may use the daemon, with their origins

    def __repr__(self) -> str:
        return f"<HttpApi pages={len(self._page_origins)}>"

    def answer(self, event: ev.RequestArrived, now: float) -> list[Action]:
        """A complete request has come, which `http/access.py` has admitted."""
        request_id = new_request_id()
        try:
            return self._route(event, request_id, now)
        except ApiError as error:
            return [error_reply(event.client, error, request_id, routes.speaks_openai(event.request.path))]
        except Exception as error:
            log = do.Log("error", f"{request_id} met a bug: {describe(error)}")
            error = internal("Internal server error")
            return [log, error_reply(event.client, error, request_id, routes.speaks_openai(event.request.path))]

    def _route(self, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        self._note_page(event.client, event.origin)
        request = event.request
        if request.method == "OPTIONS":
            return [do.Respond(event.client, 204, [("request-id", request_id)], b"")]
        found = routes.match(request.method, request.path)
        match found.route:
            case Completion() as route:
                return self._intake.ask(event, route, request_id, now)
            case Callback() as route:
                return self._callback(route, found.secret, event, request_id, now)
            case Page() as route:
                return self._page(route, found.argument, event, request_id, now)
            case Question() as route:
                return self._admin.answer(event, route, found.argument, request_id, now)
            case FileRoute() | BatchRoute() as route:
                return self._stored.answer(event, route, found.argument, request_id, now)
            case unanswered:
                assert_never(unanswered)

    def _callback(self, route: Callback, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        match route:
            case Callback.HOOKS:
                return self._callbacks.hook(secret, event, request_id, now)
            case Callback.PIECES:
                return self._callbacks.pieces(secret, event, request_id, now)
            case Callback.PLAN:
                return self._callbacks.usage.plan(secret, event, request_id, now)
            case Callback.TELEMETRY:
                return self._callbacks.usage.telemetry(secret, event, request_id, now)
            case Callback.MCP:
                return self._callbacks.mcp(secret, event, request_id, now)
            case unanswered:
                assert_never(unanswered)

    def _page(self, route: Page, name: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        match route:
            case Page.DASHBOARD:
                return self._pages.file(event.client, name, request_id)
            case Page.DOCS:
                return self._pages.file(event.client, f"manual:{name}", request_id)
            case Page.LIVE:
                return self._pages.live(event, now)
            case unanswered:
                assert_never(unanswered)

    def refuse(self, event: ev.RequestRefused, now: float) -> list[Action]:
        """A request was refused on its head, or its framing was wrong."""
        self._note_page(event.client, event.origin)
        if isinstance(event.route, Completion):
            return self._intake.refused(event, new_request_id(), now)
        return [error_reply(event.client, event.error, new_request_id(), event.route in routes.OPENAI)]

    def _note_page(self, client: int, origin: str) -> None:
        """Remember which page's request the connection carries now."""
        if origin:
            self._page_origins[client] = origin
        elif self._page_origins:
            self._page_origins.pop(client, None)

    def client_left(self, client: int) -> None:
        """A connection has ended."""
        self._page_origins.pop(client, None)

    def mark_pages(self, orders: list[Action]) -> None:
        """Answers to a web page's requests say that the page may read them."""
        for order in orders if self._page_origins else ():
            if isinstance(order, (do.Respond, do.StartStream)) and order.client in self._page_origins:
                order.headers.extend(access.page_headers(self._page_origins[order.client]))
