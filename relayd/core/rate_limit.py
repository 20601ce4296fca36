"""What is known of the login's rate limits: after a 429 that names its end, calls of that model fail fast until then. Pure.

Some limits of a plan are for one model only, and an error does not say which, so each model is known by its own errors:
one that is limited stops no other. One call now and then is let through, since limits end early and reset times are read
from a text. Owned by `core/relay.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from relayd.errors import ApiError

FAST_MIN_S = 3  # a shorter wait is not worth remembering
MODELS_MAX = 100  # clients name the models


@dataclass
class Limit:
    """One model's. Times are monotonic seconds."""

    until: float
    probe_at: float
    message: str
    resets_at: int | None = None  # Unix seconds, if the error has told


class RateLimits:
    """By model. `probe_s` is how often one call is let through all the same."""

    def __init__(self, probe_s: float) -> None:
        self._probe_s = probe_s
        self._limits: OrderedDict[str, Limit] = OrderedDict()

    def __repr__(self) -> str:
        return f"<RateLimits {list(self._limits)}>"

    def admit(self, model: str, now: float) -> None:
        """Raises ApiError 429 while the model's limit is known to be in force, but for a probe now and then."""
        limit = self._limits.get(model)
        if limit is None:
            return
        if now >= limit.until:
            del self._limits[model]
            return
        if now < limit.probe_at:
            wait_s = round(limit.until - now) + 1
            raise ApiError(429, limit.message, retry_after_s=wait_s, resets_at=limit.resets_at, by_api=True)
        limit.probe_at = now + self._probe_s

    def failed(self, model: str, error: ApiError, now: float) -> None:
        """A call of this model has failed."""
        wait_s = error.retry_after_s
        if error.status != 429 or wait_s is None or wait_s < FAST_MIN_S:
            return
        self._limits[model] = Limit(now + wait_s, now + self._probe_s, error.message, error.resets_at)
        self._limits.move_to_end(model)
        if len(self._limits) > MODELS_MAX:
            self._limits.popitem(last=False)

    def passed(self, model: str) -> None:
        """A call of this model was answered: it is not limited."""
        self._limits.pop(model, None)

    def describe(self, now: float) -> dict[str, Any]:
        """For `/v1/health`: whether any model is limited, the longest wait in seconds, and each limited model's."""
        waits = {model: round(limit.until - now) for model, limit in self._limits.items() if now < limit.until}
        return {"limited": bool(waits), "resets_in_s": max(waits.values(), default=0), "models": waits}
