"""What the daemon does for itself from time to time, by timers of its own. Owned by `server`.

It tells the service manager that it lives, looks whether `claude` or the keys have changed, takes typed messages out of
Claude Code's list of prompts, and removes what could not be removed before. A chore that fails is tried again in a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from relayd.config import Config
from relayd.core import events as ev
from relayd.runtime.loop import Loop
from relayd.runtime.notify import Notifier
from relayd.runtime.prompt_history import PromptHistories, PromptHistory
from relayd.runtime.slots import Slots
from relayd.runtime.timers import Chore

REST_S = 5.0  # after an error, until the chore is tried again


class Chores:
    """`examine` describes the `claude` that is there now; `emit` takes that for the core when it has changed."""

    def __init__(
        self,
        config: Config,
        loop: Loop,
        slots: Slots,
        notifier: Notifier,
        prompt_history: PromptHistory | PromptHistories,
        examine: Callable[[], ev.ClaudeChanged],
        emit: Callable[[ev.ClaudeChanged | ev.KeysChanged], None],
        keys: Callable[[], ev.KeysChanged] | None = None,
    ) -> None:
        self._config = config
        self._loop = loop
        self._slots = slots
        self._notifier = notifier
        self._prompt_history = prompt_history
        self._examine = examine
        self._emit = emit
        self._found = examine()
        self._read_keys = keys
        self._keys = keys() if keys else None

    def __repr__(self) -> str:
        return f"<Chores claude={self._found.fingerprint or 'gone'}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def begin(self, now: float) -> None:
        """The daemon serves: tell the service manager, and set the timers of what comes again and again."""
        self._loop.set_timer(Chore.BINARY, now + self._config.binary_check_s)
        if self._read_keys:
            self._loop.set_timer(Chore.KEYS, now + self._config.binary_check_s)
        self._notifier.tell("READY=1")
        self._watch(now)

    def told_to_end(self) -> None:
        """The daemon was told to end: tell the service manager."""
        self._notifier.tell("STOPPING=1")

    def do(self, chore: Chore, now: float) -> None:
        """The timer of a chore has fired."""
        try:
            self._do(chore, now)
        except Exception as error:
            self._loop.report(chore, error)
            self._loop.set_timer(chore, now + REST_S)

    def _do(self, chore: Chore, now: float) -> None:
        match chore:
            case Chore.WATCHDOG:
                self._watch(now)
            case Chore.BINARY:
                self._check_binary(now)
            case Chore.KEYS:
                self._check_keys(now)
            case Chore.PROMPT_HISTORY:
                self._clean_prompt_history(now)
            case Chore.REMOVALS:
                self._slots.tidy(now)
            case _:
                assert_never(chore)

    def _watch(self, now: float) -> None:
        """Tell the watchdog that the loop turns."""
        if self._notifier.watchdog_s:
            self._notifier.tell("WATCHDOG=1")
            self._loop.set_timer(Chore.WATCHDOG, now + self._notifier.watchdog_s / 2, forgiven=False)

    def _clean_prompt_history(self, now: float) -> None:
        if not self._prompt_history.forget():  # somebody writes
            self._loop.set_timer(Chore.PROMPT_HISTORY, now + self._config.forget_after_s)

    def _check_keys(self, now: float) -> None:
        self._loop.set_timer(Chore.KEYS, now + self._config.binary_check_s)
        found = self._read_keys() if self._read_keys else None
        if found is not None and found != self._keys:
            self._keys = found
            self._emit(found)

    def _check_binary(self, now: float) -> None:
        self._loop.set_timer(Chore.BINARY, now + self._config.binary_check_s)
        found = self._examine()
        if found != self._found:
            self._found = found
            self._emit(found)
