"""Effects of what Claude Code tells of the requests that it sends. Pure; called by `table.py`.

What follows for the answer's parts, which wait for the verdict, is in `running.py`.
"""

from __future__ import annotations

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session import life, running
from relayd.core.session.parts import Failed, Verdict
from relayd.core.session.record import Session
from relayd.core.timers import SlotDue
from relayd.errors import internal


def told(session: Session, event: ev.RequestTold, now: float) -> list[Action]:
    """The turn's request, in most cases. One that is not the client's costs the process, and nobody gets its answer."""
    witness, session.told_at = session.current_witness(), now
    if not witness.is_open:
        return []
    if witness.judge(event.body) is not Verdict.CHANGED:
        return running.advance(session, session.current_turn().went_on() if witness.has_gone_on else [], now)
    # If the API did not take the client's own request, and Claude Code asks for something else, the API's words are on their way.
    witness.is_reported = False
    reason = session.deadlines.set(SlotDue.WITNESS, now + session.spec.config.failure_lag_s)
    return [reason, *running.advance(session, [], now)]


def overdue(session: Session, event: ev.WitnessOverdue, now: float) -> list[Action]:
    """The request was not told in time: the answer need not wait any longer. Or nobody has said why it was changed."""
    witness = session.current_witness()
    if witness.verdict is Verdict.CHANGED:
        return _changed(session, witness.place, now)
    if not witness.is_awaited:
        return []
    witness.give_up()
    return running.show(session, event, now)


def told_at_rest(session: Session, event: ev.RequestTold, now: float) -> list[Action]:
    """The last turn's request may be told late. Any other is one that nobody has ordered."""
    if session.witness is None or session.witness.verdict in (Verdict.EXACT, Verdict.CHANGED):
        life.lose(session, "Claude Code has sent a request that nobody ordered")
        session.then(ev.Retired("it has sent a request that nobody ordered"))
    return []


def _changed(session: Session, place: str, now: float) -> list[Action]:
    """Another process gets the call, if nothing was shown; else it ends here."""
    text = f"Claude Code has sent the model another request than was asked: {place} is not the client's"
    log = do.Log("warning", f"{session!r} has changed a request at {place}")
    return [log, *running.advance(session, [Failed(internal(text), lost=True, unseen=True)], now)]
