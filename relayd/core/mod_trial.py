"""Whether `claude` starts with the mod, as processes show. Pure; owned by `pool.py`.

A policy of the user's organisation may forbid plugins that are named on the command line, and `claude` then exits. Until
a process with the mod has shown life, one that fails puts the mod under suspicion: the next is started without it. If
that one fails as well, the mod was not the cause.
"""

from __future__ import annotations

from relayd.claude import mod
from relayd.core.session.record import Session
from relayd.core.session.states import State


class ModTrial:
    """See the module's text."""

    def __init__(self) -> None:
        self._works: bool | None = None  # none: not seen yet

    def __repr__(self) -> str:
        return f"<ModTrial works={self._works}>"

    @property
    def is_refused(self) -> bool:
        """True if the next process had better do without the mod."""
        return self._works is False

    def saw(self, session: Session, has_failed: bool) -> None:
        """What became of a process. `has_failed`: it is lost, and has given no part of an answer."""
        if not has_mod(session):
            self._works = None if self.is_refused and has_failed else self._works
        elif session.state in (State.READY, State.RUNNING):
            self._works = True
        elif has_failed and self._works is None:
            self._works = False


def has_mod(session: Session) -> bool:
    """True if the process was started with the mod."""
    return mod.ADDRESS in session.spec.launch.env
