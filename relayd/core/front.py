"""The outer half of the core, made and joined: what answers requests, and what ends the daemon. Nothing happens here."""

from __future__ import annotations

from relayd.config import Config
from relayd.core.admin_api import AdminApi
from relayd.core.admission import Admission
from relayd.core.call_intake import CallIntake
from relayd.core.callbacks import Callbacks
from relayd.core.ending import Ending
from relayd.core.engine import Engine
from relayd.core.host import Host
from relayd.core.http_api import HttpApi
from relayd.core.pages import Pages
from relayd.core.status import Status
from relayd.core.token_counter import TokenCounter


class Front:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, engine: Engine) -> None:
        pool, calls, conversations, driver = engine.pool, engine.calls, engine.conversations, engine.driver
        self.status = Status(config, pool, calls, conversations, engine.journal, engine.limits)
        self.admission = Admission(config, pool, calls, conversations, engine.limits, driver, engine.fallback)
        self.intake = CallIntake(config, calls, conversations, self.admission, driver)
        self.ending = Ending(config, pool, calls, self.intake, driver)
        self._counter = TokenCounter(config, conversations, engine.estimate)
        callbacks, pages = Callbacks(engine), Pages(host.assets, host.keys, pool.sessions)
        self.viewers = pages.viewers
        admin = AdminApi(self.status, self._counter, conversations)
        self.http = HttpApi(self.intake, callbacks, admin, pages)

    def __repr__(self) -> str:
        return f"<Front {self.http!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self.status.reconfigure(config)
        self.admission.reconfigure(config)
        self.intake.reconfigure(config)
        self.ending.reconfigure(config)
        self._counter.reconfigure(config)
