"""What a turn brings, part by part: what a client sees of an answer while it is made, then its end; and what an
ended turn waits for. Pure values.

Made by `turn.py` and by the effects that give a turn up; `core/delivery.py` brings them to the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from relayd.anthropic.answer import Answer
from relayd.anthropic.blocks import Block
from relayd.core.session.live import LivePart
from relayd.errors import ApiError


class Verdict(Enum):
    """What is known of the request that reached the model."""

    AWAITED = "awaited"  # nothing yet
    EXACT = "exact"  # it is the client's
    CHANGED = "changed"  # it is not
    SILENT = "silent"  # Claude Code has not told it in time, or was not asked to
    LARGE = "large"  # it was not compared: too much work for the loop


@dataclass(frozen=True)
class Witnessed:
    """The part that says so; it comes before everything else of the answer."""

    verdict: Verdict

    @property
    def word(self) -> str:
        """For the header."""
        return "exact" if self.verdict is Verdict.EXACT else "unseen"


@dataclass(frozen=True)
class BlockShown:
    """A whole block of another kind."""

    block: Block


@dataclass(frozen=True)
class Finished:
    """The answer, complete and exact."""

    answer: Answer


@dataclass(frozen=True)
class Failed:
    """The turn has failed; `lost` if the process has, so that another may answer."""

    error: ApiError
    lost: bool = False
    unseen: bool = False  # no part of an answer came
    differs: bool = False  # what was streamed is not what Claude Code has in the end
    silent: bool = False  # it stood waiting, and has given no sign of life since it got the call


Shown = LivePart | BlockShown  # what a client sees of an answer while it is made
Part = Witnessed | Shown | Finished | Failed


class Typed(Enum):
    """What a process has shown of the ways by its prompt."""

    TAKEN = "a text was taken"
    REFUSED = "a text was not taken as it is"
    IGNORED = "a text was not taken in time"
    NO_PROMPT = "no prompt was seen in time"


class Wait(Enum):
    """What an ended turn still waits for."""

    NOTHING = "nothing"
    TRANSCRIPT = "its transcript lines"
    STATUS = "the status of its API error"
    REST = "what follows its last line"
    DISPLAY = "the last hooks of its text"
