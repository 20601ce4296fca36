"""What may refuse a call before a process is touched: what `claude` cannot do, its key's limits, the plan, rate limits. Pure.

A named key has models, calls a minute (a sliding one) and a part of the plan. Owned by `core/engine.py`, asked by
`core/admission.py`; `core/status.py` shows the parts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from relayd import profiles
from relayd.anthropic.request import MessagesRequest
from relayd.claude.capabilities import Capabilities
from relayd.config import Config
from relayd.core import profile_choice
from relayd.core.plan_usage import PlanUsage
from relayd.core.rate_limit import RateLimits
from relayd.errors import ApiError, internal, invalid
from relayd.http.keys import KEYS_MAX, Keys, NamedKey

MINUTE_S = 60.0
ANYTHING = Capabilities()


class CallLimits:
    """See the module's text."""

    def __init__(self, config: Config, keys: Keys, capabilities: Capabilities = ANYTHING) -> None:
        self._can = capabilities
        self.rates = RateLimits(config.rate_probe_s)
        self._config = config
        self.plans = {"": PlanUsage(config)} | {name: PlanUsage(config, name) for name in profiles.table(config.profiles)}
        self._keys = keys
        self._calls: dict[str, deque[float]] = {}  # when a key's calls of the last minute came, by its name

    def __repr__(self) -> str:
        return f"<CallLimits keys={len(self._calls)} {list(self.plans.values())} {self.rates!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config
        for plan in self.plans.values():
            plan.reconfigure(config)

    def updated(self, capabilities: Capabilities) -> None:
        """`claude` has been updated."""
        self._can = capabilities

    def key_of(self, headers: Mapping[str, str]) -> NamedKey | None:
        """Whose call it is; None if it came without a named key."""
        return self._keys.of(headers)

    def profile_of(self, key: NamedKey | None, headers: Mapping[str, str]) -> str:
        """The login that a call is for. Raises ApiError, as `profile_choice.choose` does."""
        return profile_choice.choose(headers, key, self._config.profiles)

    def check(self, key: NamedKey | None, request: MessagesRequest, now: float, unix: float) -> None:
        """One call. Raises ApiError for one that this `claude` cannot answer, and as `admit` does."""
        if self._can.refusal:
            raise internal(self._can.refusal)
        if request.tools and self._can.no_tools:
            raise invalid(self._can.no_tools)
        self.admit(key, request.model, now, unix, request.profile, request.limited_name)

    def admit(self, key: NamedKey | None, model: str, now: float, unix: float, profile: str = "", limited_name: str = "") -> None:
        """One call. Raises ApiError: 403 for a model that is not the key's, 429 for too much."""
        if key is not None and not key.allows(model):
            raise ApiError(403, f"the key {key.name} may not ask for {model} (its models: {', '.join(key.models)})")
        self.plans[profile].admit(unix, key.plan_percent if key else 0, f"the key {key.name}" if key else "")
        self.rates.admit(limited_name or model, now)
        if key is not None and key.calls_per_minute:
            self._count(key, now)

    def _count(self, key: NamedKey, now: float) -> None:
        calls = self._calls.setdefault(key.name, deque())
        while calls and calls[0] <= now - MINUTE_S:
            calls.popleft()
        if len(calls) >= key.calls_per_minute:
            wait_s = round(calls[0] + MINUTE_S - now) + 1
            text = f"the key {key.name} may make {key.calls_per_minute} calls a minute"
            raise ApiError(429, text, retry_after_s=wait_s)
        calls.append(now)
        if len(self._calls) > 2 * KEYS_MAX:  # keys come and go
            self._calls.pop(next(iter(self._calls)))
