"""The route table: method and path to a name. The manual page and the tests read it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from relayd.errors import ApiError
from relayd.http.messages import text_of

# name: (methods, path pattern, what it is). Internal ones are for relayd's own Claude Code processes.
ROUTES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "messages": (("POST",), r"/v1/messages", "The Messages API."),
    "chat": (("POST",), r"/v1/chat/completions", "The same for OpenAI clients."),
    "count": (("POST",), r"/v1/messages/count_tokens", "An estimate of input tokens."),
    "sessions": (("GET",), r"/v1/sessions", "The sticky sessions."),
    "session": (("GET", "DELETE"), r"/v1/sessions/(?P<name>[^/]{1,1536})", "One sticky session, or its end."),
    "models": (("GET",), r"/v1/models", "The models list, with the API's pagination; OpenAI clients read it too."),
    "model": (("GET",), r"/v1/models/(?P<name>[\w.:-]{1,128})", "One model, by id or alias."),
    "health": (("GET",), r"/v1/health", "Whether calls can be answered, and what the pool does."),
    "status": (("GET",), r"/v1/status", "Processes, queue, recent calls, totals, as JSON."),
    "metrics": (("GET",), r"/metrics", "The same for Prometheus."),
    "version": (("GET",), r"/v1/version", "The version of relayd."),
    "availability": (("GET",), r"/v1/availability", "Whether a call would be taken now."),
    "license": (("GET",), r"/v1/license", "Always valid: no licence is needed."),
    "license_refresh": (("POST",), r"/v1/license/refresh", "The same."),
    "page": (("GET",), r"/|/dashboard/(?P<name>[\w./-]{1,64})", "The dashboard, and what it loads."),
    "docs": (("GET",), r"/docs|/docs/(?P<name>[\w.-]{1,64})", "This manual, as web pages."),
    "live": (("GET",), r"/v1/live", "The dashboard's WebSocket."),
    "hello": (("GET",), r"/api/hello", "A sign of life."),
    "hooks": (("POST",), r"/hooks/(?P<secret>[\w-]{16,64})", "Internal: what Claude Code tells about a turn."),
    "pieces": (("POST",), r"/pieces/(?P<secret>[\w-]{16,64})", "Internal: the pieces of an answer, as they are made."),
    "mcp": (("POST",), r"/mcp/(?P<secret>[\w-]{16,64})", "Internal: the client's tools, as Claude Code calls them."),
    "telemetry": (("POST",), r"/telemetry/(?P<secret>[\w-]{16,64})/v1/logs", "Internal: usage and API errors."),
}
CHAT_PATH = "/v1/chat/completions"  # its clients read errors in OpenAI's shape
# Paths that clients put behind a base URL, and where that has to end.
BASES = {CHAT_PATH: "/v1", "/v1/messages/count_tokens": "", "/v1/messages": "", "/v1/models": ""}
INTERNAL = ("hooks", "pieces", "mcp", "telemetry")
# Without the token: nothing to see, a secret of its own in the path, or the token in the first message.
OPEN = ("hello", "page", "docs", "live", *INTERNAL)
COMPILED = {name: (methods, re.compile(pattern)) for name, (methods, pattern, _) in ROUTES.items()}
# Paths without a part that varies, found at once: the patterns of the others are tried one by one.
FIXED = {pattern: name for name, (_, pattern, _) in ROUTES.items() if re.fullmatch(r"[\w/]+", pattern)}


@dataclass(frozen=True)
class Route:
    """A matched route, and the secret or the name in its path, if it has one."""

    name: str
    secret: str = ""
    argument: str = ""


def match(method: str, path: str) -> Route:
    """The route of a request; HEAD counts as GET. Raises ApiError 404, or 405 with `allow`."""
    fixed = FIXED.get(path)
    if fixed:
        _check_method(method, COMPILED[fixed][0])
        return Route(fixed)
    for name, (methods, pattern) in COMPILED.items():
        found = pattern.fullmatch(path)
        if found:
            _check_method(method, methods)
            groups = found.groupdict()
            return Route(name, groups.get("secret") or "", text_of(unquote_to_bytes(groups.get("name") or "")))
    raise ApiError(404, "Not Found")


def hint(path: str, origin: str) -> str:
    """What to tell a client whose base URL has too much path, or too little; empty if that is not it."""
    plain = f"/{path}/".replace("/v1", "")
    for known, base in BASES.items():
        if plain.rstrip("/").endswith(known.removeprefix("/v1")):
            return f": the path is {known}, so set the base URL to {origin}{base}"
    return ""


def _check_method(method: str, methods: tuple[str, ...]) -> None:
    if method not in methods and not (method == "HEAD" and "GET" in methods):
        raise ApiError(405, "Method Not Allowed", headers={"allow": ", ".join(methods)})
