"""What Claude Code knows of the login's usage limits: one POST body of the mod to windows. Pure; called by `core/callbacks.py`.

Only a subscription has them, and they are as the API's last answer had them. A window is named as Claude Code names it.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.claude import told

FIVE_HOURS, WEEK = "five_hour", "seven_day"
WINDOWS_MAX = 8
PERCENT_MAX = 1000.0  # a window can be passed: extra usage
KIND_MAX_CHARS = 40
YEARS_MAX_S = 4e9  # Unix seconds


@dataclass(frozen=True)
class Window:
    """One limit: how much of it is used, and when (Unix seconds) it begins anew."""

    kind: str
    used_percent: float
    resets_at: float


def read(body: bytes) -> tuple[Window, ...]:
    """The windows in a body. Raises ValueError if it is malformed."""
    found = told.listing(told.mapping(codec.parse(body), "body").get("limits"), "limits")
    if len(found) > WINDOWS_MAX:
        raise ValueError("limits: too many")
    return tuple(_window(told.mapping(each, "limit")) for each in found)


def _window(value: dict[str, Any]) -> Window:
    kind = told.word(value.get("kind"), "kind")
    if not kind.isidentifier() or len(kind) > KIND_MAX_CHARS:
        raise ValueError("kind: not a name")
    return Window(kind, told.number(value.get("percentUsed"), "percentUsed", PERCENT_MAX), _time(value.get("resetsAt")))


def _time(value: Any) -> float:
    try:
        at = datetime.datetime.fromisoformat(told.word(value, "resetsAt"))
        unix = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError("resetsAt: not a time") from error
    if not 0 < unix <= YEARS_MAX_S:
        raise ValueError("resetsAt: not a time")
    return unix
