"""Effects of bringing a message to a process by its prompt, instead of by its transcript.

Two ways in: a process at its prompt loads the conversation without its last message (`/resume`) and gets that message
typed; a process that has answered already gets the next message typed. Before Claude Code sends a text it shows it to
relayd by a hook, and one that is not the client's to the letter is blocked. Whatever goes wrong up to then, nothing
has reached the model, and the call is replayed in another process. Called by `table.py`; `admits` by the callbacks.
"""

from __future__ import annotations

from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import MessagesRequest
from relayd.anthropic.tools import Tool
from relayd.claude import compose, launch, prompt
from relayd.claude.hooks import Submitted
from relayd.claude.launch import ConversationFiles
from relayd.claude.transcript import TranscriptReader
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session import life
from relayd.core.session.digest import ConversationDigest
from relayd.core.session.record import Session
from relayd.core.session.states import State
from relayd.core.session.turn import Failed, Turn, Wait
from relayd.core.timers import SlotDue
from relayd.errors import internal


def admits(session: Session, submitted: Submitted) -> bool:
    """True if a prompt that Claude Code is about to send is the one that was typed, in the right conversation."""
    expected = Submitted(session.prompt.text or "", session.conversation)
    return session.state is State.TYPING and submitted == expected


def take_up(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """A call takes a process at its prompt: type its last text, if the process has loaded the rest, or have it loaded first."""
    request, session.call = event.request, event.call
    assert event.draft is not None
    session.prompt.take(event.draft)
    if session.holds(request, now):
        return _go_on(session, request, now)
    files = _next_files(session)
    session.turn = _first_turn(session, request.stream)
    transcript = compose.opening(life.begin(session, request, now), request)
    return [*_load(session, transcript, request.tools, files), _limit(session, now)]


def _go_on(session: Session, request: MessagesRequest, now: float) -> list[Action]:
    """Everything but the text is loaded already, so the load counts as seen."""
    is_first, session.has_new_transcript = session.has_new_transcript, False
    session.turn = _first_turn(session, request.stream) if is_first else session.current_turn().typed(request.stream)
    session.served += is_first
    session.current_digest().add(request.messages[-1])
    session.assigned, session.progress, session.wait = None, now, Wait.NOTHING
    session.then(ev.TurnSeen())
    return []


def _first_turn(session: Session, streams: bool) -> Turn:
    """The turn of a conversation that the process has just been given."""
    return session.turn.loaded(streams) if session.turn is not None else Turn(session.key, streams, behind=1)


def _next_files(session: Session) -> ConversationFiles | None:
    """A conversation after the first has files of its own; so do its lines."""
    session.loads += 1
    if session.loads == 1:
        return None
    files = launch.next_conversation(session.spec.paths)
    session.conversation, session.reader = files.session_id, TranscriptReader()
    return files


def _load(session: Session, transcript: bytes, tools: tuple[Tool, ...], files: ConversationFiles | None) -> list[Action]:
    return [
        *session.calls.offer(tools),
        do.HandOver(session.slot, transcript, b"", files),
        do.WritePty(session.slot, prompt.load_keys(session.conversation)),
    ]


# Ahead of a call


def prime(session: Session, event: ev.PrefixAssigned, now: float) -> list[Action]:
    """Load what calls begin with, while nobody waits."""
    files = _next_files(session)
    context = session.spec.transcript_context(session.conversation, now)
    session.digest, session.day = ConversationDigest(event.system, event.tools), context.today
    session.handed_over = session.progress = now
    session.has_new_transcript, session.load_began = True, False
    transcript = compose.prefix(context, session.key.model, event.system, event.tools)
    limit = session.deadlines.set(SlotDue.STATE, now + session.config.start_limit_s)
    return [*_load(session, transcript, event.tools, files), limit]


def await_prefix(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """A call takes the process while it loads: it comes as soon as that is done."""
    session.call, session.assigned = event.call, event
    return []


def primed(session: Session, event: ev.PrefixLoaded, now: float) -> list[Action]:
    """It is loaded: a call that has come meanwhile is next. What is on disk is deleted."""
    if session.assigned is not None:
        session.then(session.assigned)
    forget = session.deadlines.set(SlotDue.FORGET, now + session.config.forget_after_s)
    return [session.deadlines.cancel(SlotDue.STATE), forget]


def settle_report(session: Session, event: ev.WireArrived, now: float) -> list[Action]:
    """Telemetry of the answer before may still come. A request that nobody has ordered ends the process."""
    if session.turn is not None and session.turn.awaits_report:
        session.turn.reported(event.fact)
    else:
        session.then(ev.Retired("it has sent a request that nobody ordered"))
    return []


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
