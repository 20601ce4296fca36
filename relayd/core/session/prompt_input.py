"""What was typed into one process last, and the orders that type it. Pure; owned by `record.Session`.

A text that keys do not carry is brought by Claude Code's editor, and sent by an Enter of its own. That must be one
Enter, and come when the text is in the prompt: Enters that a busy process finds together are line breaks to it, and
stay in the prompt. So the screen is looked at whenever the terminal has been silent for a moment.

While a conversation is being loaded, an Enter puts the text into Claude Code's queue; when that ends, the prompt is
emptied. An Enter that comes in between finds nothing. Then the editor is opened once more, unless a turn has begun.
"""

from __future__ import annotations

from enum import Enum

from relayd.claude import prompt, screens
from relayd.claude.prompt import Draft, Way
from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.core.timers import SlotDue, SlotTimer
from relayd.terminal.screen import Screen

SHOWN_S_PER_CHAR = 15e-6  # a text of 63,000 characters is in the prompt after 0.2 s, and after a multiple on a busy machine


class Stage(Enum):
    """How far an editor's text is."""

    NONE = "none"  # no text, or one that was typed
    HELD = "held"  # Claude Code puts the turn before away: what is typed now would go into its queue
    EDITING = "editing"  # the editor has been asked for
    BACK = "back"  # the terminal is Claude Code's again
    EARLY = "early"  # Enter was pressed while a conversation was being loaded, which empties the prompt in the end
    AGAIN = "again"  # the text was lost to that, and the editor has been asked for once more
    SENT = "sent"  # Enter was pressed, and has been taken if the text was there


class PromptInput:
    """See the module's text."""

    def __init__(self, slot: str, config: Config) -> None:
        self._slot = slot
        self._config = config
        self._draft: Draft | None = None
        self._stage = Stage.NONE
        self._since = self._painted_at = 0.0
        self._rest = b""  # of the output: a mark may come in two parts

    def __repr__(self) -> str:
        return f"<PromptInput {self._draft.way.value if self._draft else 'nothing typed'} {self._stage.value}>"

    @property
    def text(self) -> str | None:
        """The text, once there is one."""
        return self._draft.text if self._draft else None

    def take(self, draft: Draft) -> None:
        """The text of the next message; it is typed later."""
        self._draft, self._stage = draft, Stage.NONE

    def type_next(self, is_settled: bool, now: float) -> list[Action]:
        """The same as `type`, after an answer: it is given before Claude Code is done with its turn."""
        if is_settled:
            return self.type(now)
        self._stage = Stage.HELD
        return [self._look(now + self._limit_s)]

    def type(self, now: float) -> list[Action]:
        """Get the text into the prompt, and sent."""
        assert self._draft is not None
        self._stage = Stage.NONE
        if self._draft.way is Way.KEYS:
            return [do.WritePty(self._slot, prompt.keys(self._draft.text))]
        self._stage, self._since, self._rest = Stage.EDITING, now, b""
        return [self._open(), self._look(now + self._limit_s)]

    def _open(self) -> Action:
        assert self._draft is not None
        return do.OpenEditor(self._slot, self._draft.text, prompt.OPEN_EDITOR)

    def painted(self, output: bytes, screen: Screen, is_settled: bool, now: float) -> list[Action]:
        """The terminal has changed. `is_settled`: Claude Code is done with the turn before."""
        self._painted_at = now
        if self._stage is Stage.HELD:
            return self.type(now) if is_settled else []
        if self._stage is Stage.EDITING:
            output = self._rest + output
            self._rest = output[1 - len(prompt.EDITOR_LEFT) :]
            if prompt.EDITOR_LEFT in output:
                self._stage = Stage.BACK
        if self._stage is Stage.EARLY and screens.is_busy(screen.title) and not screens.holds_text(screen.column):
            self._stage = Stage.SENT  # it waits until the conversation is loaded
        if self._stage is Stage.BACK:
            return [self._look(now + self._config.editor_settle_s)]
        return [self._look(now + self._lost_s)] if self._stage in (Stage.EARLY, Stage.AGAIN) else []

    def look(self, screen: Screen, now: float) -> list[Action] | None:
        """The terminal is silent: send the text if it is in the prompt, or must be by now. None if it is lost."""
        if self._stage is Stage.NONE:
            return []
        if self._stage is Stage.HELD:
            return self.type(now)
        due, silent = self._since + self._limit_s, self._painted_at + self._lost_s
        has_text, is_busy = screens.holds_text(screen.column), screens.is_busy(screen.title)
        may_be_lost = not has_text and not is_busy
        if self._stage in (Stage.BACK, Stage.EARLY) and may_be_lost and now >= silent:
            self._stage, self._since = Stage.AGAIN, now
            return [self._open(), self._look(now + self._limit_s)]
        if self._stage is Stage.AGAIN and is_busy:  # it was not lost: a second Enter would send it twice
            return []
        if now < due and (self._stage in (Stage.EARLY, Stage.SENT) or not has_text):
            return [self._look(silent if now < silent < due and self._stage is not Stage.SENT else due)]
        return None if self._stage is Stage.SENT and may_be_lost else self._press(is_busy, now)

    def _press(self, is_busy: bool, now: float) -> list[Action]:
        self._stage = Stage.EARLY if self._stage is Stage.BACK and is_busy else Stage.SENT
        self._since = now
        return [do.WritePty(self._slot, prompt.ENTER), self._look(now + self._limit_s)]

    def forget(self, now: float) -> list[Action]:
        """Claude Code lists what is typed; its list must lose that again."""
        return [do.ForgetPrompts(now + self._config.forget_after_s)] if self._draft else []

    @property
    def _limit_s(self) -> float:
        return self._config.editor_limit_s + SHOWN_S_PER_CHAR * len(self.text or "")

    @property
    def _lost_s(self) -> float:
        return self._config.editor_lost_s + SHOWN_S_PER_CHAR * len(self.text or "")

    def _look(self, at: float) -> Action:
        return do.SetTimer(SlotTimer(self._slot, SlotDue.PROMPT), at)
