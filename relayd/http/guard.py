"""Who may ask: checks that keep web pages from spending the user's plan. Pure.

A page in a browser can reach a loopback port, by DNS rebinding (a foreign Host), from its own
origin (Origin), or with a form post (no JSON content type). Each is refused before any work.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from relayd import loopback
from relayd.errors import ApiError

ALLOWED_HEADERS = "*, authorization"
# The dashboard loads nothing from elsewhere; the terminal sets styles of its own.
PAGE_POLICY = (
    (
        "content-security-policy",
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


def check(method: str, headers: Mapping[str, str], port: int, allowed: frozenset[str] = frozenset()) -> str:
    """The origin of an allowed foreign page, or nothing. Raises ApiError 403 or 415 for what no local program sends."""
    if not is_own_host(headers.get("host", ""), port):
        raise ApiError(403, "Host is not this daemon's loopback address")
    origin = headers.get("origin")
    if origin is not None and origin not in allowed and not is_own_origin(origin, port):
        raise ApiError(403, "Origin is not allowed: web pages may not use this daemon")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and kind != "application/json":
        raise ApiError(415, "content-type must be application/json")
    return origin if origin in allowed and origin is not None else ""


def check_token(headers: Mapping[str, str], token: str) -> None:
    """Raises ApiError 401 unless the request carries the token, as the API's clients send their key."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = [headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
    if not any(hmac.compare_digest(text.encode(), token.encode()) for text in given):
        raise ApiError(401, "invalid x-api-key" if any(given) else "x-api-key header is required")


def page_headers(origin: str) -> list[tuple[str, str]]:
    """What lets a page of an allowed origin ask and read (CORS)."""
    return [
        ("access-control-allow-origin", origin),
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-allow-headers", ALLOWED_HEADERS),
        ("access-control-expose-headers", "request-id, retry-after, x-relayd-ignored, x-relayd-emulated, x-relayd-output-format"),
        ("vary", "origin"),
    ]


def is_own_host(host: str, port: int) -> bool:
    """True for a loopback name with our port."""
    name, colon, digits = host.lower().rpartition(":")
    if not colon or not digits.isdecimal():
        return False
    return name in loopback.HOSTS_IN_URLS and int(digits) == port


def is_own_origin(origin: str, port: int) -> bool:
    """True for a page that this daemon itself has served."""
    scheme, _, host = origin.partition("://")
    return scheme == "http" and is_own_host(host, port)
