"""What is known of the login's rate limit: after a 429 that names its end, calls fail fast until then. Pure.

One call now and then is let through: limits end early, and reset times are read from a text.
Owned by `core/relay.py`.
"""

from __future__ import annotations

from typing import Any

from relayd.errors import ApiError

FAST_MIN_S = 3  # a shorter wait is not worth remembering


class RateLimit:
    """Times are monotonic seconds."""

    def __init__(self, probe_s: float) -> None:
        self._probe_s = probe_s
        self._until = 0.0
        self._probe_at = 0.0
        self._message = ""

    def __repr__(self) -> str:
        return f"<RateLimit until={self._until:.0f}>"

    def admit(self, now: float) -> None:
        """Raises ApiError 429 while the limit is known to be in force, but for a probe now and then."""
        if now >= self._until:
            return
        if now >= self._probe_at:
            self._probe_at = now + self._probe_s
            return
        raise ApiError(429, self._message, retry_after_s=round(self._until - now) + 1)

    def failed(self, error: ApiError, now: float) -> None:
        """A call was refused upstream."""
        wait_s = error.retry_after_s
        if error.status == 429 and wait_s is not None and wait_s >= FAST_MIN_S:
            self._until, self._probe_at, self._message = now + wait_s, now + self._probe_s, error.message

    def passed(self) -> None:
        """A call was answered: no limit is in force."""
        self._until = 0.0

    def describe(self, now: float) -> dict[str, Any]:
        """For `/v1/health`."""
        limited = now < self._until
        return {"limited": limited, "resets_in_s": round(self._until - now) if limited else 0}
