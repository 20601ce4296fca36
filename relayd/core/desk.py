"""Answers the small questions: models, counts, sessions, health, status, metrics. A request in, a body out.

It starts no call and orders nothing. Owned by `core/relay.py`, whose tables it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relayd import __version__, codec
from relayd.anthropic import models
from relayd.anthropic.answer import JSON_TYPE
from relayd.anthropic.request import Held
from relayd.config import Config
from relayd.core import intake, reports
from relayd.core.conversations import Conversations
from relayd.core.journal import Journal
from relayd.core.pool import Pool
from relayd.core.rates import RateLimit
from relayd.core.tokens import TokenEstimate
from relayd.http import routes
from relayd.http.messages import HttpRequest


@dataclass(frozen=True)
class Load:
    """What the daemon has to do at the moment."""

    running: int
    queued: int
    served: int
    ending: bool


@dataclass(frozen=True)
class Told:
    """An answer: content type, body, further headers."""

    body: bytes
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


class Desk:
    """See the module's text."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        conversations: Conversations,
        journal: Journal,
        rate: RateLimit,
        tokens: TokenEstimate,
    ) -> None:
        self._config = config
        self._pool = pool
        self._conversations = conversations
        self._journal = journal
        self._rate = rate
        self._tokens = tokens

    def __repr__(self) -> str:
        return f"<Desk {self._journal!r}>"

    def reconfigure(self, config: Config) -> None:
        """Other knobs from now on."""
        self._config = config

    def answer(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        """The answer to a question of a route in ANSWERS. Raises ApiError."""
        return ANSWERS[route.name](self, route, request, load, now)

    def status(self, load: Load, now: float) -> dict[str, Any]:
        """Everything that the dashboard and `relayd status` show."""
        sessions = list(self._pool.sessions.values())
        found = self.health(load, now) | {"claude": self._pool.claude, "slots": reports.slots(sessions, now)}
        found["conversations"] = self._conversations.totals()
        return found | {"statistics": reports.statistics(self._journal), "recent": reports.recent(self._journal)}

    def health(self, load: Load, now: float) -> dict[str, Any]:
        """Whether calls can be answered, in a few facts."""
        sessions = self._pool.sessions.values()
        pool = {"processes": reports.processes(sessions), "max": self._config.max, "queued": load.queued, "running": load.running}
        status = {"status": "ending" if load.ending else "ok", "version": __version__, "served": load.served}
        return status | {"pool": pool, "rate_limit": self._rate.describe(now)}

    def _hello(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        return Told(b"{}")

    def _models(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        return _json(models.model(route.argument) if route.name == "model" else models.page(request.query))

    def _health(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        return _json(self.health(load, now))

    def _status(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        return _json(self.status(load, now))

    def _version(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        return _json({"name": "relayd", "version": __version__})

    def _availability(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        return _json({"available": not load.ending and load.queued < self._config.queue_max})

    def _license(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        return _json({"valid": True, "license": "MIT"})

    def _sessions(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        kept, name = self._conversations, route.argument
        if route.name == "sessions":
            return _json({"data": [kept.describe(n, now) for n in kept.names()]})
        if request.method == "DELETE":
            kept.delete(name)
            return _json({"type": "session_deleted", "id": name})
        return _json(kept.describe(name, now))

    def _count(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        asked = intake.read(request, False, self._config)
        held = self._conversations.held(asked.name) if asked.name else Held()
        tokens = self._tokens.of(intake.counted(asked, held, self._config))
        return Told(codec.dump({"input_tokens": tokens}), headers=(("x-relayd-emulated", "input_tokens"),))

    def _metrics(self, route: routes.Route, request: HttpRequest, load: Load, now: float) -> Told:
        limit = self._rate.describe(now)
        facts = {
            "calls_running": load.running,
            "calls_queued": load.queued,
            "processes_max": self._config.max,
            "process_starts_total": self._pool.spawned,
            "process_failures_total": self._pool.failed,
            "faults_total": self._journal.faults,
            "rate_limited": float(limit["limited"]),
            "rate_limit_resets_in_seconds": limit["resets_in_s"],
            "conversations": self._conversations.totals()["kept"],
            "conversations_bytes": self._conversations.totals()["bytes"],
        }
        text = reports.metrics(self._journal, list(self._pool.sessions.values()), facts)
        return Told(text.encode(), reports.METRICS_TYPE)


def _json(value: dict[str, Any]) -> Told:
    return Told(codec.dump(value))


Answer = Callable[[Desk, routes.Route, HttpRequest, Load, float], Told]
ANSWERS: dict[str, Answer] = {
    "hello": Desk._hello,
    "models": Desk._models,
    "model": Desk._models,
    "health": Desk._health,
    "status": Desk._status,
    "version": Desk._version,
    "availability": Desk._availability,
    "license": Desk._license,
    "license_refresh": Desk._license,
    "sessions": Desk._sessions,
    "session": Desk._sessions,
    "count": Desk._count,
    "metrics": Desk._metrics,
}
