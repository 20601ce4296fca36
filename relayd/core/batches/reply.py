"""What the answer of a request means for its batch: a result, or that it cannot be run now. Pure; called by `runner.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from relayd.core import actions as do

TRIES_MAX = 2  # of a request that fails on relayd's side
PAUSE_MAX_S = 300.0  # limits end early, and reset times are read from a text: it is tried again in between
PAUSE_S = 30.0  # where the error names no time
# Not the request's fault, and nothing was spent: the login must be renewed, the plan is used up, no process came free.
NOT_NOW = (401, 429, 529)
OWN = "x-relayd-"  # how the headers begin that stand beside a result


@dataclass(frozen=True)
class Result:
    """It is done. `body` is the answer's JSON, or the error's; `told` are relayd's own headers: what was not honoured."""

    has_succeeded: bool
    body: bytes = field(repr=False)
    told: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Later:
    """It must be run again, after so many seconds."""

    pause_s: float


def judge(order: do.Respond, tries: int, is_closing: bool) -> Result | Later:
    """`tries`: how often it was tried, this time included; `is_closing`: the daemon ends, and fails what runs."""
    if order.status == 200:
        return Result(True, order.body, _told(order))
    if is_closing:
        return Later(0.0)
    if order.status in NOT_NOW:
        return Later(_pause_s(order))
    if order.status >= 500 and tries < TRIES_MAX:
        return Later(PAUSE_S)
    return Result(False, order.body, _told(order))


def _told(order: do.Respond) -> dict[str, str]:
    return {name: value for name, value in order.headers if name.startswith(OWN)}


def _pause_s(order: do.Respond) -> float:
    text = dict(order.headers).get("retry-after", "")
    return min(PAUSE_MAX_S, float(text)) if text.isdecimal() else PAUSE_S
