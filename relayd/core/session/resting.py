"""Effects between two calls of one conversation: a process that is parked for its tools' results, or kept. Pure.

A parked process is in the middle of a turn and waits, in an open tool call, for the client's results; a kept one stands at
its prompt. What goes on while a turn runs is in `running.py`. Called by `table.py`.
"""

from __future__ import annotations

from relayd.anthropic.conversation_rules import Message
from relayd.claude.transcript import UserLine
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session.record import Session
from relayd.core.session.running import watch
from relayd.core.timers import SlotDue

BETWEEN_S = 0.03  # at once, three in a row changed places one time in five; 10 ms apart one in six, on a loaded machine


def tools_asked(session: Session, event: ev.ToolsAsked, now: float) -> list[Action]:
    """Claude Code asks which tools there are."""
    return session.calls.asked(event.client, event.fact)


def park(session: Session, event: ev.TurnParked, now: float) -> list[Action]:
    """The answer asks for tools: wait for the call that brings their results."""
    session.call = None
    session.calls.expect(event.content)
    session.current_digest().add(Message("assistant", event.content))
    return [
        *session.deadlines.end_turn(),
        session.deadlines.set(SlotDue.STATE, now + session.spec.config.parked_limit_s),
    ]


def called_late(session: Session, event: ev.ToolCalled, now: float) -> list[Action]:
    """Claude Code runs a tool of an answer that the client has already."""
    session.progress = now
    return session.calls.called(event.client, event.fact)


def resume(session: Session, event: ev.ResultsBrought, now: float) -> list[Action]:
    """The next call has brought the results: the turn goes on."""
    session.call = event.call
    request, results = event.request, event.request.tool_results
    session.begin_turn(session.current_turn().next(results, request.stream), session.spec.witness(request), now)
    session.current_digest().add(Message("user", results))
    session.calls.bring(results)
    return [*hand_next(session, event, now), *watch(session, now)]


def hand_next(session: Session, event: ev.ResultsBrought | ev.ResultDue, now: float) -> list[Action]:
    """Give Claude Code a result. It keeps them in the order in which it has read them, so there is a moment between two."""
    orders = session.calls.hand_next()
    return orders + ([session.deadlines.set(SlotDue.RESULTS, now + BETWEEN_S)] if session.calls.has_results else [])


def overheard(session: Session, event: ev.TranscriptGrew, now: float) -> list[Action]:
    """A result in the transcript that the client has not brought: Claude Code has answered a call by itself and goes on."""
    lines = [entry for entry in session.reader.feed(event.data) if isinstance(entry, UserLine)]
    if session.current_turn().goes_on(lines, session.calls.handed):
        session.then(ev.TurnEnded())
    return []


def keep(session: Session, event: ev.TurnKept, now: float) -> list[Action]:
    """The answer is complete: wait for the next message of this conversation."""
    session.call, session.has_new_transcript = None, False
    session.current_digest().add(Message("assistant", event.content))
    return [
        *session.prompt.forget(now),
        do.MeasureMemory(session.slot),
        session.deadlines.set(SlotDue.FORGET, now + session.spec.config.forget_after_s),
        *session.deadlines.end_turn(),
        session.deadlines.set(SlotDue.STATE, now + session.spec.config.kept_idle_s),
    ]


def forget_due(session: Session, event: ev.ForgetDue, now: float) -> list[Action]:
    """The process holds the conversation in memory: delete what is on disk."""
    return [do.ForgetTranscript(session.slot)]


def late_report(session: Session, event: ev.WireArrived, now: float) -> list[Action]:
    """Telemetry of a turn that has ended: the turn counts it, so that the next one does not."""
    session.current_turn().reported(event.fact)
    return []
