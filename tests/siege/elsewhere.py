"""Another API in the simulated world: what the runtime would tell of its answer. The last word of a call says what it does."""

from __future__ import annotations

import json
from typing import Any

from relayd.core import actions as do
from relayd.core import events as ev
from tests.other_side import events, message

SAYS = "from elsewhere"
JSON = {"content-type": "application/json", "retry-after": "3"}
SSE = {"content-type": "text/event-stream"}


def facts(order: do.Forward) -> list[ev.UpstreamFact]:
    """What comes, in order; nothing of one that is silent."""
    request = json.loads(order.body)
    word = str(request["messages"][-1]["content"]).split()[-1]
    call, is_stream = order.call, bool(request.get("stream"))
    if word == "silent":
        return []
    if word == "down":
        return [ev.UpstreamFailed(call, "it could not be reached")]
    if word == "refuses":
        return _whole(call, {"type": "error", "error": {"type": "not_found_error", "message": "no such model"}}, 404)
    if word == "wrong":
        return _whole(call, ["no message"])
    if not is_stream:
        return _whole(call, message(SAYS))
    pieces = [piece.replace(b"elsewhere ", b"elsewhere") for piece in events(SAYS)]
    sent: list[ev.UpstreamFact] = [ev.UpstreamSent(call, piece) for piece in pieces]
    if word == "breaks":
        sent = [*sent[:4], ev.UpstreamFailed(call, "it broke off")]
    if word == "errs":
        data = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "later"}}\n\n'
        sent = [ev.UpstreamSent(call, data)]
    return [ev.UpstreamAnswered(call, 200, SSE), *sent, ev.UpstreamEnded(call)]


def _whole(call: int, value: Any, status: int = 200) -> list[ev.UpstreamFact]:
    body = json.dumps(value).encode()
    parts = [ev.UpstreamSent(call, body[:9]), ev.UpstreamSent(call, body[9:])]
    return [ev.UpstreamAnswered(call, status, JSON), *parts, ev.UpstreamEnded(call)]
