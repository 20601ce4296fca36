"""What was typed into one process last, and the orders that type it. Pure; owned by `core/session.py`.

A text that keys do not carry is brought by Claude Code's editor, and sent by an Enter of its own. That must be one
Enter, and come when the text is in the prompt: Enters that a busy process finds together are line breaks to it, and
stay in the prompt. So the screen is looked at whenever the terminal has been silent for a moment.
"""

from __future__ import annotations

from enum import Enum

from relayd.claude import prompt, screens
from relayd.claude.prompt import Draft, Way
from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.terminal.screen import Frame

ENTER = "enter"  # the timer of a text that may be in the prompt by now


class Stage(Enum):
    """How far an editor's text is."""

    NONE = "none"  # no text, or one that was typed
    EDITING = "editing"  # the editor has been asked for
    BACK = "back"  # the terminal is Claude Code's again
    SENT = "sent"  # Enter was pressed


class Typist:
    """See the module's text."""

    def __init__(self, slot: str, config: Config) -> None:
        self._slot = slot
        self._config = config
        self._draft: Draft | None = None
        self._stage = Stage.NONE
        self._since = 0.0
        self._rest = b""  # of the output: a mark may come in two parts

    def __repr__(self) -> str:
        return f"<Typist {self._draft.way.value if self._draft else 'nothing typed'} {self._stage.value}>"

    @property
    def text(self) -> str | None:
        """The text, once there is one."""
        return self._draft.text if self._draft else None

    def take(self, draft: Draft) -> None:
        """The text of the next message; it is typed later."""
        self._draft, self._stage = draft, Stage.NONE

    def type(self, now: float) -> list[Action]:
        """Get the text into the prompt, and sent."""
        assert self._draft is not None
        limit = do.SetTimer(("slot", self._slot, "state"), now + self._config.submit_limit_s)
        if self._draft.way is Way.KEYS:
            return [do.WritePty(self._slot, prompt.keys(self._draft.text)), limit]
        self._stage, self._since, self._rest = Stage.EDITING, now, b""
        open_editor = do.OpenEditor(self._slot, self._draft.text, prompt.OPEN_EDITOR)
        return [open_editor, limit, self._look(now + self._config.editor_limit_s)]

    def painted(self, output: bytes, now: float) -> list[Action]:
        """The terminal has changed."""
        if self._stage is Stage.EDITING:
            output = self._rest + output
            self._rest = output[1 - len(prompt.EDITOR_LEFT) :]
            if prompt.EDITOR_LEFT in output:
                self._stage = Stage.BACK
        return [self._look(now + self._config.editor_settle_s)] if self._stage is Stage.BACK else []

    def has_lost(self, frame: Frame, now: float) -> bool:
        """True if Enter found no text, and none is there: a conversation that was just loaded may have emptied the prompt."""
        overdue = self._stage is Stage.SENT and now >= self._since + self._config.editor_limit_s
        return overdue and not screens.holds_text(frame) and not screens.is_busy(frame.title)

    def look(self, frame: Frame, now: float) -> list[Action]:
        """Send the text if it is in the prompt, or must be by now."""
        if self._stage is Stage.NONE:
            return []
        due = self._since + self._config.editor_limit_s
        if now < due and (self._stage is Stage.SENT or not screens.holds_text(frame)):
            return [self._look(due)]
        self._stage, self._since = Stage.SENT, now
        return [do.WritePty(self._slot, prompt.ENTER), self._look(now + self._config.editor_limit_s)]

    def forget(self, now: float) -> list[Action]:
        """Claude Code lists what is typed; its list must lose that again."""
        return [do.ForgetPrompts(now + self._config.forget_after_s)] if self._draft else []

    def _look(self, at: float) -> Action:
        return do.SetTimer(("slot", self._slot, ENTER), at)
