"""What is kept of a call that has ended: counted in the journal, recorded in a file, logged. Metadata only. Pure.

Used by `core/call_table.py` alone, so that each call is written down once.
"""

from __future__ import annotations

from relayd import codec
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.call import Call
from relayd.core.journal import CLIENT_LEFT, CallRecord, Journal, tokens_of
from relayd.errors import ApiError


def record_of(call: Call, unix: float, now: float) -> CallRecord:
    """What is kept of a call that has ended. `unix` is the time of its arrival in Unix seconds."""
    answer = call.answer
    return CallRecord(
        at=unix,
        id=call.request_id,
        route=call.route,
        model=call.request.model,
        stream=call.request.stream,
        status=CLIENT_LEFT if call.status is None else call.status,
        error=call.error,
        road=call.road.value if call.road else "",
        queue_s=call.started_at - call.arrived,
        first_s=call.first_at - call.arrived,
        total_s=now - call.arrived,
        stop_reason=answer.stop_reason if answer else "",
        tokens=tokens_of(answer.usage.as_json()) if answer else {},
        cost_usd=call.cost_usd,
        key=call.key,
        profile=call.request.profile,
    )


def corrected(journal: Journal, record: CallRecord, better: CallRecord) -> list[Action]:
    """More is known of a call that has ended. Its record is written again: of two with one id the later counts."""
    journal.corrected(record, better)
    return [do.Record(codec.dump(better.as_json()) + b"\n")]


def refused(journal: Journal, request_id: str, route: str, error: ApiError, unix: float, key: str = "") -> list[Action]:
    """A request was turned away before it became a call."""
    return ended(journal, CallRecord(unix, request_id, route, status=error.status, error=error.kind, key=key))


def ended(journal: Journal, record: CallRecord) -> list[Action]:
    """A call has ended, or none came of it."""
    journal.ended(record)
    fields = {k: v for k, v in record.as_json().items() if v not in ("", 0, 0.0, {}) and k != "at"}
    return [do.Record(codec.dump(record.as_json()) + b"\n"), do.Log("info", "call", fields)]
