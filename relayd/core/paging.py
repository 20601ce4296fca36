"""Pages of a list, in both ways in which the API turns them: by the ids at its ends, and by an opaque token. Pure.

Ids begin with the time at which they were made, so that a page is found by comparing: also behind one that was deleted
meanwhile, as a client does that deletes what it lists. Used for files and batches.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

from relayd.anthropic import checks
from relayd.errors import invalid

LETTERS = string.digits + string.ascii_lowercase
TIME_LETTERS, CHANCE_LETTERS = 9, 14
TOKEN = "page_"
QUERY_FIELDS_MAX = 300


class Listed(Protocol):
    """What stands in a list."""

    @property
    def id(self) -> str: ...


L = TypeVar("L", bound=Listed)
Query = dict[str, list[str]]


def new_id(prefix: str, unix: float) -> str:
    """An id that was never there before; one that is made later is greater."""
    left, letters = int(unix * 1000), ""
    for _ in range(TIME_LETTERS):
        left, digit = divmod(left, len(LETTERS))
        letters = LETTERS[digit] + letters
    return prefix + letters + "".join(secrets.choice(LETTERS) for _ in range(CHANCE_LETTERS))


def query_of(text: str) -> Query:
    """The fields of a query string. Raises ApiError 400."""
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as error:
        raise invalid("the query has too many fields") from error


def by_ids(items: Sequence[L], query: Query) -> tuple[list[L], bool]:
    """One page of a list, the newest first, by `after_id`, `before_id` and `limit`; are there more? Raises ApiError 400."""
    limit, given = checks.page_limit(query), list(items)
    if "after_id" in query:
        given = [item for item in given if item.id < query["after_id"][-1]]
    elif "before_id" in query:
        given = [item for item in given if item.id > query["before_id"][-1]]
        return given[-limit:], len(given) > limit
    return given[:limit], len(given) > limit


def by_token(items: Sequence[L], query: Query) -> tuple[list[L], str | None]:
    """The same by `page` and `limit`, and the token of the next page. Raises ApiError 400."""
    limit, given = checks.page_limit(query), list(items)
    if "page" in query:
        token = query["page"][-1]
        if not token.startswith(TOKEN):
            raise invalid("page: not a page token")
        given = [item for item in given if item.id < token.removeprefix(TOKEN)]
    shown = given[:limit]
    return shown, TOKEN + shown[-1].id if len(shown) < len(given) else None


def ends(shown: Sequence[L], has_more: bool) -> dict[str, Any]:
    """What stands beside the `data` of a page by ids."""
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return {"has_more": has_more, "first_id": first, "last_id": last}
