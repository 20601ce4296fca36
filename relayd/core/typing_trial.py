"""Whether texts may be typed into the `claude` at hand, as its processes show. Pure; owned by `pool.py`.

Typing needs a screen that relayd can read, and a new Claude Code may paint another one: then no prompt is seen on it, or a
text is not taken. Either costs a call its patience, so it is tried by one call at a time until it has worked once with this
binary, and a first failure is enough: nothing is typed for a while, which is longer each time, and all calls are replayed.
The log says so once. What has worked and fails now and then is a busy machine's fault: only several failures in a row count.
"""

from __future__ import annotations

from relayd.claude import screens
from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action, Mode
from relayd.core.session.parts import Typed
from relayd.core.session.record import Session
from relayd.core.session.states import State

REST_MAX_S = 86_400.0
RESTS_COUNTED = 20  # more than it takes to get to the longest
UNPROVEN = 1 / 16  # of the usual rest, the first time, since it may have been a busy machine: half a minute


class TypingTrial:
    """See the module's text."""

    def __init__(self) -> None:
        self._is_exact: bool | None = None  # whether this version takes texts as they are; None: not seen yet
        self._has_prompt = False  # a prompt was seen
        self._has_worked = False  # a text was taken
        self._failures = 0  # in a row
        self._rests = 0  # in a row
        self._rests_until = 0.0

    def __repr__(self) -> str:
        return f"<TypingTrial exact={self._is_exact} worked={self._has_worked} failures={self._failures} rests={self._rests}>"

    @property
    def is_exact(self) -> bool:
        """True if the version was seen, and takes texts as they are."""
        return self._is_exact is True

    def allows(self, now: float) -> bool:
        """True if texts may be typed, as far as is known."""
        return self._is_exact is not False and now >= self._rests_until

    def may_wait_for(self, session: Session, others: list[Session]) -> bool:
        """True if a call may wait until this process has reached its prompt: no other does, or one was seen to reach it."""
        if not _boots(session) or self._has_prompt:
            return True
        return not self._rests and not any(_boots(other) and other.call is not None for other in others)

    def saw(self, session: Session, config: Config, now: float) -> list[Action]:
        """What a process has shown."""
        if session.types_exactly is not None:
            self._is_exact, self._has_prompt = session.types_exactly, True
        typed, session.typed = session.typed, None
        match typed:
            case None:
                return []
            case Typed.TAKEN:
                self._has_worked, self._failures, self._rests = True, 0, 0
                return []
            case Typed.REFUSED:
                return self._failed(1, "messages were not taken at the prompt", config, now)
            case Typed.IGNORED:
                count = 1 if self._has_worked else config.typed_refusals_max
                return self._failed(count, "messages were not taken at the prompt", config, now)
            case Typed.NO_PROMPT:
                count = 1 if self._has_prompt else config.typed_refusals_max
                seen = screens.shorten(session.screen.frame().text()) or "nothing"
                return self._failed(count, f"no prompt is seen on Claude Code's screen, which says: {seen}", config, now)

    def _failed(self, count: int, what: str, config: Config, now: float) -> list[Action]:
        self._failures += count
        if self._failures < config.typed_refusals_max:
            return []
        usual_s = config.typing_rest_s * (1 if self._has_worked else UNPROVEN)
        rest_s = min(REST_MAX_S, usual_s * 2 ** min(self._rests, RESTS_COUNTED))
        self._failures, self._rests, self._rests_until = 0, self._rests + 1, now + rest_s
        if self._rests > 1:
            return []
        return [do.Log("warning", f"{what}; for {rest_s:.0f} s all calls are replayed (see relayd doctor)")]


def _boots(session: Session) -> bool:
    return session.state is State.SPAWNING and session.spec.mode is Mode.PROMPT
