"""Takes the requests that ask for an answer: decoded, admitted, or turned away with an error and a record. Pure.

Owned by `core/http_api.py`. It holds nothing itself: a call that must wait for an earlier one of its sticky session is
with the conversations, and comes back here when its turn has come or its patience has ended.
"""

from __future__ import annotations

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core import request_decoding
from relayd.core.actions import Action
from relayd.core.admission import Admission
from relayd.core.call_table import CallTable
from relayd.core.conversations import Conversations, Waiting
from relayd.core.entrance import Entrance
from relayd.errors import ApiError, overloaded
from relayd.faults import describe
from relayd.http.routes import Completion

RETRY_AFTER_S = 10


class CallIntake:
    """See the module's text."""

    def __init__(
        self,
        config: Config,
        calls: CallTable,
        conversations: Conversations,
        admission: Admission,
        entrance: Entrance,
    ) -> None:
        self._config = config
        self._calls = calls
        self._conversations = conversations
        self._admission = admission
        self._entrance = entrance
        self._away = entrance.away

    def __repr__(self) -> str:
        return f"<CallIntake {self._calls!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def ask(self, event: ev.RequestArrived, route: Completion, request_id: str, now: float) -> list[Action]:
        """A request for an answer has come."""
        client, key = event.client, self._admission.limits.key_of(event.request.headers)
        try:
            decoded = request_decoding.read(event.request, route, self._config, self._conversations.responses, now)
            profile = self._admission.limits.profile_of(key, event.request.headers)
            number, created = self._calls.next_number(), self._calls.unix_time(now)
            asked = Waiting(number, client, decoded, request_id, now, created, key, profile)
        except Exception as error:
            return self._away.request(client, error, request_id, route, now, key.name if key else "")
        return self._entrance.enter(asked, now)

    def refused(self, event: ev.RequestRefused, request_id: str, now: float) -> list[Action]:
        """A request for an answer was refused before it was complete."""
        route = event.route if isinstance(event.route, Completion) else Completion.MESSAGES
        return self._away.request(event.client, event.error, request_id, route, now)

    def take_ready(self, now: float) -> list[Action]:
        """Calls whose sticky session has come free."""
        orders: list[Action] = []
        while (asked := self._conversations.next_ready()) is not None:
            try:
                orders += self._admission.start(asked, now)
            except Exception as error:
                orders.append(do.CancelTimer(asked.timer))
                orders += self._away.call(asked, error, now)
        return orders

    def give_up_waiting(self, number: int, now: float) -> list[Action]:
        """A call has waited too long for the one before it in its sticky session."""
        asked = self._conversations.stop_waiting(number)
        if asked is None:
            return []
        error = overloaded("Overloaded: the calls before this one of its session have not ended in time", RETRY_AFTER_S)
        try:
            return self._away.call(asked, error, now)
        except Exception as bug:
            return _lost(asked, bug)

    def client_left(self, client: int) -> list[Action]:
        """A client has left; its call may be waiting."""
        self._entrance.client_left(client)
        asked = self._conversations.forget_client(client)
        return [do.CancelTimer(asked.timer)] if asked is not None else []

    def turn_away_waiting(self, error: ApiError, now: float) -> list[Action]:
        """The daemon ends: calls that still wait for a session get this error."""
        orders: list[Action] = []
        for asked in self._conversations.stop_all_waiting():
            orders.append(do.CancelTimer(asked.timer))
            try:
                orders += self._away.call(asked, error, now)
            except Exception as bug:
                orders += _lost(asked, bug)
        return orders


def _lost(asked: Waiting, bug: Exception) -> list[Action]:
    """It is in no list any more. The bug costs this client its error: its connection is closed instead."""
    return [do.Log("error", f"{asked.request_id} met a bug: {describe(bug)}"), do.CloseClient(asked.client)]
