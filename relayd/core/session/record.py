"""The record of one Claude Code process: everything that is known of it, and small helpers for those who act on it.

The record decides nothing. Effects (`life.py`, `running.py`, `typed.py`, `terminal.py`) read and change it; `table.py`
says which effect an event has in which state, and is the only place that assigns the state and the only way to drive a
session. Orders for the runtime are returned by the effects; parts of the answer collect in `parts` for the caller.
"""

from __future__ import annotations

import math

from relayd.core import events as ev
from relayd.core.actions import Action
from relayd.core.session.deadlines import Deadlines
from relayd.core.session.digest import ConversationDigest
from relayd.core.session.display import Display, Screen
from relayd.core.session.parts import Failed, Part, Typed, Verdict, Wait
from relayd.core.session.prompt_input import PromptInput
from relayd.core.session.spec import SessionSpec
from relayd.core.session.states import AT_WORK, FREE, LIVE, State
from relayd.core.session.tool_calls import ToolCalls
from relayd.core.session.turn import Turn
from relayd.core.session.witness import Witness

UPSTREAM_S = 0.15  # from a turn's first sign to its request to the model, for a Claude Code that does not tell its requests
UPSTREAM_LIMIT_S = 3.0  # for one that does: it has not told this one


class Session:
    """One process. `now` and all times are monotonic seconds."""

    def __init__(self, spec: SessionSpec, now: float) -> None:
        self.spec = spec
        self.state = State.SPAWNING
        self.since = self.born = now  # `since`: when the state began
        self.pid: int | None = None
        self.display = Display(spec.config)
        self.deadlines = Deadlines(spec.slot)
        self.dialog_since: float | None = None
        self.kills = 0  # how often KILL was sent
        # The call and its conversation
        self.call: int | None = None
        self.assigned: ev.TurnAssigned | None = None  # until the conversation is handed over
        self.handed_over: float | None = None
        self.conversation = spec.conversation  # its session id: that of the files, and what hooks must name
        self.is_fresh = spec.is_at_prompt  # it has taken up nothing at its prompt
        self.served = 0  # conversations of calls that it was given
        self.has_new_transcript = False  # the conversation's own lines have not begun
        self.load_began = False  # its title has shown that it loads
        self.digest: ConversationDigest | None = None
        self.memory_bytes = 0  # that it held after its last answer; 0: not known
        self.day = ""  # the local date that Claude Code was told
        # The turn
        self.turn: Turn | None = None
        self.calls_served: tuple[int | None, int | None] = (None, None)  # those of the turn before and of this one
        self.witness: Witness | None = None  # of the turn
        self.told_at = -math.inf  # when it has told the turn's request, or the last one's
        self.held: list[Part] = []  # parts of the answer, until it is known what the model was asked
        self.reader = spec.reader()
        self.calls = ToolCalls()
        self.progress = now  # the last sign of life of the turn
        self.wait = Wait.NOTHING
        # The prompt
        self.prompt = PromptInput(spec.slot, spec.config)
        self.types_exactly: bool | None = None  # what the heading on its screen says of its version
        self.typed: Typed | None = None  # what became of typing last, until the pool has heard of it
        # What follows from the event at hand
        self.parts: list[Part] = []
        self.follow_ups: list[ev.SessionEvent] = []
        self.orders: list[Action] = []  # noted as they are made, so that a bug in an effect loses none of those before

    def __repr__(self) -> str:
        call = f" call={self.call}" if self.call is not None else ""
        return f"<Session {self.slot[:8]} {self.state.value} {self.spec.key}{call}>"

    @property
    def slot(self) -> str:
        """Its id, which is also the session id of the transcript that it starts with."""
        return self.spec.slot

    @property
    def screen(self) -> Screen:
        """What the terminal shows."""
        return self.display.screen

    @property
    def is_free(self) -> bool:
        """True for a process that a call may take: it boots or waits, and no call has it."""
        return self.state in FREE and self.call is None

    @property
    def is_settled(self) -> bool:
        """True for one that rests, once it has put its turn away: an answer is given before that."""
        return self.state is State.KEPT and self.display.is_settled

    @property
    def is_live(self) -> bool:
        """False once it has begun to end."""
        return self.state in LIVE

    @property
    def has_changed_request(self) -> bool:
        """True if it has sent the model another request than was asked."""
        return self.witness is not None and self.witness.verdict is Verdict.CHANGED

    def is_on_the_way(self, now: float) -> bool:
        """True if it has a call which has not reached the model, as far as is known."""
        if self.state is not State.RUNNING:
            return self.state in AT_WORK or (self.state in FREE and self.call is not None)
        if self.current_witness().verdict is Verdict.SILENT:
            return now - self.since < UPSTREAM_S
        return self.current_witness().is_awaited and now - self.since < UPSTREAM_LIMIT_S

    def take_orders(self) -> list[Action]:
        """The orders so far, and none after that."""
        orders, self.orders = self.orders, []
        return orders

    def then(self, event: ev.SessionEvent) -> None:
        """Have `table.drive` apply `event` after the one at hand."""
        self.follow_ups.append(event)

    @property
    def wants_pieces(self) -> bool:
        """True if pieces of the answer that it is making are of use."""
        return self.state is State.RUNNING and self.turn is not None and self.turn.wants_pieces

    def begin_turn(self, turn: Turn, witness: Witness, now: float) -> None:
        """Another turn of the process begins, for the call that it has."""
        self.calls_served = (self.calls_served[1], self.call)
        self.turn, self.progress, self.wait = turn, now, Wait.NOTHING
        turn.lives_on = bool(self.spec.config.keeps)
        turn.has_media = turn.has_media or witness.request.has_media
        if witness.request.may_cite:
            turn.wait_for_blocks()
        self.witness, self.held = witness, []

    @property
    def reported_call(self) -> int | None:
        """The call that telemetry's next report of a request is about. A report may come when its answer has been given."""
        before, current = self.calls_served
        return before if self.turn is not None and self.turn.owes_report else current

    @property
    def holds_some(self) -> bool:
        """True if something of the answer waits for the verdict."""
        return bool(self.held or self.current_witness().shown)

    def take_shown(self) -> list[Part]:
        """What the texts bring that have waited for the verdict."""
        shown, self.current_witness().shown = self.current_witness().shown, []
        is_late = self.current_witness().is_answered or not self.current_turn().awaits_report
        return [part for fact in shown for part in self.current_turn().displayed(fact, is_late)]

    def add_last(self, parts: list[Part]) -> None:
        """Parts of a process that is lost: nothing more will be known of what the model was asked. What was held back comes with
        them, unless the answer fails; nothing comes of one to another question.
        """
        held, self.held = self.held, []
        if any(isinstance(part, Failed) for part in parts):
            self.parts += parts
        elif not self.has_changed_request:
            self.parts += [*held, *parts]

    def current_turn(self) -> Turn:
        """The turn, in a state that has one."""
        assert self.turn is not None
        return self.turn

    def current_witness(self) -> Witness:
        """The verdict on the turn, in a state that has one."""
        assert self.witness is not None
        return self.witness

    def current_digest(self) -> ConversationDigest:
        """The digest of its conversation, in a state in which another call may continue it."""
        assert self.digest is not None
        return self.digest
