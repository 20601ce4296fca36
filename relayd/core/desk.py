"""What answers about the daemon itself, made and joined: status, counts of tokens, the dashboard. Nothing happens here."""

from __future__ import annotations

from relayd.config import Config
from relayd.core.admin_api import AdminApi
from relayd.core.engine import Engine
from relayd.core.host import Host
from relayd.core.pages import Pages
from relayd.core.status import Status
from relayd.core.token_counter import TokenCounter


class Desk:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, engine: Engine) -> None:
        pool, calls, conversations = engine.pool, engine.calls, engine.conversations
        self.status = Status(config, pool, calls, conversations, engine.journal, engine.limits)
        self.pages = Pages(host.assets, host.keys, pool.sessions)
        self._counter = TokenCounter(config, conversations, engine.estimate)
        self.admin = AdminApi(self.status, self._counter, conversations)

    def __repr__(self) -> str:
        return f"<Desk {self.status!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self.status.reconfigure(config)
        self._counter.reconfigure(config)
