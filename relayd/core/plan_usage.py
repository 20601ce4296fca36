"""What is known of the plan's windows: how much is used, when they begin anew, how that went over the last day. Pure.

Claude Code tells it after a turn (`claude/plan.py`), if the login is a subscription; otherwise, and before the first turn,
nothing is known, and nothing is guessed. The keys that refuse calls above a percentage are heeded here, so that a batch
leaves room for the person. Owned by `core/engine.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from relayd.claude.plan import FIVE_HOURS, WEEK, Window
from relayd.config import Config
from relayd.core import actions as do
from relayd.core.actions import Action
from relayd.errors import ApiError, final

KINDS_MAX = 8
DAY_S = 86_400.0
SAMPLE_S = 600.0  # of the line over the last day
SAMPLES_MAX = int(DAY_S / SAMPLE_S)
WORDS = {FIVE_HOURS: "five-hour window", WEEK: "weekly window"}


@dataclass
class Known:
    """One window as it was told last. `told_at` and those of `samples` are Unix seconds."""

    window: Window
    told_at: float
    warned: bool = False
    samples: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))

    def __repr__(self) -> str:
        return f"<Known {self.window.kind} {self.window.used_percent:g} %>"


class PlanUsage:
    """See the module's text. Every time given is in Unix seconds: a window ends by the clock on the wall."""

    def __init__(self, config: Config, profile: str = "") -> None:
        self._config = config
        self._whose = f" of the profile {profile}" if profile else ""
        self._known: dict[str, Known] = {}

    def __repr__(self) -> str:
        return f"<PlanUsage {list(self._known.values())}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def told(self, windows: tuple[Window, ...], unix: float) -> list[Action]:
        """Claude Code has told these; one that it leaves out stays as it was."""
        return [order for window in windows for order in self._take(window, unix)]

    def _take(self, window: Window, unix: float) -> list[Action]:
        known = self._known.get(window.kind)
        if known is None:
            if len(self._known) >= KINDS_MAX:
                return []
            known = self._known[window.kind] = Known(window, unix)
        if window.resets_at != known.window.resets_at and window.used_percent < known.window.used_percent:
            known.warned = False  # it has begun anew
        known.window, known.told_at = window, unix
        _sample(known, unix)
        return self._warn(known, unix)

    def _warn(self, known: Known, unix: float) -> list[Action]:
        limit, window = self._config.plan_warn_percent, known.window
        if known.warned or not limit or window.used_percent < limit:
            return []
        known.warned = True
        which = f"{_words(window.kind)}{self._whose}"
        text = f"{window.used_percent:g} % of the plan's {which} is used; it resets in {_left(window, unix)}"
        return [do.Log("warning", text)]

    def admit(self, unix: float, percent: int = 0, whose: str = "") -> None:
        """Raises ApiError 429 if a window is used beyond what the configuration allows, or `percent`, the limit of a key."""
        for known in self._current(unix):
            window = known.window
            own = {FIVE_HOURS: self._config.plan_stop_percent, WEEK: self._config.plan_stop_week_percent}.get(window.kind, 0)
            if own and window.used_percent >= own:
                raise _refusal(window, unix, f"relayd takes no calls from {own} % on")
            if percent and window.used_percent >= percent:
                raise _refusal(window, unix, f"{whose} may use it up to {percent} %")

    def _current(self, unix: float) -> list[Known]:
        """Those whose window has not ended: of the next one nothing is known before the next turn."""
        return [known for known in self._known.values() if known.window.resets_at > unix]

    def describe(self, unix: float) -> dict[str, Any]:
        """For `/v1/status` and `/v1/usage`: whether anything is known, and each window."""
        windows = [
            {
                "window": known.window.kind,
                "used_percent": round(known.window.used_percent, 1),
                "resets_at": round(known.window.resets_at),
                "resets_in_s": round(known.window.resets_at - unix),
                "told_s": round(unix - known.told_at),
            }
            for known in self._current(unix)
        ]
        warn = self._config.plan_warn_percent
        return {"known": bool(windows), "warn_percent": warn, "windows": windows}

    def line(self, unix: float) -> dict[str, list[list[float]]]:
        """Each window's figures over the last day, as pairs of Unix seconds and percent."""
        return {
            kind: [[round(at), round(percent, 1)] for at, percent in known.samples if unix - at <= DAY_S]
            for kind, known in self._known.items()
        }


def _sample(known: Known, unix: float) -> None:
    """A point of the line: a new one every ten minutes, between them the last one moves."""
    samples, percent = known.samples, known.window.used_percent
    if len(samples) > 1 and samples[-1][0] - samples[-2][0] < SAMPLE_S:
        samples.pop()
    samples.append((unix, percent))


def _refusal(window: Window, unix: float, rule: str) -> ApiError:
    used = f"{window.used_percent:g} % of the plan's {_words(window.kind)} is used"
    text = f"{used}, and {rule}; it resets in {_left(window, unix)}"
    wait_s = max(1, round(window.resets_at - unix))
    return final(429, text, wait_s)


def _words(kind: str) -> str:
    return WORDS.get(kind, kind.replace("_", " "))


def _left(window: Window, unix: float) -> str:
    minutes = max(1, round((window.resets_at - unix) / 60))
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
