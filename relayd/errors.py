"""The two error families: the client (or the model's API) did it, or we did it.

Imports nothing of ours. `ApiError` is what a client sees, already in the API's vocabulary;
it is raised where the cause is known and becomes bytes in one place (`anthropic/answer.py`).
Anything else that escapes is a bug: it dooms the one call or session it happened in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

EXIT_OK, EXIT_USAGE, EXIT_BUG, EXIT_SYSTEM = 0, 100, 101, 111  # how programs are told
MESSAGE_MAX_CHARS = 2000  # of a 400, whatever a client has put into what it quotes

# Status and error.type pairs of the Messages API (platform docs, "Errors").
KIND_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass
class ApiError(Exception):
    """An error a client gets, in the API's own shape.

    status: HTTP status; message: the text; retry_after_s: becomes `retry-after`;
    details: `error.details`, with an `error_code` the SDKs act on; headers: extra ones;
    resets_at: unix seconds of a usage limit's end, which becomes `retry_after_s`;
    by_api: the API has said so, to Claude Code; otherwise it is our own word.
    """

    status: int
    message: str
    retry_after_s: int | None = None
    details: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    resets_at: int | None = None
    by_api: bool = False

    @property
    def kind(self) -> str:
        """`error.type` that goes with the status."""
        if self.status in KIND_BY_STATUS:
            return KIND_BY_STATUS[self.status]
        return "api_error" if self.status >= 500 else "invalid_request_error"

    def __str__(self) -> str:
        return f"{self.status} {self.kind}: {self.message}"


def invalid(message: str) -> ApiError:
    """400: the request is malformed or refused."""
    return ApiError(400, message if len(message) <= MESSAGE_MAX_CHARS else message[:MESSAGE_MAX_CHARS] + " …")


def overloaded(message: str, retry_after_s: int) -> ApiError:
    """529: no slot came free in time."""
    return ApiError(529, message, retry_after_s=retry_after_s)


def internal(message: str) -> ApiError:
    """500: relayd or Claude Code failed; a retry may help."""
    return ApiError(500, message)


def final(status: int, message: str, retry_after_s: int | None = None) -> ApiError:
    """An error that asking again in a moment does not mend, and of whose kind SDKs would do that."""
    return ApiError(status, message, retry_after_s, headers={"x-should-retry": "false"})


class StartError(Exception):
    """A command, or the daemon, cannot do what it is for; the message says why and what to do."""


class ConfigError(Exception):
    """The configuration is wrong; the message names the key and says what would be right."""


class Refused(Exception):
    """A state machine was given an event that its state does not allow: a bug of ours."""
