"""Effects of a turn that runs: signs of life, text, transcript lines, tool calls, and how it ends.

`turn.Turn` merges what the channels say into one answer; here its parts are collected, deadlines are kept, and the
end of the turn is turned into an event: parked (the answer asks for the client's tools), kept (another message of the
same conversation may come), or ended; `resting.py` has what follows. Called by `table.py` and `terminal.py`.
"""

from __future__ import annotations

from relayd.anthropic.answer import Answer
from relayd.claude import screens, transcript
from relayd.claude.hooks import Displayed, Stopped, Submitted
from relayd.claude.telemetry import RequestDone
from relayd.claude.transcript import UserLine
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session.life import timeout
from relayd.core.session.parts import Failed, Finished, Part, Typed, Verdict, Wait
from relayd.core.session.record import Session
from relayd.core.timers import SlotDue
from relayd.errors import internal

# The request is told before its answer begins, but a busy machine may be late with it: 2 in 100 by more than 0.25 s. An answer
# whose request is not seen costs its process. A version that tells none is known by its number, or by its first calls.
WITNESS_S = 0.75
LINES_S = 0.5  # between two notes on an open call, until the lines of its answer are there


def seen(session: Session, event: ev.TurnSeen, now: float) -> list[Action]:
    """The first sign of the turn: a typed message has been taken."""
    session.progress = now
    if session.prompt.text is not None:
        session.typed = Typed.TAKEN
        session.display.await_turn()
    return watch(session, now)


def told(session: Session, event: ev.HookArrived, now: float) -> list[Action]:
    """A hook: text, or the end of the turn."""
    fact, turn = event.fact, session.current_turn()
    session.progress = now
    if isinstance(fact, Displayed):
        witness = session.current_witness()
        is_first = witness.is_awaited and not session.holds_some
        witness.shown.append(fact)
        return [*(_ask_for_request(session, now) if is_first else []), *show(session, event, now)]
    if isinstance(fact, Submitted):  # nothing was typed, so nothing may be sent
        return advance(session, [Failed(internal("Claude Code has taken a prompt that nobody typed"))], now)
    return advance(session, turn.stopped(fact) if isinstance(fact, Stopped) else turn.failed(fact), now)


def show(session: Session, event: ev.HookArrived | ev.BodiesRead | ev.WitnessOverdue, now: float) -> list[Action]:
    """Texts, once all that was told of requests is known: they do not say which one they answer."""
    is_known = not session.current_witness().is_awaited
    return advance(session, session.take_shown() if is_known else [], now)


def streamed(session: Session, event: ev.PiecesArrived, now: float) -> list[Action]:
    """Pieces of the answer. After its last one Claude Code need not wait with the answer's lines."""
    session.progress = now
    orders = advance(session, session.current_turn().streamed(event.fact), now)
    if event.fact.end_the_answer:
        orders += [do.ReadBodies(session.slot), *session.calls.hurry()]
    return orders


def reported(session: Session, event: ev.WireArrived, now: float) -> list[Action]:
    """Telemetry: an API request has ended."""
    fact = event.fact
    session.progress = now
    orders: list[Action] = []
    if isinstance(fact, RequestDone) and fact.usage["output_tokens"] >= session.spec.key.max_tokens:
        # Cut at the limit: Claude Code is about to go on by itself, on the user's account.
        session.current_turn().interrupted = True
        orders.append(do.WritePty(session.slot, screens.KEY_ESCAPE))
    orders += advance(session, session.current_turn().reported(fact), now)
    return orders + (session.calls.hurry() if isinstance(fact, RequestDone) else [])


def grew(session: Session, event: ev.TranscriptGrew, now: float) -> list[Action]:
    """Transcript lines."""
    entries = session.reader.feed(event.data)
    if entries:
        session.progress = now
    turn = session.current_turn()
    if any(isinstance(e, UserLine) and turn.was_forestalled(e, session.calls.handed) for e in entries):
        # The client's results came before it was known that Claude Code would not ask for them: another process gets them.
        return advance(session, [Failed(internal("Claude Code answered a tool call by itself"), lost=True)], now)
    return advance(session, turn.read(entries), now)


def answered(session: Session, event: ev.AnswerTold, now: float) -> list[Action]:
    """The API's answer, whole. It counts if it answers the client's own question; else the transcript says what has become of
    that, as where an answer cannot be used.
    """
    witness = session.current_witness()
    witness.is_answered = True
    if witness.verdict is not Verdict.EXACT:
        return []
    try:
        line = transcript.read_answer(event.body)
    except ValueError:
        return []
    session.progress = now
    return advance(session, session.current_turn().answered(line), now)


def called(session: Session, event: ev.ToolCalled, now: float) -> list[Action]:
    """Claude Code runs a tool."""
    session.progress = now
    orders = session.calls.called(event.client, event.fact) + advance(
        session, session.current_turn().called(event.fact.tool_use_id), now
    )
    return [*orders, *_watch_lines(session, now)]


def lines_overdue(session: Session, event: ev.LinesOverdue, now: float) -> list[Action]:
    """No other sign has said that the answer is finished, or Claude Code has not heeded the note that followed."""
    return [*session.calls.hurry(), *_watch_lines(session, now)]


def _watch_lines(session: Session, now: float) -> list[Action]:
    return [session.deadlines.set(SlotDue.LINES, now + LINES_S)] if session.calls.can_hurry else []


def late(session: Session, event: ev.DeadlinePassed, now: float) -> list[Action]:
    """The limit of a silent turn, or of what must follow its end."""
    if event.due is SlotDue.LAG:
        return advance(session, session.current_turn().expire(), now)
    is_silent = now - session.progress < session.spec.config.turn_limit_s
    limit = "silence_limit_s" if is_silent else "turn_limit_s"
    screen = screens.shorten(session.screen.frame().text()) if is_silent else ""
    error = timeout(f"Claude Code gave no sign of progress ({limit})", screen)
    session.parts.append(Failed(error, lost=is_silent, unseen=is_silent and session.current_turn().is_unseen))
    session.then(ev.TurnEnded())
    return []


def advance(session: Session, parts: list[Part], now: float) -> list[Action]:
    """Collect parts of the turn, once it is known what the model was asked; its end decides what becomes of the process."""
    held_some, held, session.held = session.holds_some, session.held, []
    parts = [*held, *parts]
    failures: list[Part] = [part for part in parts if isinstance(part, Failed)]
    witness = session.current_witness()
    refused = session.current_turn().refused_before if witness.verdict is Verdict.CHANGED else None
    if refused is not None and not failures:
        failures = [Failed(refused)]  # why Claude Code has asked for something else
    if witness.holds_back and not failures:
        session.held = parts
        is_first = bool(parts) and not held_some and witness.is_awaited
        return [*(_ask_for_request(session, now) if is_first else []), *watch(session, now)]
    parts = failures or parts  # what was held back of an answer that fails is not shown
    session.parts += [*witness.report(), *parts]
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


def _ask_for_request(session: Session, now: float) -> list[Action]:
    """Parts of the answer wait for it."""
    return [do.ReadBodies(session.slot), session.deadlines.set(SlotDue.WITNESS, now + WITNESS_S)]


def watch(session: Session, now: float) -> list[Action]:
    """Set the deadlines that are in force now."""
    config = session.spec.config
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
        session.deadlines.set(SlotDue.STATE, now + session.spec.config.interrupt_limit_s),
    ]


def _can_keep(session: Session, answer: Answer) -> bool:
    fits = answer.stop_reason == "end_turn" and answer.content and session.current_turn().can_keep
    return bool(session.spec.config.keeps and session.digest is not None and fits)
