"""The route table: method and path to a route. Pure.

A route is a member of one of six enumerations, by who answers it: a route that is added here and answered nowhere is an
error of mypy (`assert_never` in `core/http_api.py` and what it calls). The manual page and the tests read the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_to_bytes

from relayd.errors import ApiError
from relayd.http.messages import text_of


class Completion(Enum):
    """Asks a model for an answer: a call."""

    MESSAGES = "messages"
    CHAT = "chat"
    RESPONSES = "responses"


class Question(Enum):
    """Asks the daemon something about itself, or changes something small."""

    COUNT = "count"
    RESPONSE = "response"
    RESPONSE_INPUT = "response input"
    RESPONSE_COUNT = "response count"
    SESSIONS = "sessions"
    SESSION = "session"
    MODELS = "models"
    MODEL = "model"
    HEALTH = "health"
    STATUS = "status"
    METRICS = "metrics"
    VERSION = "version"
    AVAILABILITY = "availability"
    LICENSE = "license"
    LICENSE_REFRESH = "license refresh"
    HELLO = "hello"
    USAGE = "usage"


class FileRoute(Enum):
    """About files that clients upload."""

    FILES = "files"
    FILE = "file"
    CONTENT = "file content"


class BatchRoute(Enum):
    """About Message Batches."""

    BATCHES = "batches"
    BATCH = "batch"
    CANCEL = "batch cancel"
    RESULTS = "batch results"


class Page(Enum):
    """What a browser loads."""

    DASHBOARD = "dashboard"
    DOCS = "docs"
    LIVE = "live"


class Callback(Enum):
    """Internal: for relayd's own Claude Code processes. A secret is in the path."""

    HOOKS = "hooks"
    PIECES = "pieces"
    PLAN = "plan"
    MCP = "mcp"
    TELEMETRY = "telemetry"


Route = Completion | Question | FileRoute | BatchRoute | Page | Callback

# route: (methods, path pattern, what it is).
ROUTES: dict[Route, tuple[tuple[str, ...], str, str]] = {
    Completion.MESSAGES: (("POST",), r"/v1/messages", "The Messages API."),
    Completion.CHAT: (("POST",), r"/v1/chat/completions", "The same for OpenAI clients."),
    Completion.RESPONSES: (("POST",), r"/v1/responses", "The same for clients of OpenAI's newer API: Codex, the Agents SDK."),
    Question.COUNT: (("POST",), r"/v1/messages/count_tokens", "An estimate of input tokens."),
    Question.RESPONSE_COUNT: (("POST",), r"/v1/responses/input_tokens", "The same for OpenAI clients."),
    Question.RESPONSE: (("GET", "DELETE"), r"/v1/responses/(?P<name>resp_[\w-]{1,128})", "A stored response, or its end."),
    Question.RESPONSE_INPUT: (("GET",), r"/v1/responses/(?P<name>resp_[\w-]{1,128})/input_items", "What it was an answer to."),
    FileRoute.FILES: (("GET", "POST"), r"/v1/files", "The files that were uploaded, or a new one."),
    FileRoute.FILE: (("GET", "DELETE"), r"/v1/files/(?P<name>file_[\w-]{1,128})", "One file's name, type and size, or its end."),
    FileRoute.CONTENT: (("GET",), r"/v1/files/(?P<name>file_[\w-]{1,128})/content", "Refused: an upload cannot be downloaded."),
    BatchRoute.BATCHES: (("GET", "POST"), r"/v1/messages/batches", "The Message Batches, or a new one."),
    BatchRoute.BATCH: (("GET", "DELETE"), r"/v1/messages/batches/(?P<name>msgbatch_[\w-]{1,128})", "One batch, or its end."),
    BatchRoute.CANCEL: (("POST",), r"/v1/messages/batches/(?P<name>msgbatch_[\w-]{1,128})/cancel", "Starts no more of it."),
    BatchRoute.RESULTS: (("GET",), r"/v1/messages/batches/(?P<name>msgbatch_[\w-]{1,128})/results", "Its results, a line each."),
    Question.SESSIONS: (("GET",), r"/v1/sessions", "The sticky sessions."),
    Question.SESSION: (("GET", "DELETE"), r"/v1/sessions/(?P<name>[^/]{1,1536})", "One sticky session, or its end."),
    Question.MODELS: (("GET",), r"/v1/models", "The models list, with the API's pagination; OpenAI clients read it too."),
    Question.MODEL: (("GET",), r"/v1/models/(?P<name>[\w.:-]{1,128})", "One model, by id or alias."),
    Question.HEALTH: (("GET",), r"/v1/health", "Whether calls can be answered, and what the pool does."),
    Question.STATUS: (("GET",), r"/v1/status", "Processes, queue, recent calls, totals, proven requests, as JSON."),
    Question.USAGE: (("GET",), r"/v1/usage", "What the plan has left, tokens and cost, in all and for each key."),
    Question.METRICS: (("GET",), r"/metrics", "The same for Prometheus."),
    Question.VERSION: (("GET",), r"/v1/version", "The version of relayd."),
    Question.AVAILABILITY: (("GET",), r"/v1/availability", "Whether a call would be taken now."),
    Question.LICENSE: (("GET",), r"/v1/license", "Always valid: no licence is needed."),
    Question.LICENSE_REFRESH: (("POST",), r"/v1/license/refresh", "The same."),
    Page.DASHBOARD: (("GET",), r"/|/dashboard/(?P<name>[\w./-]{1,64})", "The dashboard, and what it loads."),
    Page.DOCS: (("GET",), r"/docs|/docs/(?P<name>[\w.-]{1,64})", "This manual, as web pages."),
    Page.LIVE: (("GET",), r"/v1/live", "The dashboard's WebSocket."),
    Question.HELLO: (("GET",), r"/api/hello", "A sign of life."),
    Callback.HOOKS: (("POST",), r"/hooks/(?P<secret>[\w-]{16,64})", "Internal: what Claude Code tells about a turn."),
    Callback.PIECES: (("POST",), r"/pieces/(?P<secret>[\w-]{16,64})", "Internal: the pieces of an answer, as they are made."),
    Callback.PLAN: (("POST",), r"/plan/(?P<secret>[\w-]{16,64})", "Internal: the login's usage limits, as Claude Code has them."),
    Callback.MCP: (("POST",), r"/mcp/(?P<secret>[\w-]{16,64})", "Internal: the client's tools, as Claude Code calls them."),
    Callback.TELEMETRY: (("POST",), r"/telemetry/(?P<secret>[\w-]{16,64})/v1/logs", "Internal: usage and API errors."),
}
OPENAI: frozenset[Route] = frozenset(  # their clients read errors in OpenAI's shape
    (Completion.CHAT, Completion.RESPONSES, Question.RESPONSE, Question.RESPONSE_INPUT, Question.RESPONSE_COUNT)
)
OPENAI_PATHS = ("/v1/chat/completions", "/v1/responses")
# Which clients ask for under each base URL that anybody writes: with `/v1`, without, twice, with slashes in between.
COMMON = re.compile(r"/v1/(messages|chat/completions|responses|models|files)(/.*)?")
# Paths that clients put behind a base URL, and where that has to end.
BASES = {
    "/v1/chat/completions": "/v1",
    "/v1/responses": "/v1",
    "/v1/messages/count_tokens": "",
    "/v1/messages/batches": "",
    "/v1/messages": "",
    "/v1/models": "",
    "/v1/files": "",
}
# Without the token: nothing to see, a secret of its own in the path, or the token in the first message.
OPEN: frozenset[Route] = frozenset((Question.HELLO, *Page, *Callback))
COMPILED = {route: (methods, re.compile(pattern)) for route, (methods, pattern, _) in ROUTES.items()}
# Paths without a part that varies, found at once: the patterns of the others are tried one by one.
FIXED = {pattern: route for route, (_, pattern, _) in ROUTES.items() if re.fullmatch(r"[\w/]+", pattern)}


@dataclass(frozen=True)
class Match:
    """The route of a request, and the secret or the name in its path, if it has one."""

    route: Route
    secret: str = ""
    argument: str = ""


def match(method: str, path: str) -> Match:
    """The route of a request; HEAD counts as GET. Raises ApiError 404, or 405 with `allow`."""
    fixed = FIXED.get(path)
    if fixed is not None:
        _check_method(method, COMPILED[fixed][0])
        return Match(fixed)
    for route, (methods, pattern) in COMPILED.items():
        found = pattern.fullmatch(path)
        if found:
            _check_method(method, methods)
            groups = found.groupdict()
            return Match(route, groups.get("secret") or "", text_of(unquote_to_bytes(groups.get("name") or "")))
    plain = _plain(path)
    if plain != path and COMMON.fullmatch(plain):
        return match(method, plain)
    raise ApiError(404, "Not Found")


def speaks_openai(path: str) -> bool:
    """True for a path whose clients read errors in OpenAI's shape, however it is written."""
    return _plain(path).startswith(OPENAI_PATHS)


def _plain(path: str) -> str:
    """A path as it was meant: one slash between two names, none at the end, and one `/v1` at the start."""
    parts = [part for part in path.split("/") if part]
    while parts[:1] == ["v1"]:
        parts.pop(0)
    return "/".join(["", "v1", *parts])


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
