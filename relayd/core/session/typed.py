"""Effects of bringing a message to a process by its prompt, instead of by its transcript.

Two ways in: a process at its prompt loads the conversation without its last message (`/resume`) and gets that message
typed; a process that has answered already gets the next message typed. Before Claude Code sends a text it shows it to
relayd by a hook, and one that is not the client's to the letter is blocked. Whatever goes wrong up to then, nothing
has reached the model, and the call is replayed in another process. Called by `table.py`; `admits` by the callbacks.
"""

from __future__ import annotations

from relayd.anthropic.conversation_rules import Message
from relayd.claude import compose, prompt
from relayd.claude.hooks import Submitted
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session import life
from relayd.core.session.record import Session
from relayd.core.session.states import State
from relayd.core.session.turn import Failed, Turn, Wait
from relayd.core.timers import SlotDue
from relayd.errors import internal


def admits(session: Session, submitted: Submitted) -> bool:
    """True if a prompt that Claude Code is about to send is the one that was typed, in the right conversation."""
    expected = Submitted(session.prompt.text or "", session.spec.conversation)
    return session.state is State.TYPING and submitted == expected


def load(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """Hand over the conversation without its last message, which is typed as soon as the first keys were taken."""
    request, session.call = event.request, event.call
    assert event.draft is not None
    session.prompt.take(event.draft)
    session.turn = Turn(session.key, request.stream, behind=1, has_media=request.has_media)
    transcript = compose.opening(life.begin(session, request, now), request)
    return [
        *session.calls.offer(request.tools),
        do.HandOver(session.slot, transcript, b""),
        do.WritePty(session.slot, prompt.load_keys(session.spec.conversation)),
        _limit(session, now),
    ]


def type_message(session: Session, event: ev.MessageBrought, now: float) -> list[Action]:
    """The next call of a kept conversation: type its message."""
    session.call = event.call
    session.prompt.take(event.draft)
    session.turn = session.current_turn().typed(event.streams)
    session.current_digest().add(Message("user", ({"type": "text", "text": event.draft.text},)))
    session.progress = now
    session.wait = Wait.NOTHING
    return type_draft(session, event, now)


def type_draft(session: Session, event: ev.TurnSeen | ev.MessageBrought, now: float) -> list[Action]:
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


NotAccepted = ev.HandOverFailed | ev.PromptRefused | ev.Retired | ev.ScreenBlocked | ev.DeadlinePassed


def not_accepted(session: Session, event: NotAccepted, now: float) -> list[Action]:
    """Claude Code has not taken the text: the call goes elsewhere. The pool counts what speaks against typing itself."""
    session.parts.append(Failed(internal("Claude Code did not take the message"), lost=True))
    session.typed_accepted = False if isinstance(event, (ev.DeadlinePassed, ev.PromptRefused)) else None
    log = do.Log("warning", f"{session!r} did not take a typed message: {type(event).__name__}")
    return [log, *life.terminate(session, event, now)]


def _limit(session: Session, now: float) -> Action:
    return session.deadlines.set(SlotDue.STATE, now + session.config.submit_limit_s)
