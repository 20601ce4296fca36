"""Effects of bringing a message to a process by its prompt, instead of by its transcript.

Two ways in: a process at its prompt loads the conversation without its last message (`/resume`) and gets that message
typed; a process that has answered already gets the next message typed. Before Claude Code sends a text it shows it to
relayd by a hook, and one that is not the client's to the letter is blocked. Whatever goes wrong up to then, nothing
has reached the model, and the call is replayed in another process. Called by `table.py`; `admits` by the callbacks.
"""

from __future__ import annotations

from relayd.anthropic.conversation_rules import Message
from relayd.claude import compose
from relayd.claude.hooks import Submitted
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session import life, loading, reuse
from relayd.core.session.record import Session
from relayd.core.session.states import State
from relayd.core.session.turn import Turn
from relayd.core.timers import SlotDue


def admits(session: Session, submitted: Submitted) -> bool:
    """True if a prompt that Claude Code is about to send is the one that was typed, in the right conversation."""
    expected = Submitted(session.prompt.text or "", session.conversation)
    return session.state is State.TYPING and submitted == expected


def take_up(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """A call takes a process at its prompt: type its last text, if the process has loaded the rest, or have it loaded first."""
    request, session.call = event.request, event.call
    assert event.draft is not None
    session.prompt.take(event.draft)
    if reuse.holds(session, request, now):
        return _go_on(session, event, now)
    files = loading.next_files(session)
    session.begin_turn(_first_turn(session, request.stream), session.spec.witness(request), now)
    transcript = compose.opening(life.begin(session, request, now), request)
    return [*loading.load(session, transcript, request.tools, files), _limit(session, now)]


def _go_on(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """Everything but the text is loaded already, so the load counts as seen."""
    request = event.request
    is_first, session.has_new_transcript = session.has_new_transcript, False
    turn = _first_turn(session, request.stream) if is_first else session.current_turn().typed(request.stream)
    session.begin_turn(turn, session.spec.witness(request), now)
    session.served += is_first
    session.current_digest().add(request.messages[-1])
    session.assigned = None
    session.then(ev.TurnSeen())
    return []


def _first_turn(session: Session, streams: bool) -> Turn:
    """The turn of a conversation that the process has just been given."""
    return (
        session.turn.typed(streams, has_new_transcript=True)
        if session.turn is not None
        else Turn(session.spec.key, streams, behind=1)
    )


def type_message(session: Session, event: ev.MessageBrought, now: float) -> list[Action]:
    """The next call of a kept conversation: type its message."""
    session.call = event.call
    session.prompt.take(event.draft)
    session.begin_turn(session.current_turn().typed(event.request.stream), session.spec.witness(event.request), now)
    session.current_digest().add(Message("user", ({"type": "text", "text": event.draft.text},)))
    return [*session.prompt.type_next(session.display.is_settled, now), _limit(session, now)]


def type_draft(session: Session, event: ev.TurnSeen, now: float) -> list[Action]:
    """Press the keys that bring the text."""
    return [*session.prompt.type(now), _limit(session, now)]


def look_at_prompt(session: Session, event: ev.PromptSettled, now: float) -> list[Action]:
    """The terminal is silent: is the text in the prompt?"""
    orders = session.prompt.look(session.screen, now)
    if orders is None:
        session.then(ev.PromptRefused())
    return orders or []


def compare(session: Session, event: ev.HookArrived, now: float) -> list[Action]:
    """Claude Code shows what it is about to send. Hooks of the turn before may still come, and do not count."""
    if isinstance(event.fact, Submitted):
        session.then(ev.TurnSeen() if admits(session, event.fact) else ev.PromptRefused())
    return []


def _limit(session: Session, now: float) -> Action:
    return session.deadlines.set(SlotDue.STATE, now + session.spec.config.submit_limit_s)
