"""What Claude Code sends to relayd over HTTP: hooks, pieces, and what the client's tools are asked. Pure.

Each process has an address of its own with a secret in it, valid while its session exists. A hook is answered at once;
an MCP call may stay open until the client brings its result. What it tells of its use is in
`core/usage_callbacks.py`. Called by `core/http_api.py`.
"""

from __future__ import annotations

from relayd.claude import hooks, mcp, mod, pieces
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.engine import Engine
from relayd.core.replies import json_reply
from relayd.core.session import typed
from relayd.core.usage_callbacks import UsageCallbacks, parsed, session_of


class Callbacks:
    """See the module's text. Each method raises ApiError for a wrong secret or body."""

    def __init__(self, engine: Engine) -> None:
        self.usage = UsageCallbacks(engine)
        self._pool = engine.pool
        self._driver = engine.driver

    def __repr__(self) -> str:
        return f"<Callbacks {self._pool!r}>"

    def hook(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """A hook. One that shows a prompt is answered with whether it may be sent. The session hears of it after what Claude Code
        had told of its requests before: the texts and the ends of two answers look alike.
        """
        session = session_of(self._pool, secret)
        fact = parsed("hooks", hooks.read, event.request.body)
        is_refused = isinstance(fact, hooks.Submitted) and not typed.admits(session, fact)
        reply: list[Action] = [json_reply(event.client, hooks.BLOCK if is_refused else hooks.PASS, request_id)]
        return [*reply, do.ReadBodies(session.slot, ev.HookArrived(session.slot, fact))] if fact is not None else reply

    def pieces(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """Pieces of an answer. The mod is told if nobody wants more of this one."""
        session = session_of(self._pool, secret)
        fact = parsed("pieces", pieces.read, event.request.body)
        orders = self._driver.drive(session, ev.PiecesArrived(fact), now)
        try:
            reply = json_reply(event.client, pieces.reply(session.wants_pieces), request_id)
        except Exception:  # a bug here costs the pieces that would follow, not those whose orders are made
            reply = json_reply(event.client, mod.STOP, request_id)
        return [reply, *orders]

    def mcp(self, secret: str, event: ev.RequestArrived, request_id: str, now: float) -> list[Action]:
        """A message to the MCP server."""
        session = session_of(self._pool, secret)
        match parsed("mcp", mcp.read, event.request.body):
            case mcp.ToolCalled() as fact:
                return self._driver.drive(session, ev.ToolCalled(event.client, fact), now)
            case mcp.Notified():
                return [do.Respond(event.client, 202, [], b"")]
            case mcp.Asked() as fact if fact.method == mcp.LIST:
                return self._driver.drive(session, ev.ToolsAsked(event.client, fact), now)
            case fact:
                return [json_reply(event.client, mcp.answer(fact), request_id)]
