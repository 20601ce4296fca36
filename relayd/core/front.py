"""The outer half of the core, made and joined: what answers requests, and what ends the daemon. Nothing happens here."""

from __future__ import annotations

from relayd.config import Config
from relayd.core.admission import Admission
from relayd.core.call_intake import CallIntake
from relayd.core.callbacks import Callbacks
from relayd.core.desk import Desk
from relayd.core.ending import Ending
from relayd.core.engine import Engine
from relayd.core.entrance import Entrance
from relayd.core.files.file_api import FileApi
from relayd.core.host import Host
from relayd.core.http_api import HttpApi
from relayd.core.storeroom import Storeroom


class Front:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, engine: Engine) -> None:
        pool, calls, conversations, driver = engine.pool, engine.calls, engine.conversations, engine.driver
        self._desk = Desk(config, host, engine)
        self.status, self.viewers = self._desk.status, self._desk.pages.viewers
        self.admission = Admission(config, pool, calls, conversations, engine.limits, driver, engine.fallback)
        files = FileApi(config)
        self._entrance = Entrance(config, calls, self.admission, driver, files.shelf)
        self.intake = CallIntake(config, calls, conversations, self.admission, self._entrance)
        self.storeroom = Storeroom(config, host, self._entrance, files)
        self.ending = Ending(config, pool, calls, self.intake, driver)
        self.http = HttpApi(self.intake, Callbacks(engine), self._desk.admin, self._desk.pages, self.storeroom.api)

    def __repr__(self) -> str:
        return f"<Front {self.http!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._desk.reconfigure(config)
        self.admission.reconfigure(config)
        self._entrance.reconfigure(config)
        self.intake.reconfigure(config)
        self.storeroom.reconfigure(config)
        self.ending.reconfigure(config)
