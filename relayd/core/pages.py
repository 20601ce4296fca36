"""The dashboard: its files, and its WebSocket's beginning. Pure. Called by `core/http_api.py`."""

from __future__ import annotations

from collections.abc import Mapping

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session.record import Session
from relayd.core.viewers import Viewers
from relayd.errors import ApiError
from relayd.http import access, websocket
from relayd.http.keys import Keys


class Pages:
    """`assets` are content type and bytes by name; the page itself has none. `viewers` are the dashboards that look on."""

    def __init__(self, assets: Mapping[str, tuple[str, bytes]], keys: Keys, sessions: Mapping[str, Session]) -> None:
        self.viewers = Viewers(keys, sessions)
        self._assets = assets

    def __repr__(self) -> str:
        return f"<Pages {len(self._assets)}>"

    def file(self, client: int, name: str, request_id: str) -> list[Action]:
        """One file. Raises ApiError 404."""
        if name not in self._assets:
            raise ApiError(404, "Not Found")
        kind, data = self._assets[name]
        headers = [("content-type", kind), ("request-id", request_id), ("cache-control", "no-cache"), *access.PAGE_POLICY]
        return [do.Respond(client, 200, headers, data)]

    def live(self, event: ev.RequestArrived, now: float) -> list[Action]:
        """A dashboard connects. Raises ApiError 400 for a request that is no upgrade."""
        if not websocket.is_upgrade(event.request.headers):
            raise ApiError(400, "this path is for WebSockets")
        return self.viewers.opened(event.client, now)
