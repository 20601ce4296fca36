"""The way from a decoded request to a call: the files that it names are read, then it is admitted, or turned away. Pure.

Made by `core/front.py`; used by `core/call_intake.py` for clients and by `core/batches/runner.py`. Nothing here raises.
"""

from __future__ import annotations

from relayd.config import Config
from relayd.core.actions import Action
from relayd.core.admission import Admission
from relayd.core.call_table import CallTable
from relayd.core.conversations import Waiting
from relayd.core.driver import Driver
from relayd.core.files.loading import FileLoader
from relayd.core.files.shelf import Shelf
from relayd.core.storage import Load
from relayd.core.turning_away import TurningAway
from relayd.errors import internal


class Entrance:
    """See the module's text."""

    def __init__(self, config: Config, calls: CallTable, admission: Admission, driver: Driver, shelf: Shelf) -> None:
        self.calls = calls
        self.away = TurningAway(calls, driver)
        self._admission = admission
        self._loader = FileLoader(config, shelf)

    def __repr__(self) -> str:
        return f"<Entrance {self._loader!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._loader.reconfigure(config)

    def enter(self, asked: Waiting, now: float) -> list[Action]:
        """A request that was decoded."""
        try:
            return self._loader.begin(asked, self.calls.unix_time(now)) or self._admission.admit(asked, now)
        except Exception as error:
            return self.away.call(asked, error, now)

    def file_came(self, ticket: Load, data: bytes, now: float) -> list[Action]:
        """A file that a request names was read."""
        found = self._loader.came(ticket, data)
        if found is None:
            return []
        try:
            found.fill()
            orders = self._admission.admit(found.asked, now)
        except Exception as error:
            orders = self.away.call(found.asked, error, now)
        self._loader.forget(ticket.call)
        return orders

    def file_failed(self, ticket: Load, now: float) -> list[Action]:
        """It could not be read, or a bug was met on the way. Who waits for it is forgotten once it has its answer, not before."""
        asked = self._loader.waiting(ticket)
        if asked is None:
            return []
        orders = self.away.call(asked, internal("a file that the request names could not be read"), now)
        self._loader.forget(ticket.call)
        return orders

    def client_left(self, client: int) -> None:
        """A client has left; files may be on their way to its request."""
        self._loader.client_left(client)
