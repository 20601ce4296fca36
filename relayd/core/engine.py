"""The inner half of the core, made and joined: processes, calls, and how they come together. Nothing happens here.

Each part is given the ones that it asks, and none asks back. `core/front.py` joins the outer half to it.
"""

from __future__ import annotations

from relayd.claude.launch import LaunchKey
from relayd.config import Config
from relayd.core.call_limits import CallLimits
from relayd.core.call_table import CallTable
from relayd.core.conversations import Conversations
from relayd.core.delivery import Delivery
from relayd.core.driver import Driver
from relayd.core.fallback import Fallback
from relayd.core.host import Host
from relayd.core.journal import Journal
from relayd.core.pool import Pool
from relayd.core.scheduler import Scheduler


class Engine:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, keys: list[LaunchKey]) -> None:
        self.journal = Journal(config.recent_calls_max)
        self.limits = CallLimits(config, host.keys, host.capabilities)
        self.pool = Pool(config, host, keys)
        self.conversations = Conversations(config)
        self.calls = CallTable(host, self.conversations, self.journal)
        self.fallback = Fallback(config, self.calls)
        self._delivery = Delivery(config, self.calls, self.conversations, self.limits.rates, self.fallback)
        self.estimate = self._delivery.estimate
        self.driver = Driver(self.pool, self.calls, self._delivery)
        self.scheduler = Scheduler(self.pool, self.calls, self.conversations, self.driver)

    def __repr__(self) -> str:
        return f"<Engine {self.calls!r} {self.pool!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self.limits.reconfigure(config)
        self.pool.reconfigure(config)
        self.conversations.reconfigure(config)
        self._delivery.reconfigure(config)
        self.fallback.reconfigure(config)
        self.scheduler.ask()
