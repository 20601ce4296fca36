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
from relayd.core.host import Host
from relayd.core.journal import Journal
from relayd.core.pool import Pool
from relayd.core.scheduler import Scheduler
from relayd.core.token_estimate import TokenEstimate


class Engine:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, keys: list[LaunchKey]) -> None:
        self.journal = Journal(config.recent_calls_max)
        self.limits = CallLimits(config, host.keys)
        self.estimate = TokenEstimate()
        self.pool = Pool(config, host, keys)
        self.conversations = Conversations(config)
        self.calls = CallTable(host, self.conversations, self.journal)
        self._delivery = Delivery(config, host, self.calls, self.conversations, self.limits.rates, self.estimate)
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
        self.scheduler.ask()
