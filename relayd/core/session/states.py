"""The states of one Claude Code process, and the groups that rules speak of."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a process stands."""

    SPAWNING = "spawning"  # it boots and has not reached its gate or prompt
    WAITING = "waiting"  # it is blocked at its gate, with no conversation
    READY = "ready"  # it stands at its prompt, with no conversation
    PRIMING = "priming"  # it was told to load what calls begin with: a system prompt, tools
    PRIMED = "primed"  # it stands at its prompt and has loaded that
    LOADING = "loading"  # it was told to take up the conversation, all but the last message
    STARTING = "starting"  # it has the conversation, and has shown no sign of the turn yet
    RUNNING = "running"  # the turn runs
    PARKED = "parked"  # its answer asks for tools; the turn goes on when the client brings their results
    KEPT = "kept"  # it has answered, and waits at its prompt for the next message of its conversation
    TYPING = "typing"  # a message was typed, and Claude Code has not said that it has it
    INTERRUPTING = "interrupting"  # Esc was pressed, and Claude Code aborts its API request
    HUNG_UP = "hung up"  # it has closed its terminal; the exit that explains it is on its way
    KILLING = "killing"  # it was told to end; child and terminal are still there
    REAPING = "reaping"  # its terminal is closed, the child not reaped
    DRAINING = "draining"  # its child is reaped, the terminal not closed
    DEAD = "dead"  # nothing is left of it but this record


FREE = frozenset((State.SPAWNING, State.WAITING, State.READY, State.PRIMING, State.PRIMED))
AT_WORK = frozenset((State.LOADING, State.STARTING, State.RUNNING, State.TYPING))
RESTING = frozenset((State.PARKED, State.KEPT))  # it has answered, and holds the conversation for the next call
LIVE = FREE | RESTING | AT_WORK
DYING = frozenset(State) - LIVE
LEAVING = frozenset((State.KILLING, State.REAPING, State.DRAINING))  # its place in the pool comes free by itself
