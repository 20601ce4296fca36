"""The record of one Claude Code process: everything that is known of it, and small helpers for those who act on it.

The record decides nothing. Effects (`life.py`, `running.py`, `typed.py`, `terminal.py`) read and change it; `table.py`
says which effect an event has in which state, and is the only place that assigns the state and the only way to drive a
session. Orders for the runtime are returned by the effects; parts of the answer collect in `parts` for the caller.
"""

from __future__ import annotations

from relayd.anthropic.request import MessagesRequest
from relayd.claude.compose import Scene
from relayd.claude.launch import LaunchKey
from relayd.claude.transcript import TranscriptReader
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.session.digest import ConversationDigest
from relayd.core.session.prompt_input import PromptInput
from relayd.core.session.spec import SessionSpec
from relayd.core.session.states import FREE, State
from relayd.core.session.terminal_replay import TerminalReplay
from relayd.core.session.tool_calls import ToolCalls
from relayd.core.session.turn import Failed, Part, Turn, Wait
from relayd.core.timers import SlotDue, SlotTimer
from relayd.errors import ApiError
from relayd.terminal.screen import Screen


class Session:
    """One process. `now` and all times are monotonic seconds."""

    def __init__(self, spec: SessionSpec, config: Config, now: float) -> None:
        self.spec = spec
        self.config = config
        self.state = State.SPAWNING
        self.since = self.born = now  # `since`: when the state began
        self.pid: int | None = None
        self.screen = Screen(config.columns, config.rows)
        self.replay = TerminalReplay(config.tape_max_bytes)
        self.dialog_since: float | None = None
        self.kills = 0  # how often KILL was sent
        # The call and its conversation
        self.call: int | None = None
        self.assigned: ev.TurnAssigned | None = None  # until the conversation is handed over
        self.handed_over: float | None = None
        self.digest: ConversationDigest | None = None
        self.day = ""  # the local date that Claude Code was told
        # The turn
        self.turn: Turn | None = None
        self.reader = TranscriptReader()
        self.calls = ToolCalls()
        self.progress = now  # the last sign of life of the turn
        self.wait = Wait.NOTHING
        # The prompt
        self.prompt = PromptInput(spec.slot, config)
        self.types_exactly: bool | None = None  # what the heading on its screen says of its version
        self.typed_accepted: bool | None = None  # whether Claude Code took what was typed last, until the pool has heard of it
        # What follows from the event at hand
        self.parts: list[Part] = []
        self.follow_ups: list[ev.SessionEvent] = []

    def __repr__(self) -> str:
        call = f" call={self.call}" if self.call is not None else ""
        return f"<Session {self.slot[:8]} {self.state.value} {self.key}{call}>"

    @property
    def slot(self) -> str:
        """Its id, which is also the session id of the transcript that it starts with."""
        return self.spec.slot

    @property
    def key(self) -> LaunchKey:
        """What the process is bound to from its start."""
        return self.spec.key

    @property
    def is_free(self) -> bool:
        """True for a process that a call may take: it boots or waits, and no call has it."""
        return self.state in FREE and self.call is None

    def then(self, event: ev.SessionEvent) -> None:
        """Have `table.drive` apply `event` after the one at hand."""
        self.follow_ups.append(event)

    def current_turn(self) -> Turn:
        """The turn, in a state that has one."""
        assert self.turn is not None
        return self.turn

    def current_digest(self) -> ConversationDigest:
        """The digest of its conversation, in a state in which another call may continue it."""
        assert self.digest is not None
        return self.digest

    def begin(self, request: MessagesRequest, now: float) -> Scene:
        """Note that the conversation is on its way to the process; the place and time that its transcript tells."""
        self.handed_over = self.progress = now
        if request.tools or self.config.keeps:
            self.digest = ConversationDigest.of(request.system, request.tools, request.messages)
        scene = self.spec.scene(self.spec.conversation, now)
        self.day = scene.today
        self.assigned = None  # a conversation can be 32 MB
        return scene

    def lose(self, reason: str) -> None:
        """The process is lost: its turn ends with what is there, or fails so that another process may answer."""
        if self.turn is not None:
            self.parts += self.turn.lost(reason)
        else:
            self.parts.append(Failed(ApiError(500, reason), lost=True, unseen=True))

    def set_timer(self, due: SlotDue, at: float) -> do.Action:
        """The order that sets or moves one of its timers."""
        return do.SetTimer(SlotTimer(self.slot, due), at)

    def cancel_timer(self, due: SlotDue) -> do.Action:
        """The order that cancels one of its timers."""
        return do.CancelTimer(SlotTimer(self.slot, due))


def timeout(text: str, seen: str) -> ApiError:
    """504 for a process that showed no progress; `seen` is what its screen says."""
    return ApiError(504, text + (f". Its screen says: {seen}" if seen else ""))
