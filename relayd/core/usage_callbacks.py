"""What Claude Code tells of its use: telemetry of its API requests, and what the plan's windows have left. Pure.

Owned by `core/callbacks.py`, which takes what it tells of a turn; called by `core/http_api.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from relayd.claude import hooks, plan, telemetry
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.engine import Engine
from relayd.core.pool import Pool
from relayd.core.replies import json_reply
from relayd.core.session.record import Session
from relayd.errors import ApiError, invalid


class UsageCallbacks:
    """See the module's text. Each method raises ApiError for a wrong secret or body."""

    def __init__(self, engine: Engine) -> None:
        self._pool, self._calls, self._driver = engine.pool, engine.calls, engine.driver
        self._plan = engine.limits.plan

    def __repr__(self) -> str:
        return f"<UsageCallbacks {self._plan!r}>"

    def telemetry(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """A telemetry export: what became of API requests."""
        session = session_of(self._pool, secret)
        orders: list[Action] = [json_reply(event.client, hooks.PASS, request_id)]
        for fact in parsed("telemetry", telemetry.read, event.request.body):
            if isinstance(fact, telemetry.RequestDone):
                orders += self._calls.cost(session.reported_call, fact.cost_usd)
            orders += self._driver.drive(session, ev.WireArrived(fact), now)
        return orders

    def plan(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """What is used of the login's limits. It is about the login, whichever process tells it."""
        session_of(self._pool, secret)
        windows = parsed("plan", plan.read, event.request.body)
        return [json_reply(event.client, hooks.PASS, request_id), *self._plan.told(windows, self._calls.unix_time(now))]


def session_of(pool: Pool, secret: str) -> Session:
    """The process that has this secret. Raises ApiError 404."""
    session = pool.by_secret.get(secret)
    if session is None:
        raise ApiError(404, "Not Found")
    return session


Fact = TypeVar("Fact")


def parsed(name: str, reader: Callable[[bytes], Fact], body: bytes) -> Fact:
    """What a body tells. Raises ApiError 400 if it is malformed."""
    try:
        return reader(body)
    except ValueError as error:
        raise invalid(f"{name}: {error}") from error
