"""What the daemon tells of itself: health, status, metrics; states, counts and times only. Pure.

Owned by `core/front.py`; read by the admin API and for dashboards. `core/reports.py` gives the numbers their form.
"""

from __future__ import annotations

from typing import Any

from relayd import __version__, aliases
from relayd.config import Config
from relayd.core import reports
from relayd.core.call_limits import CallLimits
from relayd.core.call_table import CallTable
from relayd.core.conversations import Conversations
from relayd.core.journal import Journal
from relayd.core.pool import Pool
from relayd.core.session.parts import Verdict

CALLS_SHOWN = 1000  # to a dashboard, once: 0.35 MB


class Status:
    """See the module's text."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        calls: CallTable,
        conversations: Conversations,
        journal: Journal,
        limits: CallLimits,
    ) -> None:
        self._config = config
        self._pool = pool
        self._calls = calls
        self._conversations = conversations
        self._journal = journal
        self._rates, self._plan = limits.rates, limits.plan

    def __repr__(self) -> str:
        return f"<Status {self._journal!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    @property
    def is_available(self) -> bool:
        """True if a call would be taken now."""
        return not self._calls.is_closed and len(self._calls.queue) < self._config.queue_max

    def model_meant(self, name: str) -> str:
        """What a client's name for a model stands for."""
        return aliases.resolved(name, self._config.model_aliases)

    def full(self, now: float) -> dict[str, Any]:
        """Everything that the dashboard and `relayd status` show."""
        sessions = list(self._pool.sessions.values())
        found = self.health(now) | {"claude": self._pool.claude, "slots": reports.slots(sessions, now)}
        found |= {"conversations": self._conversations.totals(), "plan": self.plan(now), "witness": self.witness()}
        return found | {"statistics": reports.statistics(self._journal), "recent": reports.recent(self._journal)}

    def witness(self) -> dict[str, int]:
        """Requests that reached the model: proven to be the client's, found to be changed, not seen."""
        verdicts = self._pool.launcher.witness_trial.verdicts
        unseen = verdicts[Verdict.SILENT] + verdicts[Verdict.LARGE]
        return {"exact": verdicts[Verdict.EXACT], "changed": verdicts[Verdict.CHANGED], "unseen": unseen}

    def plan(self, now: float) -> dict[str, Any]:
        """What is known of the plan's windows, with the line over the last day."""
        unix = self._calls.unix_time(now)
        return self._plan.describe(unix) | {"day": self._plan.line(unix)}

    def usage(self, now: float) -> dict[str, Any]:
        """What the plan has left, and what calls have used since the daemon's start."""
        return {"plan": self.plan(now), **reports.used(self._journal)}

    def dashboard(self, now: float) -> dict[str, Any]:
        """What a dashboard is sent every second."""
        return self.full(now) | {"timeline": self._journal.timeline.as_json()}

    def earlier(self) -> list[dict[str, Any]]:
        """The calls that a dashboard is sent at its beginning, so that they can be searched."""
        return reports.recent(self._journal, CALLS_SHOWN)

    def health(self, now: float) -> dict[str, Any]:
        """Whether calls can be answered, in a few facts."""
        calls = self._calls
        pool = {
            "processes": reports.processes(self._pool.sessions.values()),
            "max": self._config.max,
            "queued": len(calls.queue),
            "running": len(calls.by_number),
        }
        status = {"status": "ending" if calls.is_closed else "ok", "version": __version__, "served": calls.served}
        return status | {"pool": pool, "rate_limit": self._rates.describe(now)}

    def metrics(self, now: float) -> bytes:
        """Everything for Prometheus."""
        limit = self._rates.describe(now)
        witness = self.witness()
        facts = {
            "calls_running": len(self._calls.by_number),
            "calls_queued": len(self._calls.queue),
            "processes_max": self._config.max,
            "process_starts_total": self._pool.spawned,
            "process_failures_total": self._pool.failed,
            "stream_mismatches_total": self._pool.differed,
            "cost_usd_total": self._journal.cost_usd,
            "requests_exact_total": witness["exact"],
            "requests_changed_total": witness["changed"],
            "requests_unseen_total": witness["unseen"],
            "faults_total": self._journal.faults,
            "rate_limited": float(limit["limited"]),
            "rate_limit_resets_in_seconds": limit["resets_in_s"],
            "conversations": self._conversations.totals()["kept"],
            "conversations_bytes": self._conversations.totals()["bytes"],
        }
        windows = self._plan.describe(self._calls.unix_time(now))["windows"]
        text = reports.metrics(self._journal, list(self._pool.sessions.values()), facts) + reports.plan_metrics(windows)
        return text.encode()
