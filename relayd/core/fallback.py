"""Lets another API answer a call that Claude Code cannot answer, before any byte of an answer was sent. Pure.

`fallback_reasons.py` says which failures count. A call whose turn is parked in a process is never taken while that process
lives, nor one whose conversation is stored here and not whole in its request. What the other side answers goes through
`forwarded.py`; if nothing comes of it, the client gets Claude Code's own error with a word on the fallback.
Owned by `core/engine.py`; asked by `core/delivery.py` and `core/admission.py`, told by `core/relay.py`.
"""

from __future__ import annotations

import dataclasses
from typing import assert_never

from relayd.anthropic.answer import JSON_TYPE, SSE_TYPE
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import fallback_reasons, runtime_events
from relayd.core.actions import Action, Headers
from relayd.core.call import Call, Road, Stage
from relayd.core.call_table import CallTable
from relayd.core.forwarded import Forwarded, Unusable
from relayd.core.original import Original
from relayd.core.runtime_events import UpstreamFact
from relayd.core.timers import CallDue, CallTimer
from relayd.errors import ApiError

ANSWERED_BY = ("x-relayd-answered-by", "fallback")
FORWARDS_MAX = 32  # at the same time; a whole answer of each may have to be kept


class Fallback:
    """See the module's text."""

    def __init__(self, config: Config, calls: CallTable) -> None:
        self._config = config
        self._calls = calls

    def __repr__(self) -> str:
        return f"<Fallback forwarded={self._calls.forwarded}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def may_answer(self, original: Original | None, error: ApiError) -> bool:
        """True if a request that Claude Code has failed with this error may be answered elsewhere."""
        is_there = bool(self._config.fallback_url) and original is not None and not self._calls.is_closed
        return is_there and fallback_reasons.reason(error) is not None and self._calls.forwarded < FORWARDS_MAX

    def may_take(self, call: Call, error: ApiError, is_lost: bool) -> bool:
        """The same of a call whose process has failed; a parked turn's own process must be lost."""
        is_unsent = call.stage in (Stage.QUEUED, Stage.HELD) and call.forwarded is None
        is_free = call.road is not Road.PARKED or is_lost
        return is_unsent and is_free and self.may_answer(self._calls.originals.get(call.number), error)

    def take(self, call: Call, error: ApiError, now: float) -> list[Action]:
        """Ask the other side. The caller has asked whether it may."""
        original = self._calls.originals.pop(call.number)
        body = original.body_for(self._config.fallback_models)
        orders = call.forward(Forwarded(call.request.stream, error))
        reason = fallback_reasons.reason(error)
        facts = {"id": call.request_id, "reason": reason.value if reason else ""}
        return [
            *orders,
            do.Log("info", "the fallback is asked", facts),
            do.Forward(call.number, call.client, original.target, original.passed_headers(), body),
            self._limit(call, now),
        ]

    def told(self, fact: UpstreamFact, now: float) -> list[Action]:
        """Something has come of the other side, for a call that may have ended meanwhile."""
        call = self._calls.by_number.get(fact.call)
        if call is None or call.forwarded is None:
            return []
        try:
            orders = self._take(call, call.forwarded, fact, now)
        except Unusable as found:
            orders = self._give_up(call, call.forwarded, str(found), now)
        except ApiError as error:
            error.headers = dict((ANSWERED_BY,))
            orders = call.fail(error, now)
        return self._settle(call, orders, now)

    def silent(self, call: Call, now: float) -> list[Action]:
        """The other side has sent nothing for too long."""
        if call.forwarded is None:
            return []
        return self._settle(call, self._give_up(call, call.forwarded, "it took too long (turn_limit_s)", now), now)

    def _settle(self, call: Call, orders: list[Action], now: float) -> list[Action]:
        return orders + (self._calls.answered(call, now) if call.stage is Stage.DONE else [])

    def _take(self, call: Call, forwarded: Forwarded, fact: UpstreamFact, now: float) -> list[Action]:
        match fact:
            case runtime_events.UpstreamAnswered(_, status, headers):
                forwarded.head(status, headers)
                return []
            case runtime_events.UpstreamSent(_, data):
                return self._sent(call, forwarded, data, now)
            case runtime_events.UpstreamEnded():
                found = forwarded.whole()
                return call.pass_whole(found.body, found.answer, _headers(call, JSON_TYPE, now), now)
            case runtime_events.UpstreamFailed(_, reason):
                raise Unusable(reason)
            case _:
                assert_never(fact)

    def _sent(self, call: Call, forwarded: Forwarded, data: bytes, now: float) -> list[Action]:
        shown = forwarded.data(data)
        if not shown:
            return []
        headers = [*_headers(call, SSE_TYPE, now), ("cache-control", "no-cache")] if call.stage is not Stage.STREAMING else []
        orders = call.pass_on(shown, headers, now)
        if not forwarded.is_over:
            return [*orders, self._limit(call, now)]
        return orders + call.pass_end(forwarded.answer(), forwarded.error)

    def _give_up(self, call: Call, forwarded: Forwarded, reason: str, now: float) -> list[Action]:
        """Nothing comes of it: Claude Code's own error, or the end of a stream that has begun."""
        log = do.Log("warning", "the fallback gave no answer", {"id": call.request_id, "reason": reason})
        if call.stage is Stage.STREAMING:
            return [log, *call.fail(ApiError(502, f"the fallback did not finish its answer: {reason}"), now)]
        first = forwarded.original
        message = f"{first.message} (the fallback gave no answer either: {reason})"
        return [log, *call.not_forwarded(dataclasses.replace(first, message=message), now)]

    def _limit(self, call: Call, now: float) -> Action:
        return do.SetTimer(CallTimer(call.number, CallDue.FALLBACK), now + self._config.turn_limit_s)


def _headers(call: Call, content_type: str, now: float) -> Headers:
    return [*call.basic_headers(content_type, now), ANSWERED_BY]
