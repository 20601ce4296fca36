"""Effects of a process's life: it starts, gets a conversation, is told to end, and is disposed of.

Dying takes two facts, the child's exit and the terminal's end, which come in either order; each has a deadline. A
child that cannot be reaped, or a terminal that never closes, is given up after a bounded number of tries and reported.
Called by `table.py` only.
"""

from __future__ import annotations

from relayd.anthropic.request import MessagesRequest
from relayd.claude import bodies, compose, screens
from relayd.claude.compose import TranscriptContext
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Action, Mode
from relayd.core.session.digest import ConversationDigest
from relayd.core.session.parts import Failed, Typed
from relayd.core.session.record import Session
from relayd.core.session.turn import Turn
from relayd.core.timers import SlotDue
from relayd.errors import ApiError, internal

KILLS_MAX = 2  # a child that survives them for `kill_limit_s` each is stuck in the kernel, and more will not help


def start(session: Session, now: float) -> list[Action]:
    """The orders that bring a new process to life. Called by the pool."""
    spec = session.spec
    placeholder = compose.placeholder(spec.transcript_context(spec.slot, now))
    told = do.BodyFiles(spec.paths.bodies, bodies.REQUEST_END, bodies.ANSWER_END, bodies.BODY_MAX_BYTES)
    spawn = do.SpawnSlot(spec.slot, spec.launch, spec.paths, placeholder, told, spec.mode)
    return [spawn, session.deadlines.set(SlotDue.STATE, now + session.spec.config.spawn_limit_s)]


# Booting and hand-over


def spawned(session: Session, event: ev.SlotSpawned, now: float) -> list[Action]:
    """Note its pid."""
    session.pid = event.pid
    return []


def not_spawned(session: Session, event: ev.SpawnFailed, now: float) -> list[Action]:
    """There is no process: its call may go to another one."""
    lose(session, f"Claude Code could not be started: {event.reason}")
    return dispose(session, event, now)


def assign(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """A call takes the process while it boots."""
    session.call, session.assigned = event.call, event
    return [do.HurryGate(session.slot)]


def detach(session: Session, event: ev.TurnAbandoned, now: float) -> list[Action]:
    """The call is gone before anything was handed over: the process is as good as new."""
    session.call = session.assigned = None
    return []


def arrived(session: Session, event: ev.GateOpened | ev.PromptReached, now: float) -> list[Action]:
    """The process waits for its conversation; the call that has taken it meanwhile is next."""
    if session.assigned is not None:
        session.then(session.assigned)
    return [session.deadlines.cancel(SlotDue.STATE)]


def hand_over(session: Session, event: ev.TurnAssigned, now: float) -> list[Action]:
    """Give the process its conversation: the transcript first, then the gate, since it reads them in the other order."""
    request, session.call = event.request, event.call
    session.begin_turn(Turn(session.spec.key, request.stream), session.spec.witness(request), now)
    transcript = compose.conversation(begin(session, request, now), request)
    return [
        *session.calls.offer(request.tools),
        do.HandOver(session.slot, transcript, compose.system_prompt(request.system)),
        session.deadlines.set(SlotDue.STATE, now + session.spec.config.start_limit_s),
    ]


def begin(session: Session, request: MessagesRequest, now: float) -> TranscriptContext:
    """Note that the conversation is on its way to the process; the place and time that its transcript tells."""
    session.handed_over = session.progress = now
    if request.tools or session.spec.config.keeps:
        session.digest = ConversationDigest.of(request.system, request.tools, request.messages)
    session.served += 1
    context = session.spec.transcript_context(session.conversation, now)
    session.day = context.today
    session.assigned = None  # a conversation can be 32 MB
    return context


def hand_over_failed(session: Session, event: ev.HandOverFailed, now: float) -> list[Action]:
    """The conversation did not reach the process, or is not what was written any more."""
    lose(session, f"the conversation could not be handed over: {event.reason}")
    return [do.Log("warning", f"{session!r} is lost: {event.reason}"), *terminate(session, event, now)]


def blocked(session: Session, event: ev.ScreenBlocked, now: float) -> list[Action]:
    """The screen waits for a person."""
    session.parts.append(Failed(event.error))
    return [do.Log("warning", f"{session!r} is blocked: {event.error.message}"), *terminate(session, event, now)]


def expired(session: Session, event: ev.DeadlinePassed, now: float) -> list[Action]:
    """The process did not boot, or did not begin the turn, in time."""
    has_waited = session.handed_over is not None
    limit = "start_limit_s" if has_waited else "spawn_limit_s"
    seen = screens.shorten(session.screen.frame().text())
    if not has_waited and session.spec.mode is Mode.PROMPT:
        session.typed = Typed.NO_PROMPT
    error = timeout(f"Claude Code did not start the turn in time ({limit})", seen)
    session.parts.append(Failed(error, lost=True, unseen=True, silent=has_waited))
    return [do.Log("warning", f"{session!r} passed {limit}"), *terminate(session, event, now)]


def strayed(
    session: Session,
    event: ev.HookArrived | ev.PiecesArrived | ev.WireArrived | ev.ToolCalled | ev.RequestTold,
    now: float,
) -> list[Action]:
    """Claude Code works although it was given nothing to do."""
    lose(session, "Claude Code has begun a turn that nobody ordered")
    return end_turn(session, event, now)


def lose(session: Session, reason: str) -> None:
    """The process is lost: its turn ends with what is there, or fails so that another process may answer. The turn of a process
    that a call has taken, and that has not got the call's conversation yet, is that of an earlier call; and nothing counts that
    answers another request.
    """
    if session.turn is None or session.assigned is not None or session.has_changed_request:
        session.add_last([Failed(internal(reason), lost=True, unseen=True)])
    else:
        session.add_last(session.turn.lost(reason))


def timeout(text: str, seen: str) -> ApiError:
    """504 for a process that showed no progress; `seen` is what its screen says."""
    return ApiError(504, text + (f". Its screen says: {seen}" if seen else ""))


NotAccepted = ev.HandOverFailed | ev.PromptRefused | ev.Retired | ev.ScreenBlocked | ev.DeadlinePassed


def not_accepted(session: Session, event: NotAccepted, now: float) -> list[Action]:
    """Claude Code has not taken the text: the call goes elsewhere. The pool counts what speaks against typing itself."""
    is_late = isinstance(event, ev.DeadlinePassed)
    session.parts.append(Failed(internal("Claude Code did not take the message"), lost=True, silent=is_late))
    if isinstance(event, (ev.DeadlinePassed, ev.PromptRefused)):
        session.typed = Typed.IGNORED if is_late else Typed.REFUSED
    log = do.Log("warning", f"{session!r} did not take a typed message: {type(event).__name__}")
    return [log, *terminate(session, event, now)]


# Told to end


def terminate(session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
    """TERM; KILL follows after `term_limit_s`."""
    return [
        do.SignalChild(session.slot, "TERM"),
        session.deadlines.cancel(SlotDue.LAG),
        session.deadlines.set(SlotDue.STATE, now + session.spec.config.term_limit_s),
    ]


def end_turn(session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
    """Esc, which aborts an API request that Claude Code may have begun by itself, then TERM."""
    return [do.WritePty(session.slot, screens.KEY_ESCAPE), *terminate(session, event, now)]


def kill(session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
    """KILL at once: the process cannot act on TERM, blocked at its gate, or has nothing to tidy up."""
    session.kills += 1
    limit = session.deadlines.set(SlotDue.STATE, now + session.spec.config.kill_limit_s)
    return [do.SignalChild(session.slot, "KILL"), session.deadlines.cancel(SlotDue.LAG), limit]


def kill_again(session: Session, event: ev.DeadlinePassed, now: float) -> list[Action]:
    """KILL once more, up to a limit."""
    if session.kills >= KILLS_MAX:
        session.then(ev.GivenUp())
        return []
    return kill(session, event, now)


def broke(session: Session, event: ev.SlotBroke, now: float) -> list[Action]:
    """The runtime met an error: nothing is known of what the process still does, so it gets no time to tidy up."""
    lose(session, f"Claude Code was given up: {event.reason}")
    return [do.Log("error", f"{session!r} was given up: {event.reason}"), *kill(session, event, now)]


# It ends


def hung_up(session: Session, event: ev.PtyClosed, now: float) -> list[Action]:
    """Wait for the exit: its status says more than a closed terminal."""
    return [session.deadlines.cancel(SlotDue.LAG), session.deadlines.set(SlotDue.STATE, now + session.spec.config.exit_lag_s)]


def last_words(session: Session, event: ev.TranscriptGrew, now: float) -> list[Action]:
    """Transcript lines that were on their way when the terminal closed may complete the answer."""
    if session.turn is not None:
        session.add_last(session.turn.read(session.reader.feed(event.data)))
    return []


def lost_terminal(session: Session, event: ev.DeadlinePassed, now: float) -> list[Action]:
    """The terminal is closed and the child lives on."""
    lose(session, "Claude Code closed its terminal unexpectedly")
    return terminate(session, event, now)


def lost_child(session: Session, event: ev.ChildExited, now: float) -> list[Action]:
    """The child ended by itself; its terminal may still hold last words."""
    how = f"signal {-event.status}" if event.status < 0 else f"status {event.status}"
    seen = screens.shorten(session.screen.frame().text())
    lose(session, f"Claude Code ended unexpectedly ({how})" + (f"; its screen said: {seen}" if seen else ""))
    limit = session.deadlines.set(SlotDue.STATE, now + session.spec.config.kill_limit_s)
    return [session.deadlines.cancel(SlotDue.LAG), limit]


def lost_both(session: Session, event: ev.ChildExited, now: float) -> list[Action]:
    """The child ended by itself, after its terminal."""
    lost_child(session, event, now)
    return dispose(session, event, now)


def give_up(session: Session, event: ev.GivenUp, now: float) -> list[Action]:
    """The child cannot be ended: report it, and let go of everything that is ours."""
    log = do.Log("error", f"{session!r}: process {session.pid} survived {session.kills} KILLs and is given up")
    return [log, *dispose(session, event, now)]


def dispose(session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
    """Forget the conversation, cancel the timers, remove the files."""
    session.assigned = session.digest = None
    return [*session.prompt.forget(now), *session.deadlines.cancel_all(), do.RemoveSlot(session.slot)]


def nothing(session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
    """The state has changed, or stays on purpose; nothing is to be done."""
    return []
