"""The state table of one Claude Code process: which event leads from which state to which, with which effect.

`core/session.py` has an effect method for each name here (`kill` is `_kill`) and is the only user. An
event that a state does not list is a bug. Pure data.
"""

from __future__ import annotations

from enum import Enum

from relayd.core import events as ev


class State(Enum):
    """Where a process stands."""

    SPAWNING = "spawning"  # booting, the gate is not reached
    WAITING = "waiting"  # warm: blocked at the gate
    READY = "ready"  # warm: at its prompt, with no conversation
    LOADING = "loading"  # was told to take up the conversation, without its last message
    STARTING = "starting"  # conversation handed over, no sign of the turn yet
    RUNNING = "running"  # the turn runs
    PARKED = "parked"  # its answer asks for tools; the turn goes on when the client brings their results
    KEPT = "kept"  # has answered; waits at its prompt for the next message of its conversation
    TYPING = "typing"  # that message was typed; Claude Code has not said that it has it
    INTERRUPTING = "interrupting"  # Esc was pressed: its upstream request is being aborted
    HUNG_UP = "hung up"  # the terminal closed by itself; the exit that explains it is on its way
    KILLING = "killing"  # told to end; child and terminal still there
    REAPING = "reaping"  # terminal closed, child not reaped
    DRAINING = "draining"  # child reaped, terminal not closed
    DEAD = "dead"  # nothing left but its record


FREE = (State.SPAWNING, State.WAITING, State.READY)
LIVE = (*FREE, State.LOADING, State.STARTING, State.RUNNING, State.PARKED, State.KEPT, State.TYPING)

Effect = str
Row = dict[type, tuple[State, Effect]]

DYING: Row = {
    ev.SlotSpawned: (State.KILLING, "spawned"),
    ev.PtyOutput: (State.KILLING, "drain_screen"),
    ev.TranscriptGrew: (State.KILLING, "ignore"),
    ev.HookArrived: (State.KILLING, "ignore"),
    ev.WireArrived: (State.KILLING, "ignore"),
    ev.ToolCalled: (State.KILLING, "ignore"),
    ev.ToolsAsked: (State.KILLING, "ignore"),
    ev.PromptSettled: (State.KILLING, "ignore"),
    ev.TurnParked: (State.KILLING, "ignore"),
    ev.TurnKept: (State.KILLING, "ignore"),
    ev.PromptReached: (State.KILLING, "ignore"),
    ev.PromptRefused: (State.KILLING, "ignore"),
    ev.GateOpened: (State.KILLING, "ignore"),
    ev.HandOverFailed: (State.KILLING, "ignore"),
    ev.TurnAbandoned: (State.KILLING, "ignore"),
    ev.TurnEnded: (State.KILLING, "ignore"),
    ev.TurnSeen: (State.KILLING, "ignore"),
    ev.ScreenBlocked: (State.KILLING, "ignore"),
    ev.TrustAsked: (State.KILLING, "ignore"),
    ev.DialogSettled: (State.KILLING, "ignore"),
    ev.Retired: (State.KILLING, "ignore"),
    ev.SpawnFailed: (State.DEAD, "bury"),
    ev.SlotBroke: (State.KILLING, "ignore"),
}


# Signs of a turn in a process that was given none.
STRAY: Row = dict.fromkeys((ev.HookArrived, ev.WireArrived, ev.ToolCalled), (State.KILLING, "strayed"))

# Keys were pressed for a call, and nothing has reached the model: whatever goes wrong, the call is replayed elsewhere.
BY_KEYS: Row = {
    ev.SlotBroke: (State.KILLING, "broke"),
    ev.PtyOutput: (State.LOADING, "screen_changed"),
    ev.ToolsAsked: (State.LOADING, "tools_asked"),
    ev.PromptSettled: (State.LOADING, "ignore"),
    ev.HandOverFailed: (State.KILLING, "not_taken"),
    ev.HookArrived: (State.LOADING, "compare"),
    ev.PromptRefused: (State.KILLING, "not_taken"),
    ev.TranscriptGrew: (State.LOADING, "last_words"),
    ev.TurnAbandoned: (State.KILLING, "end_turn"),
    ev.TurnEnded: (State.KILLING, "end_turn"),
    ev.Retired: (State.KILLING, "not_taken"),
    ev.TrustAsked: (State.LOADING, "ignore"),
    ev.DialogSettled: (State.LOADING, "ignore"),
    ev.ScreenBlocked: (State.KILLING, "not_taken"),
    ev.DeadlinePassed: (State.KILLING, "not_taken"),
    ev.PtyClosed: (State.HUNG_UP, "hung_up"),
    ev.ChildExited: (State.DRAINING, "lost_child"),
}


def _like(model: Row, own: State, state: State, **changes: tuple[State, Effect]) -> Row:
    """A state's row after a model's, whose entries that stay in the model's own state stay in this one."""
    row = {kind: (state if target is own else target, effect) for kind, (target, effect) in model.items()}
    return row | {getattr(ev, name): entry for name, entry in changes.items()}


def _dying(state: State, **changes: tuple[State, Effect]) -> Row:
    """The row of a dying state: everything late is ignored, in place."""
    return _like(DYING, State.KILLING, state, **changes)


def _by_keys(state: State, **changes: tuple[State, Effect]) -> Row:
    """The row of a state in which keys are on their way."""
    return _like(BY_KEYS, State.LOADING, state, **changes)


TABLE: dict[State, Row] = {
    State.SPAWNING: {
        ev.SlotBroke: (State.KILLING, "broke"),
        ev.SlotSpawned: (State.SPAWNING, "spawned"),
        ev.SpawnFailed: (State.DEAD, "not_spawned"),
        ev.TurnAssigned: (State.SPAWNING, "assign"),
        ev.TurnAbandoned: (State.SPAWNING, "detach"),
        ev.GateOpened: (State.WAITING, "gate_opened"),
        ev.PromptReached: (State.READY, "gate_opened"),
        **STRAY,
        ev.ToolsAsked: (State.SPAWNING, "tools_asked"),
        ev.PtyOutput: (State.SPAWNING, "screen_changed"),
        ev.TrustAsked: (State.SPAWNING, "trust"),
        ev.DialogSettled: (State.SPAWNING, "settled"),
        ev.ScreenBlocked: (State.KILLING, "blocked"),
        ev.DeadlinePassed: (State.KILLING, "expired"),
        ev.Retired: (State.KILLING, "kill_at_gate"),
        ev.PtyClosed: (State.HUNG_UP, "hung_up"),
        ev.ChildExited: (State.DRAINING, "lost_child"),
    },
    State.WAITING: {
        ev.SlotBroke: (State.KILLING, "broke"),
        ev.TurnAssigned: (State.STARTING, "assign_and_go"),
        ev.TurnAbandoned: (State.WAITING, "detach"),
        **STRAY,
        ev.ToolsAsked: (State.WAITING, "tools_asked"),
        ev.PtyOutput: (State.WAITING, "screen_changed"),
        ev.TrustAsked: (State.WAITING, "trust"),
        ev.DialogSettled: (State.WAITING, "settled"),
        ev.ScreenBlocked: (State.KILLING, "blocked"),
        ev.DeadlinePassed: (State.WAITING, "ignore"),
        ev.Retired: (State.KILLING, "kill_at_gate"),
        ev.PtyClosed: (State.HUNG_UP, "hung_up"),
        ev.ChildExited: (State.DRAINING, "lost_child"),
    },
    State.READY: {
        ev.SlotBroke: (State.KILLING, "broke"),
        ev.TurnAssigned: (State.LOADING, "load"),
        ev.TurnAbandoned: (State.READY, "detach"),
        **STRAY,
        ev.ToolsAsked: (State.READY, "tools_asked"),
        ev.PtyOutput: (State.READY, "screen_changed"),
        ev.TrustAsked: (State.READY, "ignore"),
        ev.DialogSettled: (State.READY, "ignore"),
        ev.ScreenBlocked: (State.KILLING, "blocked"),
        ev.DeadlinePassed: (State.READY, "ignore"),
        ev.Retired: (State.KILLING, "kill"),
        ev.PtyClosed: (State.HUNG_UP, "hung_up"),
        ev.ChildExited: (State.DRAINING, "lost_child"),
    },
    State.LOADING: _by_keys(
        State.LOADING,
        TurnSeen=(State.TYPING, "type_last"),
        WireArrived=(State.LOADING, "ignore"),
    ),
    State.STARTING: {
        ev.SlotBroke: (State.KILLING, "broke"),
        ev.SlotSpawned: (State.STARTING, "spawned"),  # without a gate it starts with its conversation
        ev.SpawnFailed: (State.DEAD, "not_spawned"),
        ev.ToolsAsked: (State.STARTING, "tools_asked"),
        ev.PtyOutput: (State.STARTING, "screen_changed"),
        ev.TrustAsked: (State.STARTING, "trust"),
        ev.DialogSettled: (State.STARTING, "settled"),
        ev.TurnSeen: (State.RUNNING, "seen"),
        ev.HookArrived: (State.RUNNING, "told"),
        ev.WireArrived: (State.RUNNING, "reported"),
        ev.ToolCalled: (State.RUNNING, "called"),
        ev.TranscriptGrew: (State.STARTING, "grew"),
        ev.HandOverFailed: (State.KILLING, "hand_over_failed"),
        ev.ScreenBlocked: (State.KILLING, "blocked"),
        ev.DeadlinePassed: (State.KILLING, "expired"),
        ev.TurnParked: (State.PARKED, "park"),
        ev.TurnKept: (State.KEPT, "keep"),
        ev.TurnEnded: (State.KILLING, "end_turn"),
        ev.TurnAbandoned: (State.KILLING, "end_turn"),
        ev.Retired: (State.KILLING, "kill"),
        ev.PtyClosed: (State.HUNG_UP, "hung_up"),
        ev.ChildExited: (State.DRAINING, "lost_child"),
    },
    State.RUNNING: {
        ev.SlotBroke: (State.KILLING, "broke"),
        ev.ToolsAsked: (State.RUNNING, "tools_asked"),
        ev.PromptSettled: (State.RUNNING, "ignore"),
        ev.PtyOutput: (State.RUNNING, "screen_changed"),
        ev.TurnSeen: (State.RUNNING, "ignore"),
        ev.HookArrived: (State.RUNNING, "told"),
        ev.WireArrived: (State.RUNNING, "reported"),
        ev.ToolCalled: (State.RUNNING, "called"),
        ev.TurnParked: (State.PARKED, "park"),
        ev.TurnKept: (State.KEPT, "keep"),
        ev.TranscriptGrew: (State.RUNNING, "grew"),
        ev.HandOverFailed: (State.KILLING, "hand_over_failed"),
        ev.TrustAsked: (State.RUNNING, "ignore"),
        ev.DialogSettled: (State.RUNNING, "ignore"),
        ev.ScreenBlocked: (State.KILLING, "blocked"),
        ev.DeadlinePassed: (State.RUNNING, "late"),
        ev.TurnEnded: (State.KILLING, "end_turn"),
        ev.TurnAbandoned: (State.INTERRUPTING, "interrupt"),
        ev.Retired: (State.KILLING, "kill"),
        ev.PtyClosed: (State.HUNG_UP, "hung_up"),
        ev.ChildExited: (State.DRAINING, "lost_child"),
    },
    State.PARKED: {
        ev.SlotBroke: (State.KILLING, "broke"),
        ev.ToolCalled: (State.PARKED, "called"),
        ev.ResultsBrought: (State.RUNNING, "resume"),
        ev.ToolsAsked: (State.PARKED, "tools_asked"),
        ev.PromptSettled: (State.PARKED, "ignore"),
        ev.PtyOutput: (State.PARKED, "screen_changed"),
        ev.HookArrived: (State.PARKED, "ignore"),
        ev.WireArrived: (State.PARKED, "late_report"),
        ev.TranscriptGrew: (State.PARKED, "overheard"),
        ev.TurnSeen: (State.PARKED, "ignore"),
        ev.TurnAbandoned: (State.PARKED, "ignore"),
        ev.TrustAsked: (State.PARKED, "ignore"),
        ev.DialogSettled: (State.PARKED, "ignore"),
        ev.HandOverFailed: (State.KILLING, "hand_over_failed"),
        ev.ScreenBlocked: (State.KILLING, "blocked"),
        ev.TurnEnded: (State.KILLING, "end_turn"),
        ev.DeadlinePassed: (State.KILLING, "end_turn"),
        ev.Retired: (State.KILLING, "end_turn"),
        ev.PtyClosed: (State.HUNG_UP, "hung_up"),
        ev.ChildExited: (State.DRAINING, "lost_child"),
    },
    State.KEPT: {
        ev.SlotBroke: (State.KILLING, "broke"),
        ev.MessageBrought: (State.TYPING, "type"),
        ev.ToolsAsked: (State.KEPT, "tools_asked"),
        ev.PromptSettled: (State.KEPT, "ignore"),
        ev.PtyOutput: (State.KEPT, "screen_changed"),
        ev.HookArrived: (State.KEPT, "ignore"),
        ev.WireArrived: (State.KEPT, "late_report"),
        ev.TranscriptGrew: (State.KEPT, "last_words"),
        ev.TurnSeen: (State.KEPT, "ignore"),
        ev.TurnAbandoned: (State.KEPT, "ignore"),
        ev.TrustAsked: (State.KEPT, "ignore"),
        ev.DialogSettled: (State.KEPT, "ignore"),
        ev.HandOverFailed: (State.KILLING, "hand_over_failed"),
        ev.ScreenBlocked: (State.KILLING, "blocked"),
        ev.DeadlinePassed: (State.KILLING, "kill"),
        ev.Retired: (State.KILLING, "kill"),
        ev.PtyClosed: (State.HUNG_UP, "hung_up"),
        ev.ChildExited: (State.DRAINING, "lost_child"),
    },
    State.TYPING: _by_keys(
        State.TYPING,
        TurnSeen=(State.RUNNING, "seen"),
        WireArrived=(State.TYPING, "late_report"),
        PromptSettled=(State.TYPING, "look_at_prompt"),
    ),
    State.INTERRUPTING: _dying(
        State.INTERRUPTING,
        DeadlinePassed=(State.KILLING, "kill"),
        PtyClosed=(State.REAPING, "kill"),
        ChildExited=(State.DRAINING, "lost_child"),
    ),
    State.HUNG_UP: _dying(
        State.HUNG_UP,
        TranscriptGrew=(State.HUNG_UP, "last_words"),
        DeadlinePassed=(State.REAPING, "lost_terminal"),
        PtyClosed=(State.HUNG_UP, "ignore"),
        ChildExited=(State.DEAD, "lost_both"),
    ),
    State.KILLING: _dying(
        State.KILLING,
        DeadlinePassed=(State.KILLING, "kill_harder"),
        PtyClosed=(State.REAPING, "ignore"),
        ChildExited=(State.DRAINING, "ignore"),
    ),
    State.REAPING: _dying(
        State.REAPING,
        DeadlinePassed=(State.REAPING, "kill_harder"),
        PtyClosed=(State.REAPING, "ignore"),
        ChildExited=(State.DEAD, "bury"),
    ),
    State.DRAINING: _dying(
        State.DRAINING,
        DeadlinePassed=(State.DEAD, "bury"),
        ChildExited=(State.DRAINING, "ignore"),
        PtyClosed=(State.DEAD, "bury"),
    ),
    State.DEAD: _dying(
        State.DEAD,
        DeadlinePassed=(State.DEAD, "ignore"),
        PtyClosed=(State.DEAD, "ignore"),
        ChildExited=(State.DEAD, "ignore"),
    )
    | {ev.SpawnFailed: (State.DEAD, "ignore")},
}
