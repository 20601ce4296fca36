"""What the siege counts: requests by family, statuses, requests that caused a 500, wrong answers. One per process, merged at
the end.
"""

from __future__ import annotations

import pathlib
from collections import Counter
from dataclasses import dataclass, field

SAVED_MAX = 40  # requests that are kept for each process
SAVED_MAX_BYTES = 4 * 1024 * 1024


@dataclass
class Tally:
    """`directory` is where requests that caused a 5xx are saved."""

    name: str
    directory: str
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    control_ms: list[float] = field(default_factory=list)  # of a server that does nothing, asked beside the daemon

    @property
    def total(self) -> int:
        """Requests sent."""
        return sum(self.counts.values())

    def count(self, family: str, outcome: object) -> None:
        """One request and what became of it."""
        self.counts[family, str(outcome)] += 1

    def fault(self, text: str) -> None:
        """Something that breaks a bar."""
        if len(self.faults) < SAVED_MAX:
            self.faults.append(text)

    def caused(self, family: str, status: int, request: bytes, answer: bytes) -> None:
        """Keep a request that caused a 5xx."""
        number = len(list(pathlib.Path(self.directory).glob(f"{self.name}-*")))
        if number < SAVED_MAX:
            words = family.replace(" ", "-").replace(":", "")
            path = pathlib.Path(self.directory, f"{self.name}-{number}-{words}-{status}")
            path.write_bytes(request[:SAVED_MAX_BYTES] + b"\n\n<<<<\n" + answer[:2000])
