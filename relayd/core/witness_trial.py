"""Whether `claude` tells what it sends, and what was found in what it told, as calls show. Pure; owned by `launcher.py`.

A version that tells nothing, or cannot write where it is told to, costs each call a wait. After some of these in a row
processes are started without the witness, until there is another `claude`. One that has told before was slow, most likely:
without the witness no process takes up another conversation, so that takes many.
"""

from __future__ import annotations

from collections import Counter

from relayd.core.session.parts import Part, Verdict, Witnessed
from relayd.core.session.record import Session

SILENT_MAX = 3
SILENT_SINCE_MAX = 30  # of one that has told before


class WitnessTrial:
    """See the module's text. `verdicts` counts those of all calls."""

    def __init__(self) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self._silent = 0  # calls in a row of which nothing was told
        self._has_told = False

    def __repr__(self) -> str:
        return f"<WitnessTrial {dict(self.verdicts)} silent={self._silent}>"

    @property
    def is_silent(self) -> bool:
        """True if the next process need not be asked to tell anything."""
        return self._silent >= (SILENT_SINCE_MAX if self._has_told else SILENT_MAX)

    def updated(self) -> None:
        """There is another `claude`."""
        self._silent, self._has_told = 0, False

    def saw(self, session: Session, parts: list[Part]) -> None:
        """What a process has brought."""
        for part in parts:
            if isinstance(part, Witnessed):
                self.verdicts[part.verdict] += 1
                if session.spec.is_witnessed and not self.is_silent:
                    self._silent = self._silent + 1 if part.verdict is Verdict.SILENT else 0
                    self._has_told = self._has_told or not self._silent
