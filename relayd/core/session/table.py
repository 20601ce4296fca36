"""The state machine of one Claude Code process: the table, the two rules beside it, and `drive`, the only way in.

Theory
------
A process is expensive to start (0.7 CPU seconds) and cheap to keep, so it is started before anybody needs it and then
waits: blocked at its gate, or standing at its prompt. It is given a conversation. It answers, and then it is parked
(the answer asks for the client's tools), kept (another message of that conversation may come), or ended. A process at
its prompt that is kept may take up another conversation, by a transcript of its own (`/resume`), if its last turn ended
well (`reuse.py`): nothing of the one before is in the requests of the next. What calls keep beginning
with, a system prompt and tools, can be loaded ahead in the same way; then a call needs only type.

    SPAWNING ──> WAITING ──> STARTING ──> RUNNING ──> PARKED ──> RUNNING …      gate: the whole conversation by transcript
        └──────> READY ──> LOADING ──> TYPING ──> RUNNING ──> KEPT ──> TYPING … prompt: the last message is typed
                   └─> PRIMING ──> PRIMED ─┘                   └──> PRIMING or LOADING: another conversation

Three rules explain most of the table.

1. Before anything has reached the model, a failure is nobody's loss: the parts that an effect leaves behind say
   `lost` (and `unseen`), and `delivery.py` replays the call in another process. From RUNNING on that holds only while
   no part of an answer was seen.
2. A process that does something which it was not told to do is ended at once, whatever it is (`strayed`): it may be
   spending the user's plan.
3. Dying takes two facts, the child's exit and the terminal's end, in either order. KILLING has neither, REAPING lacks
   the exit, DRAINING lacks the end of the terminal, HUNG_UP has a terminal that closed by itself. Each has a deadline,
   so that every path ends in DEAD.

How to read the table: a row lists what may happen in a state. `on(event, effect, state)` means: when the event comes,
the state becomes `state` (or stays, if none is named), and then the effect is called. Effects are plain functions of
the session and *their* event, so that mypy refuses an entry whose effect takes another event.

What is not in the table is a bug of ours: `drive` raises Refused, and its caller ends this one session. Two rules
stand beside the table instead of being repeated in it:

- LATE: an observation that matters in one state and may come after that state has been left (a timer that was due in
  the same turn of the loop, a dialog that is still on the screen) is ignored in every other.
- A process that is dying has no use for facts: what its row does not list is ignored.

An effect may name an event that follows (`session.then`). It is applied before `drive` returns, in the state that
the first one has led to. The table is also the source of the diagram in ARCHITECTURE.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from relayd.core import events as ev
from relayd.core.actions import Action, RemoveSlot
from relayd.core.session import life, loading, resting, running, terminal, typed, witnessing
from relayd.core.session.record import Session
from relayd.core.session.states import DYING, State
from relayd.errors import Refused

E = TypeVar("E", bound=ev.SessionEvent)


class Entry(Protocol):
    """What a state does with an event. `state` is where it leads; None: the state stays."""

    @property
    def event(self) -> type[object]: ...
    @property
    def state(self) -> State | None: ...
    def apply(self, session: Session, event: ev.SessionEvent, now: float) -> list[Action]: ...


@dataclass(frozen=True)
class TypedEntry(Generic[E]):
    """An entry whose effect takes just its event."""

    event: type[E]
    effect: Callable[[Session, E, float], list[Action]]
    state: State | None

    def apply(self, session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
        """Call the effect. `event` is of this entry's type."""
        assert isinstance(event, self.event)
        return self.effect(session, event, now)


def on(event: type[E], effect: Callable[[Session, E, float], list[Action]], state: State | None = None) -> Entry:
    """An entry. mypy refuses an effect that takes another event."""
    entry: TypedEntry[E] = TypedEntry(event, effect, state)
    return entry


Row = Mapping[type[object], Entry]


def row(*entries: Entry, base: Row | None = None) -> Row:
    """A state's row: the entries of `base`, and these in addition or instead."""
    return dict(base or {}) | {entry.event: entry for entry in entries}


# Every live process can lose its terminal, its child, or the runtime's help.
LOSSES = row(
    on(ev.SlotBroke, life.broke, State.KILLING),
    on(ev.PtyClosed, life.hung_up, State.HUNG_UP),
    on(ev.ChildExited, life.lost_child, State.DRAINING),
)
ALIVE = row(
    on(ev.ToolsAsked, resting.tools_asked),
    on(ev.ScreenBlocked, life.blocked, State.KILLING),
    base=LOSSES,
)
# It was given nothing to do yet.
FREE = row(
    on(ev.TurnAbandoned, life.detach),
    on(ev.HookArrived, life.strayed, State.KILLING),
    on(ev.PiecesArrived, life.strayed, State.KILLING),
    on(ev.WireArrived, life.strayed, State.KILLING),
    on(ev.ToolCalled, life.strayed, State.KILLING),
    on(ev.RequestTold, life.strayed, State.KILLING),
    base=ALIVE,
)
# Keys were pressed for a call, and nothing has reached the model: whatever goes wrong, the call is replayed elsewhere.
BY_KEYS = row(
    on(ev.HookArrived, typed.compare),
    on(ev.PiecesArrived, life.nothing),  # late ones of the answer before
    on(ev.TranscriptGrew, life.last_words),
    on(ev.RequestTold, witnessing.told_at_rest),
    on(ev.HandOverFailed, life.not_accepted, State.KILLING),
    on(ev.PromptRefused, life.not_accepted, State.KILLING),
    on(ev.ScreenBlocked, life.not_accepted, State.KILLING),
    on(ev.DeadlinePassed, life.not_accepted, State.KILLING),
    on(ev.Retired, life.not_accepted, State.KILLING),
    on(ev.TurnEnded, life.end_turn, State.KILLING),
    on(ev.TurnAbandoned, life.end_turn, State.KILLING),
    base=ALIVE,
)
# It loads, or has loaded, what calls begin with. Hooks of the answer before may still come.
PREFIXED = row(
    on(ev.TurnAbandoned, life.detach),
    on(ev.HookArrived, life.nothing),
    on(ev.PiecesArrived, life.nothing),
    on(ev.WireArrived, loading.settle_report),
    on(ev.RequestTold, witnessing.told_at_rest),
    on(ev.TranscriptGrew, life.nothing),
    on(ev.ToolCalled, life.strayed, State.KILLING),
    on(ev.HandOverFailed, life.not_accepted, State.KILLING),
    on(ev.DeadlinePassed, life.not_accepted, State.KILLING),
    on(ev.Retired, life.terminate, State.KILLING),
    base=ALIVE,
)
# It has its conversation, and the turn runs or is about to.
AT_WORK = row(
    on(ev.HookArrived, running.told, State.RUNNING),
    on(ev.PiecesArrived, running.streamed, State.RUNNING),
    on(ev.WireArrived, running.reported, State.RUNNING),
    on(ev.ToolCalled, running.called, State.RUNNING),
    on(ev.TranscriptGrew, running.grew),
    on(ev.RequestTold, witnessing.told, State.RUNNING),
    on(ev.AnswerTold, running.answered, State.RUNNING),
    on(ev.BodiesRead, running.show),
    on(ev.WitnessOverdue, witnessing.overdue),
    on(ev.TurnParked, resting.park, State.PARKED),
    on(ev.TurnKept, resting.keep, State.KEPT),
    on(ev.TurnEnded, life.end_turn, State.KILLING),
    on(ev.HandOverFailed, life.hand_over_failed, State.KILLING),
    on(ev.Retired, life.terminate, State.KILLING),
    base=ALIVE,
)
# It has answered, and nobody waits for it.
AT_REST = row(
    on(ev.PtyOutput, terminal.draw),
    on(ev.HookArrived, life.nothing),  # hooks of the turn that has ended
    on(ev.PiecesArrived, life.nothing),
    on(ev.WireArrived, resting.late_report),
    on(ev.RequestTold, witnessing.told_at_rest),
    on(ev.TurnAbandoned, life.nothing),
    on(ev.HandOverFailed, life.hand_over_failed, State.KILLING),
    base=ALIVE,
)
DYING_ROW = row(on(ev.PtyOutput, terminal.draw_dying))

TABLE: Mapping[State, Row] = {
    State.SPAWNING: row(
        on(ev.SlotSpawned, life.spawned),
        on(ev.SpawnFailed, life.not_spawned, State.DEAD),
        on(ev.TurnAssigned, life.assign),
        on(ev.PtyOutput, terminal.draw_booting),
        on(ev.TrustAsked, terminal.trust_asked),
        on(ev.DialogSettled, terminal.dialog_settled),
        on(ev.GateOpened, life.arrived, State.WAITING),
        on(ev.PromptReached, life.arrived, State.READY),
        on(ev.DeadlinePassed, life.expired, State.KILLING),
        on(ev.Retired, life.kill, State.KILLING),
        base=FREE,
    ),
    State.WAITING: row(
        on(ev.TurnAssigned, life.hand_over, State.STARTING),
        on(ev.PtyOutput, terminal.draw),
        on(ev.TrustAsked, terminal.trust_asked),
        on(ev.DialogSettled, terminal.dialog_settled),
        on(ev.DeadlinePassed, life.nothing),  # it was due when the gate opened
        on(ev.Retired, life.kill, State.KILLING),
        base=FREE,
    ),
    State.READY: row(
        on(ev.TurnAssigned, typed.take_up, State.LOADING),
        on(ev.PrefixAssigned, loading.prime, State.PRIMING),
        on(ev.PtyOutput, terminal.draw),
        on(ev.DeadlinePassed, life.nothing),
        on(ev.Retired, life.terminate, State.KILLING),
        base=FREE,
    ),
    State.PRIMING: row(
        on(ev.PtyOutput, terminal.draw_priming),
        on(ev.PrefixLoaded, loading.primed, State.PRIMED),
        on(ev.TurnAssigned, loading.await_prefix),
        base=PREFIXED,
    ),
    State.PRIMED: row(
        on(ev.PtyOutput, terminal.draw),
        on(ev.TurnAssigned, typed.take_up, State.LOADING),
        on(ev.ForgetDue, resting.forget_due),
        on(ev.DeadlinePassed, life.nothing),
        base=PREFIXED,
    ),
    State.LOADING: row(
        on(ev.PtyOutput, terminal.draw_starting),
        on(ev.TurnSeen, typed.type_draft, State.TYPING),
        on(ev.WireArrived, loading.settle_report),
        base=BY_KEYS,
    ),
    State.STARTING: row(
        on(ev.SlotSpawned, life.spawned),  # without a gate it starts with its conversation
        on(ev.SpawnFailed, life.not_spawned, State.DEAD),
        on(ev.PtyOutput, terminal.draw_starting),
        on(ev.TrustAsked, terminal.trust_asked),
        on(ev.DialogSettled, terminal.dialog_settled),
        on(ev.TurnSeen, running.seen, State.RUNNING),
        on(ev.DeadlinePassed, life.expired, State.KILLING),
        on(ev.TurnAbandoned, life.end_turn, State.KILLING),
        base=AT_WORK,
    ),
    State.RUNNING: row(
        on(ev.PtyOutput, terminal.draw_running),
        on(ev.DeadlinePassed, running.late),
        on(ev.TurnAbandoned, running.interrupt, State.INTERRUPTING),
        on(ev.LinesOverdue, running.lines_overdue),
        on(ev.ResultDue, resting.hand_next),
        base=AT_WORK,
    ),
    State.PARKED: row(
        on(ev.ToolCalled, resting.called_late),
        on(ev.ResultsBrought, resting.resume, State.RUNNING),
        on(ev.TranscriptGrew, resting.overheard),
        on(ev.TurnEnded, life.end_turn, State.KILLING),
        on(ev.DeadlinePassed, life.end_turn, State.KILLING),
        on(ev.Retired, life.end_turn, State.KILLING),
        base=AT_REST,
    ),
    State.KEPT: row(
        on(ev.MessageBrought, typed.type_message, State.TYPING),
        on(ev.TurnAssigned, typed.take_up, State.LOADING),
        on(ev.PrefixAssigned, loading.prime, State.PRIMING),
        on(ev.TranscriptGrew, life.last_words),
        on(ev.ForgetDue, resting.forget_due),
        on(ev.DeadlinePassed, life.terminate, State.KILLING),
        on(ev.Retired, life.terminate, State.KILLING),
        base=AT_REST,
    ),
    State.TYPING: row(
        on(ev.PtyOutput, terminal.draw_typing),
        on(ev.TurnSeen, running.seen, State.RUNNING),
        on(ev.PromptSettled, typed.look_at_prompt),
        on(ev.WireArrived, resting.late_report),
        base=BY_KEYS,
    ),
    State.INTERRUPTING: row(
        on(ev.DeadlinePassed, life.terminate, State.KILLING),
        on(ev.PtyClosed, life.terminate, State.REAPING),
        on(ev.ChildExited, life.lost_child, State.DRAINING),
        base=DYING_ROW,
    ),
    State.HUNG_UP: row(
        on(ev.TranscriptGrew, life.last_words),
        on(ev.DeadlinePassed, life.lost_terminal, State.REAPING),
        on(ev.ChildExited, life.lost_both, State.DEAD),
        base=DYING_ROW,
    ),
    State.KILLING: row(
        on(ev.SlotSpawned, life.spawned),
        on(ev.SpawnFailed, life.dispose, State.DEAD),
        on(ev.DeadlinePassed, life.kill_again),
        on(ev.PtyClosed, life.nothing, State.REAPING),
        on(ev.ChildExited, life.nothing, State.DRAINING),
        on(ev.GivenUp, life.give_up, State.DEAD),
        base=DYING_ROW,
    ),
    State.REAPING: row(
        on(ev.DeadlinePassed, life.kill_again),
        on(ev.ChildExited, life.dispose, State.DEAD),
        on(ev.GivenUp, life.give_up, State.DEAD),
        base=DYING_ROW,
    ),
    State.DRAINING: row(
        on(ev.DeadlinePassed, life.dispose, State.DEAD),
        on(ev.PtyClosed, life.dispose, State.DEAD),
        base=DYING_ROW,
    ),
    State.DEAD: {},
}

LATE = frozenset(
    (
        ev.TrustAsked,
        ev.DialogSettled,
        ev.PromptSettled,
        ev.PromptReached,
        ev.TurnSeen,
        ev.ForgetDue,
        ev.LinesOverdue,
        ev.ResultDue,
        ev.WitnessOverdue,
        ev.AnswerTold,
        ev.BodiesRead,
    )
)


def drive(session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
    """Apply an event and those that follow from it; the orders it brings. Raises Refused for one that nobody expected."""
    session.follow_ups = [event]
    while session.follow_ups:
        session.orders += _apply(session, session.follow_ups.pop(0), now)
    return session.take_orders()


def _apply(session: Session, event: ev.SessionEvent, now: float) -> list[Action]:
    entry = TABLE[session.state].get(type(event))
    if entry is None:
        if session.state in DYING or type(event) in LATE:
            return []
        raise Refused(f"{session!r} cannot take {type(event).__name__}")
    if entry.state is not None and entry.state is not session.state:
        session.state, session.since = entry.state, now
    return entry.apply(session, event, now)


def fail(session: Session, now: float) -> list[Action]:
    """After a bug: the session may be half-updated, so whatever its state was, its process is being killed now."""
    orders, session.follow_ups = session.take_orders(), []
    if session.state is State.DEAD:  # whatever the bug has kept from being put away
        return orders if RemoveSlot(session.slot) in orders else [*orders, RemoveSlot(session.slot)]
    if session.state not in (State.REAPING, State.DRAINING):
        session.state, session.since = State.KILLING, now
    return orders + life.kill(session, ev.Retired("a bug"), now)
