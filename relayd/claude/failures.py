"""A failed turn to the error that the API would have given. Pure.

Best source first: the status and text that the API sent (telemetry), the JSON in the hook's
details, the text Claude Code shows, its name for the error.
"""

from __future__ import annotations

import re

from relayd import codec
from relayd.claude.hooks import TurnFailed
from relayd.claude.telemetry import RequestFailed
from relayd.errors import KIND_BY_STATUS, ApiError

SHOWN = re.compile(r"API Error:(?: Request rejected)? \(?(?P<status>[45]\d\d)\)?(?: ·)? ?(?P<message>.*)", re.DOTALL)
ADVICE = re.compile(r"\. This is a server-side issue, usually temporary.*", re.DOTALL)
STATUS_BY_NAME = {
    "authentication_failed": 401,
    "oauth_org_not_allowed": 403,
    "billing_error": 402,
    "rate_limit": 429,
    "invalid_request": 400,
    "model_not_found": 404,
    "server_error": 500,
    "overloaded": 529,
    "max_output_tokens": 500,
}
UNREACHED = "server_error"  # without a status: the API was not reached, or has broken off
LOGIN_TEXT = "Not logged in"
# A usage limit's text; its exact time is in the transcript's line about it, 0.1 s later.
RESETS = re.compile(r"\bresets? ")
# Past the model's window nothing is sent upstream; the words differ from the API's only in their first letter.
TOO_LONG_TEXT = "Prompt is too long"


def login_needed() -> ApiError:
    """401: nobody is logged in, whether a hook or a screen says so."""
    return ApiError(401, "Claude Code is not logged in. Run `claude` once in a terminal and log in.")


def names_a_reset(failed: TurnFailed) -> bool:
    """True for a usage limit whose end Claude Code knows."""
    return failed.error == "rate_limit" and bool(RESETS.search(failed.text))


def to_api_error(failed: TurnFailed, wire: RequestFailed | None, model: str) -> ApiError:
    """The error for the client."""
    if wire is not None and wire.status:
        return _error(wire.status, wire.message, failed)
    sent = _from_details(failed.details)
    if sent is not None:
        return sent
    shown = SHOWN.search(failed.text)
    if shown:
        return _error(int(shown["status"]), ADVICE.sub("", shown["message"]), failed)
    if failed.text.startswith(TOO_LONG_TEXT):
        return ApiError(400, "prompt is too long")
    if LOGIN_TEXT in failed.text:
        return login_needed()
    if failed.error == "model_not_found":
        return ApiError(404, f"model: {model}")
    status = STATUS_BY_NAME.get(failed.error, 500)
    text = wire.message if wire else failed.text or failed.error or "the turn failed"
    return _error(status, text, failed, by_api=failed.error in STATUS_BY_NAME and failed.error != UNREACHED)


def _error(status: int, message: str, failed: TurnFailed, by_api: bool = True) -> ApiError:
    known = status if status in KIND_BY_STATUS else (500 if status >= 500 else 400)
    return ApiError(known, message or failed.text or failed.error, retry_after_s=_retry_after(failed), by_api=by_api)


def _from_details(details: str) -> ApiError | None:
    start = details.find("{")
    status = re.search(r"\b[45]\d\d\b", details[: max(start, 0)])
    if start < 0 or not status:
        return None
    try:
        return ApiError(int(status[0]), str(codec.parse(details[start:].encode())["error"]["message"]), by_api=True)
    except (ValueError, KeyError, TypeError):
        return None


def _retry_after(failed: TurnFailed) -> int | None:
    """Seconds, where the text names them. The header of the upstream answer is not passed on by Claude Code."""
    found = re.search(r"(?:retry|try again|wait)\D{0,20}(\d{1,5}) ?s(?:ec|\b)", failed.text, re.IGNORECASE)
    return int(found[1]) if found else None
