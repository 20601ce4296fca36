"""What conversation a request names: a sticky session by header, or a thread by its latest answer. Pure.

Used by `core/request_decoding.py`; the conversations themselves are in `core/conversations.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relayd.errors import invalid
from relayd.http.messages import text_of

SESSION_HEADERS = ("x-relayd-session", "x-ir-session-id")
NAME_MAX_CHARS = 128
THREAD = "thread"
SESSION = "session"


@dataclass(frozen=True)
class Name:
    """What a conversation is found by: a client's session id, or the id of a thread's latest answer (empty: a new thread)."""

    kind: str
    id: str


NEW_THREAD = Name(THREAD, "")


def name_of(headers: Mapping[str, str], value: dict[str, Any]) -> Name | None:
    """The conversation that a request names, by header or by its `thread`. Raises ApiError 400."""
    given = {headers[h] for h in SESSION_HEADERS if h in headers}
    thread = value.get("thread")
    if len(given) > 1 or (given and thread is not None):
        raise invalid("a request can name one conversation only: a session by header, or a thread")
    for text in map(_as_sent, given):
        if not 0 < len(text) <= NAME_MAX_CHARS or not text.isprintable():
            raise invalid(f"x-relayd-session: must be 1 to {NAME_MAX_CHARS} printable characters")
        return Name(SESSION, text)
    return _thread(thread, value) if thread is not None else None


def name_beside(headers: Mapping[str, str], previous_response: str) -> Name | None:
    """The same for a request that may go on from a response, which is none of these. Raises ApiError 400."""
    name = name_of(headers, {})
    if name is not None and previous_response:
        raise invalid("a request can name one conversation only: a session by header, or a previous response")
    return name


def _as_sent(value: str) -> str:
    """A header's value, which HTTP hands on as Latin-1, in the letters of the client."""
    return text_of(value.encode("latin-1", "replace"))


def _thread(thread: Any, value: dict[str, Any]) -> Name:
    kind = thread.get("type") if isinstance(thread, dict) else None
    if kind == "create":
        return NEW_THREAD
    if kind != "continue":
        raise invalid("thread.type: Input should be 'create' or 'continue'")
    previous = thread.get("previous_message_id")
    if not isinstance(previous, str) or not previous:
        raise invalid("thread.continue.previous_message_id: Field required")
    for field_name in ("system", "tools"):
        if value.get(field_name):
            raise invalid(f"{field_name}: must be absent when a thread is continued")
    return Name(THREAD, previous)
