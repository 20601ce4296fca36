"""What Claude Code sends to relayd over HTTP: hooks, pieces, telemetry, and what the client's tools are asked. Pure.

Each process has an address of its own with a secret in it, valid while its session exists. A hook is answered at once;
an MCP call may stay open until the client brings its result. Called by `core/http_api.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from relayd.claude import hooks, mcp, pieces, telemetry
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.driver import Driver
from relayd.core.pool import Pool
from relayd.core.replies import json_reply
from relayd.core.session import typed
from relayd.core.session.record import Session
from relayd.errors import ApiError, invalid


class Callbacks:
    """See the module's text. Each method raises ApiError for a wrong secret or body."""

    def __init__(self, pool: Pool, driver: Driver) -> None:
        self._pool = pool
        self._driver = driver

    def __repr__(self) -> str:
        return f"<Callbacks {self._pool!r}>"

    def hook(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """A hook. One that shows a prompt is answered with whether it may be sent."""
        session = self._session(secret)
        fact = _read("hooks", hooks.read, event.request.body)
        is_refused = isinstance(fact, hooks.Submitted) and not typed.admits(session, fact)
        reply: list[Action] = [json_reply(event.client, hooks.BLOCK if is_refused else hooks.PASS, request_id)]
        return reply + (self._driver.drive(session, ev.HookArrived(fact), now) if fact is not None else [])

    def pieces(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """Pieces of an answer. The mod is told if nobody wants more of this one."""
        session = self._session(secret)
        fact = _read("pieces", pieces.read, event.request.body)
        orders = self._driver.drive(session, ev.PiecesArrived(fact), now)
        return [json_reply(event.client, pieces.reply(_wants_more(session)), request_id), *orders]

    def telemetry(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """A telemetry export: what became of API requests."""
        session = self._session(secret)
        orders: list[Action] = [json_reply(event.client, hooks.PASS, request_id)]
        for fact in _read("telemetry", telemetry.read, event.request.body):
            orders += self._driver.drive(session, ev.WireArrived(fact), now)
        return orders

    def mcp(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """A message to the MCP server."""
        session = self._session(secret)
        match _read("mcp", mcp.read, event.request.body):
            case mcp.ToolCalled() as fact:
                return self._driver.drive(session, ev.ToolCalled(event.client, fact), now)
            case mcp.Notified():
                return [do.Respond(event.client, 202, [], b"")]
            case mcp.Asked() as fact if fact.method == mcp.LIST:
                return self._driver.drive(session, ev.ToolsAsked(event.client, fact), now)
            case fact:
                return [json_reply(event.client, mcp.answer(fact), request_id)]

    def _session(self, secret: str) -> Session:
        session = self._pool.by_secret.get(secret)
        if session is None:
            raise ApiError(404, "Not Found")
        return session


def _wants_more(session: Session) -> bool:
    """Whether pieces go on to be of use. A bug here costs those that would follow, not those whose orders are made."""
    try:
        return session.wants_pieces
    except Exception:
        return False


Fact = TypeVar("Fact")


def _read(name: str, reader: Callable[[bytes], Fact], body: bytes) -> Fact:
    try:
        return reader(body)
    except ValueError as error:
        raise invalid(f"{name}: {error}") from error
