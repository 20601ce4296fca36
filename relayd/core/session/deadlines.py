"""The orders that set and cancel the timers of one session. Pure; owned by `record.Session`."""

from __future__ import annotations

from relayd.core.actions import CancelTimer, SetTimer
from relayd.core.timers import SlotDue, SlotTimer

OF_A_TURN = (SlotDue.LINES, SlotDue.LAG, SlotDue.WITNESS)


class Deadlines:
    """`at` is monotonic seconds."""

    def __init__(self, slot: str) -> None:
        self._slot = slot

    def __repr__(self) -> str:
        return f"<Deadlines {self._slot[:8]}>"

    def set(self, due: SlotDue, at: float) -> SetTimer:
        """Set a timer, or move it."""
        return SetTimer(SlotTimer(self._slot, due), at)

    def cancel(self, due: SlotDue) -> CancelTimer:
        """Cancel a timer, if it is set."""
        return CancelTimer(SlotTimer(self._slot, due))

    def end_turn(self) -> list[CancelTimer]:
        """Cancel those of a turn: in the next one they would fire too early."""
        return [self.cancel(due) for due in OF_A_TURN]

    def cancel_all(self) -> list[CancelTimer]:
        """Cancel every timer of the session."""
        return [self.cancel(due) for due in SlotDue]
