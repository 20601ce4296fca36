"""The dashboards that look on: who may see, which terminal each watches, what is sent when. Pure.

A viewer gets the status every second and the bytes of the terminal it watches as they come. One that is slow
loses frames, not the daemon's time: when it has caught up it is told so and sees the terminal afresh.
A terminal shows everybody's calls, so that a named key does not open it: the token does.
Messages are JSON texts: `{"token": …}` first where there is a token, then `{"watch": slot or null}`.
Owned by `core/relay.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.session.record import Session
from relayd.core.timers import RelayDue, RelayTimer
from relayd.http.keys import Keys

TICK_S = 1.0
TOKEN_LIMIT_S = 120.0  # a person may have to look for it and type it; the page connects again by itself
TIMER = RelayTimer(RelayDue.VIEWERS)


@dataclass
class Viewer:
    """One page. `slot` is the process whose terminal it watches."""

    client: int
    admitted: bool
    since: float
    slot: str = ""
    has_calls: bool = False  # it was sent the earlier ones


class Viewers:
    """See the module's text."""

    def __init__(self, keys: Keys, sessions: Mapping[str, Session]) -> None:
        self._keys = keys
        self._sessions = sessions
        self._viewers: dict[int, Viewer] = {}

    def __repr__(self) -> str:
        return f"<Viewers {len(self._viewers)}>"

    def __bool__(self) -> bool:
        return bool(self._viewers)

    def opened(self, client: int, now: float) -> list[Action]:
        """A page has connected."""
        self._viewers[client] = Viewer(client, not self._keys, now)
        orders: list[Action] = [do.Upgrade(client), do.SetTimer(TIMER, now)]
        return orders if not self._keys else [*orders, _frame(client, {"type": "token"})]

    def told(self, client: int, text: str, now: float) -> list[Action]:
        """A page has sent a message. One that makes no sense ends the connection."""
        viewer = self._viewers.get(client)
        if viewer is None:
            return []
        try:
            value = codec.parse(text.encode("utf-8", "replace"))
            if "token" in value:
                return self._admit(viewer, str(value["token"]), now)
            if viewer.admitted:
                viewer.slot = str(value["watch"] or "")
                return self._terminal(viewer)
        except (ValueError, KeyError, TypeError):
            pass
        self.left(client)
        return [do.CloseClient(client)]

    def _admit(self, viewer: Viewer, token: str, now: float) -> list[Action]:
        if not self._keys.is_token(token):
            return [_frame(viewer.client, {"type": "token", "wrong": True})]
        viewer.admitted = True
        return [do.SetTimer(TIMER, now)]

    def left(self, client: int) -> None:
        """The page is gone."""
        self._viewers.pop(client, None)

    def output(self, slot: str, data: bytes) -> list[Action]:
        """A process has written to its terminal."""
        watching = [v.client for v in self._viewers.values() if v.slot == slot and v.admitted]
        if not watching:
            return []
        frame = {"type": "terminal", "slot": slot, "data": base64.b64encode(data).decode()}
        return [_frame(client, frame) for client in watching]

    def caught_up(self, client: int) -> list[Action]:
        """A slow page has taken everything that was waiting; what came meanwhile was dropped."""
        viewer = self._viewers.get(client)
        return [_frame(client, {"type": "dropped"}), *self._terminal(viewer)] if viewer else []

    def tick(self, status: dict[str, Any], earlier: Callable[[], list[dict[str, Any]]], now: float) -> list[Action]:
        """Time for everybody's status; for a page's first one with the calls that were `earlier`."""
        if not self._viewers:
            return []
        frame = {"type": "status"} | status
        admitted = [v.client for v in self._viewers.values() if v.admitted]
        late = [v.client for v in self._viewers.values() if not v.admitted and now - v.since > TOKEN_LIMIT_S]
        for client in late:
            self.left(client)
        new = [v for v in self._viewers.values() if v.admitted and not v.has_calls]
        orders: list[Action] = [*(_frame(client, frame) for client in admitted), *map(do.CloseClient, late)]
        for viewer in new:
            orders.append(_frame(viewer.client, {"type": "calls", "calls": earlier()}))
            viewer.has_calls = True
        return [*orders, do.SetTimer(TIMER, now + TICK_S)]

    def _terminal(self, viewer: Viewer) -> list[Action]:
        """The whole screen of the process that is watched."""
        session = self._sessions.get(viewer.slot)
        if session is None:
            return [_frame(viewer.client, {"type": "terminal", "slot": viewer.slot, "gone": True})] if viewer.slot else []
        screen = {"columns": session.screen.columns, "rows": session.screen.height}
        data = base64.b64encode(session.display.replay()).decode()
        return [_frame(viewer.client, {"type": "terminal", "slot": viewer.slot, "reset": True, "data": data} | screen)]


def _frame(client: int, value: dict[str, Any]) -> Action:
    return do.SendFrame(client, codec.dump(value).decode())
