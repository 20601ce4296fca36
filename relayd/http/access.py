"""Who may ask: the checks that keep web pages, and programs without the token, from spending the user's plan. Pure.

A page in a browser can reach a loopback port, by DNS rebinding (a foreign Host), from its own origin
(Origin), with a form post (no JSON content type), or with an image or a link (no Origin, but
`sec-fetch-site`). `Access.judge` looks at the head of a request and at nothing else, so a refused
client never gets to send a body. `http1` calls it as soon as the head is complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from relayd import loopback
from relayd.errors import ApiError
from relayd.http import routes
from relayd.http.keys import Keys
from relayd.http.routes import BatchRoute, Callback, Completion, FileRoute, Page, Question, Route

ALLOWED_HEADERS = "*, authorization"
OWN_HEADERS = (
    *("x-relayd-ignored", "x-relayd-emulated", "x-relayd-inexact", "x-relayd-witness"),
    *("x-relayd-output-format", "x-relayd-answered-by"),
)
# The dashboard loads nothing from elsewhere; the terminal sets styles of its own.
PAGE_POLICY = (
    (
        "content-security-policy",
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)
PORT = re.compile(r"[1-9][0-9]{0,4}")
LOOPBACK = re.compile(r"127(?:\.\d{1,3}){3}")
HTTP_PORT = 80  # the one that browsers leave out of Host and Origin
# What a browser says of a request that another site, or another port of this machine, has caused.
FOREIGN_SITES = ("cross-site", "same-site")
# Claude Code's own posts: a tool's input is at most an answer long (128,000 tokens, escaped). Their secret is
# known to the core only, so whoever guesses a path may send so much, and no more.
INTERNAL_BODY_MAX_BYTES = 8 * 1024 * 1024
# What asks a small question has no body worth reading.
SMALL_BODY_MAX_BYTES = 64 * 1024
LINKED = (Page.DASHBOARD, Page.DOCS)  # a link to them, from anywhere, does no harm
WITH_DOCUMENTS = (*Completion, Question.COUNT, FileRoute.FILES, BatchRoute.BATCHES)  # limited by `body_max_bytes` only


@dataclass(frozen=True)
class Admitted:
    """A request whose body may come.

    route: None for OPTIONS; origin: the allowed foreign page that asks, or "";
    body_max: how many bytes its body may have, where that is less than the general limit.
    """

    route: Route | None
    origin: str = ""
    body_max: int | None = None


@dataclass(frozen=True)
class Refusal:
    """A request that is answered with an error before anybody has looked at its body.

    route: its route where it is known; the shape of the error hangs on it.
    origin: the allowed web page that has asked, or ""; the answer must say that the page may read it.
    """

    error: ApiError
    route: Route | None = None
    origin: str = ""

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self.error.status


@dataclass(frozen=True)
class Access:
    """The policy of one daemon: its port, the foreign origins that may ask, the keys if there are any, its other names."""

    port: int
    origins: frozenset[str] = frozenset()
    keys: Keys = field(default_factory=Keys)  # their contents change while the daemon runs
    names: frozenset[str] = frozenset()  # which the user has declared; a port in front of ours may be any

    def is_own(self, host: str) -> bool:
        """True for a Host that no foreign page can have: a name of this daemon, or one that resolves to loopback everywhere."""
        name = _name(host.lower())
        return name in self.names or _is_loopback(name)

    @cached_property
    def own_origins(self) -> frozenset[str]:
        """The origins of pages that this daemon itself has served, by its own port. Compared as text."""
        ports = ("", f":{self.port}") if self.port == HTTP_PORT else (f":{self.port}",)
        return frozenset(f"http://{name}{port}" for name in loopback.HOSTS_IN_URLS for port in ports)

    def is_own_page(self, origin: str, host: str) -> bool:
        """True for a page that this daemon has served, by its own port or a forwarded one (`ssh -L`): the page names the host and
        port of its request, which a browser takes from the connection. A page of another server has another port.
        """
        origin, host = origin.lower(), host.lower()
        return origin in self.own_origins or (origin == f"http://{host}" and _is_loopback(_name(host)))

    def judge(self, method: str, path: str, headers: Mapping[str, str]) -> Admitted | Refusal:
        """May this request send its body? Header names are lower case. Never raises."""
        host = headers.get("host", "")
        if not self.is_own(host):
            return Refusal(ApiError(403, "Host is not this daemon's loopback address (allowed_hosts can add a name)"))
        origin = headers.get("origin")
        page = origin if origin is not None and origin in self.origins else ""
        if origin is not None and not page and not self.is_own_page(origin, host):
            return Refusal(ApiError(403, "Origin is not allowed: web pages may not use this daemon"))
        if method == "OPTIONS":
            return Admitted(None, page, SMALL_BODY_MAX_BYTES)
        route: Route | None = None
        try:
            route = routes.match(method, path).route
            if origin is None:
                _check_site(route, headers)
            if route not in routes.OPEN:
                self.keys.check(headers)
            if method == "POST":
                _check_content_type(headers, "multipart/form-data" if route is FileRoute.FILES else "application/json")
        except ApiError as error:
            if error.status == 404:
                error.message += routes.hint(path, f"http://{host}")
            return Refusal(error, route if error.status != 403 else None, page)
        return Admitted(route, page, _body_max(route))


def _name(host: str) -> str:
    """A Host without its port."""
    name, _, port = host.rpartition(":")
    return name if PORT.fullmatch(port) else host


def _is_loopback(name: str) -> bool:
    """True for what is this machine wherever it is looked up. Behind it may be any port: somebody forwards one to ours."""
    return name in loopback.HOSTS_IN_URLS or name.endswith(".localhost") or LOOPBACK.fullmatch(name) is not None


def _body_max(route: Route) -> int | None:
    if route in WITH_DOCUMENTS:
        return None
    return INTERNAL_BODY_MAX_BYTES if isinstance(route, Callback) else SMALL_BODY_MAX_BYTES


def _check_site(route: Route, headers: Mapping[str, str]) -> None:
    """Raises ApiError 403 for what a foreign page causes without an Origin; a link to the dashboard is no harm."""
    if headers.get("sec-fetch-site", "") not in FOREIGN_SITES:
        return
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if route not in LINKED or not is_link:
        raise ApiError(403, "web pages may not use this daemon")


def _check_content_type(headers: Mapping[str, str], wanted: str) -> None:
    """Raises ApiError 415 for what a form of a web page could send. Nothing at all is no harm: it is an error of its own.

    Uploads are forms: what keeps pages from them is their Origin, which every browser sends with a form of another site.
    """
    if "content-type" not in headers and "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
        return
    if headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        raise ApiError(415, f"content-type must be {wanted}")


def page_headers(origin: str) -> list[tuple[str, str]]:
    """What lets a page of an allowed origin ask and read (CORS)."""
    return [
        ("access-control-allow-origin", origin),
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-allow-headers", ALLOWED_HEADERS),
        ("access-control-expose-headers", f"request-id, retry-after, {', '.join(OWN_HEADERS)}"),
        ("vary", "origin"),
    ]
