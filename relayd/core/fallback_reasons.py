"""Which failures let another API answer a call instead of Claude Code: the table, in one place. A pure decision.

Asked by `core/fallback.py`, of the error that the client would get. What the request itself has caused, what the user has
set as a limit (a key's calls, the part of a plan that is kept free), and what the API answers about itself (overloaded, a
fault of its own) are no reasons: another API would answer the first no better, the second is meant so, and the third is the
client's to try again.
"""

from __future__ import annotations

from enum import Enum

from relayd.errors import ApiError


class Reason(Enum):
    """Why Claude Code gives no answer."""

    LIMITED = "limited"  # the plan is used up, or the API wants less
    LOGGED_OUT = "logged out"  # nobody is logged in, or the login is not taken
    BROKEN = "broken"  # missing, ended, stuck, waiting for a person, or without a way to the API


SAID_BY_API = {
    401: Reason.LOGGED_OUT,
    402: Reason.LIMITED,
    403: Reason.LOGGED_OUT,
    429: Reason.LIMITED,
}
SEEN_BY_US = {
    401: Reason.LOGGED_OUT,  # a login screen
    500: Reason.BROKEN,
    504: Reason.BROKEN,
}


def reason(error: ApiError) -> Reason | None:
    """Why another API may answer; None if it may not."""
    return (SAID_BY_API if error.by_api else SEEN_BY_US).get(error.status)
