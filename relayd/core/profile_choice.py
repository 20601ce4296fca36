"""Which profile a call is for: its key's, or the one that it names. Pure; asked by `core/call_limits.py`, for every call."""

from __future__ import annotations

from collections.abc import Mapping

from relayd import profiles
from relayd.errors import ApiError, invalid
from relayd.http.keys import NamedKey

HEADER = "x-relayd-profile"


def choose(headers: Mapping[str, str], key: NamedKey | None, table: str) -> str:
    """The profile's name; empty for the login of the daemon's own environment. `table` is the configuration's.

    Raises ApiError: 400 for a profile that is not known, 403 for one that is not the key's.
    """
    named, own = headers.get(HEADER, ""), key.profile if key else ""
    if own and named not in ("", own):
        raise ApiError(403, f"the key {key.name if key else ''} is for the profile {own}")
    name = own or named
    known = profiles.table(table)
    if name and name not in known:
        raise invalid(f"{HEADER}: there is no profile of that name; known: {', '.join(known) or 'none'}")
    return name
