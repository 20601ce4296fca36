"""How it went over the last hours: calls and errors by the minute, latencies by road. For the dashboard. Pure.

Bounded: a number of minutes, and the latest calls of each road. Owned by `core/journal.py`, which adds each call.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

MINUTE_S = 60
MINUTES_KEPT = 180
SAMPLES_KEPT = 500  # of each road
PARTS = (50, 95, 99)


@dataclass
class Minute:
    """One minute's calls. `number` counts minutes of Unix time; `errors` are those that were not answered with a 200."""

    number: int
    calls: int = 0
    errors: int = 0


class Timeline:
    """See the module's text."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}  # by their numbers, in no order: calls end in another one than they came in
        self._samples: dict[str, deque[tuple[float, float]]] = {}  # to the first part and to the end, by road

    def __repr__(self) -> str:
        return f"<Timeline {len(self._minutes)} minutes>"

    def add(self, unix: float, road: str, first_s: float, total_s: float, is_error: bool) -> None:
        """A call has ended. `unix` is when it came; `road` is empty for one that never reached Claude Code."""
        number = int(unix // MINUTE_S)
        minute = self._minutes.setdefault(number, Minute(number))
        minute.calls += 1
        minute.errors += is_error
        if len(self._minutes) > MINUTES_KEPT:
            del self._minutes[min(self._minutes)]
        if road and not is_error:
            self._samples.setdefault(road, deque(maxlen=SAMPLES_KEPT)).append((first_s, total_s))

    def as_json(self) -> dict[str, Any]:
        """Minutes in order, with those alone in which something happened; percentiles in seconds."""
        minutes = [[m.number * MINUTE_S, m.calls, m.errors] for _, m in sorted(self._minutes.items())]
        roads = {
            road: {
                "calls": len(found),
                "first_s": _percentiles([first for first, _ in found]),
                "total_s": _percentiles([total for _, total in found]),
            }
            for road, found in self._samples.items()
        }
        return {"minutes": minutes, "roads": roads}


def _percentiles(values: list[float]) -> list[float]:
    """The nearest-rank percentiles of PARTS."""
    ordered = sorted(values)
    return [round(ordered[max(0, -(-len(ordered) * part // 100) - 1)], 4) for part in PARTS]
