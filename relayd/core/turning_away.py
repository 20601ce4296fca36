"""Ends requests for an answer with an error, before or after they became calls: the client's own error, or ours for a bug. Pure.

Made by `core/entrance.py`; used there and by `core/call_intake.py`. Nothing here raises.
"""

from __future__ import annotations

from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.call_table import CallTable
from relayd.core.conversations import Waiting
from relayd.core.driver import Driver
from relayd.core.replies import error_reply
from relayd.errors import ApiError, internal
from relayd.faults import describe
from relayd.http import routes
from relayd.http.routes import Completion


class TurningAway:
    """See the module's text."""

    def __init__(self, calls: CallTable, driver: Driver) -> None:
        self._calls = calls
        self._driver = driver

    def __repr__(self) -> str:
        return f"<TurningAway {self._calls!r}>"

    def call(self, asked: Waiting, error: Exception, now: float) -> list[Action]:
        """End a request that was decoded."""
        return self.request(asked.client, error, asked.request_id, asked.decoded.route, now, asked.key_name)

    def request(
        self, client: int, error: Exception, request_id: str, route: Completion, now: float, key: str = ""
    ) -> list[Action]:
        """End a request with an error: the client's own, or one of ours for a bug. Never raises."""
        call = self._calls.by_client.get(client)
        if call is not None:  # it was admitted, and a bug came after that
            return self._driver.fail_call(call, error, now)
        orders: list[Action] = []
        if not isinstance(error, ApiError):
            orders.append(do.Log("error", f"{request_id} met a bug: {describe(error)}"))
            error = internal("Internal server error")
        try:
            orders.append(error_reply(client, error, request_id, route in routes.OPENAI))
        except Exception as second:
            orders += [do.Log("error", f"{request_id} met a bug: {describe(second)}"), do.CloseClient(client)]
        try:
            return orders + self._calls.refused(request_id, route.value, error, now, key)
        except Exception as second:
            return [*orders, do.Log("error", f"{request_id} could not be written down: {describe(second)}")]
