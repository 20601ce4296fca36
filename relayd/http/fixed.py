"""Answers to clients whose request was never parsed: bytes as they go out, in the API's shape. Pure."""

from __future__ import annotations

import json

STRANGER = (403, "Forbidden", "permission_error", "relayd answers its own user only")
TOO_SLOW = (408, "Request Timeout", "timeout_error", "the request took too long to arrive")


def answer(kind: tuple[int, str, str, str], date: str) -> bytes:
    """A whole answer: status, reason, the error's type and message. The connection ends after it."""
    status, reason, error, message = kind
    body = json.dumps({"type": "error", "error": {"type": error, "message": message}})
    lines = [
        f"HTTP/1.1 {status} {reason}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"date: {date}",
        "server: relayd",
        "connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
