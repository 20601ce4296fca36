"""A stream of server-sent events, cut into whole events as they come, and what an event of the Messages API says. Pure.

Bytes in, whole events out, each as it was sent. An event that is not whole yet waits here, up to a size, so that whoever passes
events on can end a stream between two of them. Used by `core/forwarded.py`.
"""

from __future__ import annotations

import re
from typing import Any

from relayd import codec

EVENT_MAX_BYTES = 4 * 1024 * 1024
END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
DATA = b"data:"


class EventCutter:
    """See the module's text."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._looked = 0  # so far no end is in it

    def __repr__(self) -> str:
        return f"<EventCutter {len(self._rest)}>"

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are whole now. Raises ValueError for one that is too large."""
        self._rest += data
        found, begin = [], 0
        for end in END.finditer(self._rest, self._looked):
            found.append(bytes(self._rest[begin : end.end()]))
            begin = end.end()
        del self._rest[:begin]
        self._looked = max(0, len(self._rest) - 3)
        if len(self._rest) > EVENT_MAX_BYTES:
            raise ValueError("an event is too large")
        return found


def told(event: bytes) -> dict[str, Any]:
    """The JSON object of an event's data; empty if it has none. Raises ValueError for data that is no JSON object."""
    lines = [line.removeprefix(DATA).strip() for line in event.splitlines() if line.startswith(DATA)]
    if not lines:
        return {}
    value = codec.parse(b"\n".join(lines))
    if not isinstance(value, dict):
        raise ValueError("an event's data is no object")
    return value
