"""The text of the `date` header, made once a second. The only place that looks at the time of day for HTTP."""

from __future__ import annotations

from email.utils import formatdate

STALE_S = 1.0


class HttpDate:
    """Asked with monotonic seconds, so that the time of day is read once a second and not once an answer."""

    def __init__(self) -> None:
        self._text = ""
        self._made = float("-inf")

    def __repr__(self) -> str:
        return f"<HttpDate {self._text}>"

    def text(self, now: float) -> str:
        """As RFC 9110 wants it: `Thu, 26 Nov 2026 11:08:12 GMT`."""
        if now - self._made >= STALE_S:
            self._made = now
            self._text = formatdate(usegmt=True)
        return self._text
