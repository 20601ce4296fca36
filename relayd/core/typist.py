"""What was typed into one process last, and the orders that type it. Pure; owned by `core/session.py`."""

from __future__ import annotations

from relayd.claude import prompt
from relayd.claude.prompt import Draft, Way
from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action

ENTER = "enter"  # the timer of a text that waits in the prompt


class Typist:
    """See the module's text."""

    def __init__(self, slot: str, config: Config) -> None:
        self._slot = slot
        self._config = config
        self._draft: Draft | None = None

    def __repr__(self) -> str:
        return f"<Typist {self._draft.way.value if self._draft else 'nothing typed'}>"

    @property
    def text(self) -> str | None:
        """The text, once there is one."""
        return self._draft.text if self._draft else None

    def take(self, draft: Draft) -> None:
        """The text of the next message; it is typed later."""
        self._draft = draft

    def type(self, now: float) -> list[Action]:
        """Get the text into the prompt, and sent."""
        assert self._draft is not None
        limit = do.SetTimer(("slot", self._slot, "state"), now + self._config.submit_limit_s)
        if self._draft.way is Way.KEYS:
            return [do.WritePty(self._slot, prompt.keys(self._draft.text)), limit]
        open_editor = do.OpenEditor(self._slot, self._draft.text, prompt.OPEN_EDITOR)
        return [open_editor, limit, self._timer(now + self._config.editor_limit_s)]

    def has_left_editor(self, output: bytes) -> bool:
        """True if the terminal's output says that the editor has ended."""
        return self._draft is not None and self._draft.way is Way.EDITOR and prompt.EDITOR_LEFT in output

    def enter(self, now: float) -> list[Action]:
        """Send what the editor has brought, again and again: an Enter that comes before the text does nothing."""
        return [do.WritePty(self._slot, prompt.ENTER), self._timer(now + self._config.enter_interval_s)]

    def forget(self, now: float) -> list[Action]:
        """Claude Code lists what is typed; its list must lose that again."""
        return [do.ForgetPrompts(now + self._config.forget_after_s)] if self._draft else []

    def _timer(self, at: float) -> Action:
        return do.SetTimer(("slot", self._slot, ENTER), at)
