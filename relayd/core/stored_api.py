"""Answers requests about what is kept on disk, files and batches: whose request it is, and which part answers it. Pure.

Called by `core/http_api.py`; made by `core/storeroom.py`.
"""

from __future__ import annotations

from typing import assert_never

from relayd.config import Config
from relayd.core import events as ev
from relayd.core import request_decoding
from relayd.core.actions import Action
from relayd.core.batches.batch_api import BatchApi
from relayd.core.files.file_api import FileApi
from relayd.core.host import Host
from relayd.http.routes import BatchRoute, FileRoute


class StoredApi:
    """See the module's text."""

    def __init__(self, config: Config, host: Host, files: FileApi, batches: BatchApi) -> None:
        self._config = config
        self._host = host
        self._files = files
        self._batches = batches
        self.answered = 0  # requests: what is due may be another thing since

    def __repr__(self) -> str:
        return f"<StoredApi {self._files!r} {self._batches!r}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def answer(
        self, event: ev.RequestArrived, route: FileRoute | BatchRoute, name: str, request_id: str, now: float
    ) -> list[Action]:
        """The answer, or the orders that lead to it. Raises ApiError."""
        self.answered += 1
        client, request, unix = event.client, event.request, self._host.unix_time(now)
        key = self._host.keys.of(request.headers)
        owner = key.name if key is not None else ""
        match route:
            case FileRoute():
                return self._files.answer(client, request, route, name, owner, request_id, unix)
            case BatchRoute.BATCHES if request.method == "POST":
                value = request_decoding.document(request, self._config)
                return self._batches.create(client, value, request.headers, owner, request_id, unix)
            case BatchRoute():
                return self._batches.answer(client, request, route, name, owner, request_id, unix)
            case _:
                assert_never(route)
