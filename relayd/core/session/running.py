"""Effects of a turn that runs: signs of life, text, transcript lines, tool calls, and how it ends.

`turn.Turn` merges what the channels say into one answer; here its parts are collected, deadlines are kept, and the
end of the turn is turned into an event: parked (the answer asks for the client's tools), kept (another message of the
same conversation may come), or ended. Called by `table.py` and `terminal.py`.
"""

from __future__ import annotations

from relayd.anthropic.answer import Answer
from relayd.anthropic.conversation_rules import Message
from relayd.claude import screens
from relayd.claude.hooks import Displayed, Stopped, Submitted
from relayd.claude.telemetry import RequestDone
from relayd.claude.transcript import UserLine
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session.life import timeout
from relayd.core.session.record import Session
from relayd.core.session.turn import Failed, Finished, Part, Wait
from relayd.core.timers import SlotDue
from relayd.errors import internal


def seen(session: Session, event: ev.TurnSeen, now: float) -> list[Action]:
    """The first sign of the turn: a typed message has been taken."""
    session.progress = now
    if session.prompt.text is not None:
        session.typed_accepted = True
    return watch(session, now)


def told(session: Session, event: ev.HookArrived, now: float) -> list[Action]:
    """A hook: text, or the end of the turn."""
    fact, turn = event.fact, session.current_turn()
    session.progress = now
    if isinstance(fact, Displayed):
        return _advance(session, turn.displayed(fact), now)
    if isinstance(fact, Submitted):  # nothing was typed, so nothing may be sent
        return _advance(session, [Failed(internal("Claude Code has taken a prompt that nobody typed"))], now)
    return _advance(session, turn.stopped(fact) if isinstance(fact, Stopped) else turn.failed(fact), now)


def streamed(session: Session, event: ev.PiecesArrived, now: float) -> list[Action]:
    """Pieces of the answer."""
    session.progress = now
    return _advance(session, session.current_turn().streamed(event.fact), now)


def reported(session: Session, event: ev.WireArrived, now: float) -> list[Action]:
    """Telemetry: an API request has ended."""
    fact = event.fact
    session.progress = now
    orders: list[Action] = []
    if isinstance(fact, RequestDone) and fact.usage["output_tokens"] >= session.key.max_tokens:
        # Cut at the limit: Claude Code is about to go on by itself, on the user's account.
        session.current_turn().interrupted = True
        orders.append(do.WritePty(session.slot, screens.KEY_ESCAPE))
    return orders + _advance(session, session.current_turn().reported(fact), now)


def grew(session: Session, event: ev.TranscriptGrew, now: float) -> list[Action]:
    """Transcript lines."""
    entries = session.reader.feed(event.data)
    if entries:
        session.progress = now
    turn = session.current_turn()
    if any(isinstance(e, UserLine) and turn.was_forestalled(e, session.calls.handed) for e in entries):
        # The client's results came before it was known that Claude Code would not ask for them: another process gets them.
        return _advance(session, [Failed(internal("Claude Code answered a tool call by itself"), lost=True)], now)
    return _advance(session, turn.read(entries), now)


def called(session: Session, event: ev.ToolCalled, now: float) -> list[Action]:
    """Claude Code runs a tool."""
    return called_late(session, event, now) + _advance(session, session.current_turn().called(event.fact.tool_use_id), now)


def late(session: Session, event: ev.DeadlinePassed, now: float) -> list[Action]:
    """The limit of a silent turn, or of what must follow its end."""
    if event.due is SlotDue.LAG:
        return _advance(session, session.current_turn().expire(), now)
    is_silent = now - session.progress < session.config.turn_limit_s
    limit = "silence_limit_s" if is_silent else "turn_limit_s"
    screen = screens.shorten(session.screen.frame().text()) if is_silent else ""
    error = timeout(f"Claude Code gave no sign of progress ({limit})", screen)
    session.parts.append(Failed(error, lost=is_silent, unseen=is_silent and session.current_turn().is_unseen))
    session.then(ev.TurnEnded())
    return []


def _advance(session: Session, parts: list[Part], now: float) -> list[Action]:
    """Collect parts of the turn; its end decides what becomes of the process."""
    session.parts += parts
    for part in parts:
        match part:
            case Finished(answer) if session.current_turn().can_park:
                session.then(ev.TurnParked(answer.content))
            case Finished(answer) if _can_keep(session, answer):
                session.then(ev.TurnKept(answer.content))
            case Finished() | Failed():
                session.then(ev.TurnEnded())
            case _:
                pass
    return watch(session, now)


def watch(session: Session, now: float) -> list[Action]:
    """Set the deadlines that are in force now."""
    config = session.config
    limit = min(now + config.silence_limit_s, session.progress + config.turn_limit_s)
    orders: list[Action] = [session.deadlines.set(SlotDue.STATE, limit)]
    wait = session.current_turn().wait
    if wait is not session.wait and wait is not Wait.NOTHING:
        lag = config.transcript_lag_s if wait is Wait.TRANSCRIPT else config.failure_lag_s
        orders.append(session.deadlines.set(SlotDue.LAG, now + lag))
    session.wait = wait
    return orders


def interrupt(session: Session, event: ev.TurnAbandoned, now: float) -> list[Action]:
    """The client has left: Esc aborts the API request, so that it costs no more."""
    session.call = None
    return [
        do.WritePty(session.slot, screens.KEY_ESCAPE),
        session.deadlines.cancel(SlotDue.LAG),
        session.deadlines.set(SlotDue.STATE, now + session.config.interrupt_limit_s),
    ]


# Between two calls of one conversation


def tools_asked(session: Session, event: ev.ToolsAsked, now: float) -> list[Action]:
    """Claude Code asks which tools there are."""
    return session.calls.asked(event.client, event.fact)


def park(session: Session, event: ev.TurnParked, now: float) -> list[Action]:
    """The answer asks for tools: wait for the call that brings their results."""
    session.call = None
    session.calls.expect(event.content)
    session.current_digest().add(Message("assistant", event.content))
    return [session.deadlines.cancel(SlotDue.LAG), session.deadlines.set(SlotDue.STATE, now + session.config.parked_limit_s)]


def called_late(session: Session, event: ev.ToolCalled, now: float) -> list[Action]:
    """Claude Code runs a tool of an answer that the client has already."""
    session.progress = now
    return session.calls.called(event.client, event.fact)


def resume(session: Session, event: ev.ResultsBrought, now: float) -> list[Action]:
    """The next call has brought the results: the turn goes on."""
    session.call = event.call
    session.turn = session.current_turn().next(event.results, event.streams)
    session.current_digest().add(Message("user", event.results))
    session.progress = now
    session.wait = Wait.NOTHING
    return [*session.calls.bring(event.results), *watch(session, now)]


def overheard(session: Session, event: ev.TranscriptGrew, now: float) -> list[Action]:
    """A result in the transcript that the client has not brought: Claude Code has answered a call by itself and goes on."""
    if any(isinstance(entry, UserLine) for entry in session.reader.feed(event.data)):
        session.then(ev.TurnEnded())
    return []


def keep(session: Session, event: ev.TurnKept, now: float) -> list[Action]:
    """The answer is complete: wait for the next message of this conversation."""
    session.call = None
    session.current_digest().add(Message("assistant", event.content))
    return [
        *session.prompt.forget(now),
        session.deadlines.set(SlotDue.FORGET, now + session.config.forget_after_s),
        session.deadlines.cancel(SlotDue.LAG),
        session.deadlines.set(SlotDue.STATE, now + session.config.kept_idle_s),
    ]


def forget_due(session: Session, event: ev.ForgetDue, now: float) -> list[Action]:
    """The process holds the conversation in memory: delete what is on disk."""
    return [do.ForgetTranscript(session.slot)]


def _can_keep(session: Session, answer: Answer) -> bool:
    fits = answer.stop_reason == "end_turn" and answer.content and session.current_turn().can_keep
    return bool(session.config.keeps and session.digest is not None and fits)


def late_report(session: Session, event: ev.WireArrived, now: float) -> list[Action]:
    """Telemetry of a turn that has ended: the turn counts it, so that the next one does not."""
    session.current_turn().reported(event.fact)
    return []
