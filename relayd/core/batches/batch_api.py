"""Answers `/v1/messages/batches`: new ones, lists, states, results, ends. Pure; called by `core/storeroom.py`.

A new batch is answered once its requests are on disk.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from typing import Any, assert_never

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import paging
from relayd.core.actions import Action
from relayd.core.batches import lines
from relayd.core.batches.book import BatchBook
from relayd.core.batches.record import Batch
from relayd.core.replies import error_reply, value_reply
from relayd.core.storage import NewBatch, requests_path, results_path
from relayd.errors import internal, invalid, overloaded
from relayd.http.messages import HttpRequest
from relayd.http.routes import BatchRoute

DAY_S = 86_400
VERSION_OLD = "2023-06-01"
VERSION_MAX_CHARS = 40
COMING_MAX = 8  # being written at once: each holds its requests in memory
RETRY_AFTER_S = 1
RESULTS_TYPE = "application/x-jsonl"


class BatchApi:
    """See the module's text."""

    def __init__(self, config: Config) -> None:
        self.book = BatchBook(config)
        self._coming: dict[str, tuple[int, str, str]] = {}  # client, request id and base URL of those that are being written

    def __repr__(self) -> str:
        return f"<BatchApi {self.book!r} coming={len(self._coming)}>"

    def create(
        self, client: int, value: dict[str, Any], headers: Mapping[str, str], owner: str, request_id: str, unix: float
    ) -> list[Action]:
        """A new batch of the requests in a body's JSON object. Raises ApiError."""
        if len(self._coming) >= COMING_MAX:
            raise overloaded("Overloaded: too many batches at once", RETRY_AFTER_S)
        batch, data = _written(value, headers, owner, unix)
        order = do.WriteFile(NewBatch(batch.id), requests_path(batch.id), data)
        base = _base(headers)
        self.book.begin(batch)
        self._coming[batch.id] = client, request_id, base
        return [order]

    def written(self, ticket: NewBatch) -> list[Action]:
        """Its requests are on disk."""
        client, request_id, base = self._coming[ticket.batch]
        reply = value_reply(client, self.book.came(ticket.batch).as_json(base), request_id)
        del self._coming[ticket.batch]
        return [reply]

    def failed(self, ticket: NewBatch, reason: str) -> list[Action]:
        """They could not be written."""
        client, request_id, _ = self._coming[ticket.batch]
        self.book.failed(ticket.batch)
        erase = do.EraseFile(requests_path(ticket.batch))  # they are there if only the answer has failed
        log = do.Log("warning", f"a batch could not be stored: {reason}")
        reply = error_reply(client, internal(f"the batch could not be stored: {reason}"), request_id)
        del self._coming[ticket.batch]
        return [log, erase, reply]

    def answer(
        self, client: int, request: HttpRequest, route: BatchRoute, name: str, owner: str, request_id: str, unix: float
    ) -> list[Action]:
        """The answer to everything else. Raises ApiError."""
        base = _base(request.headers)
        if route is BatchRoute.BATCHES:
            shown, has_more = paging.by_ids(self.book.of(owner), paging.query_of(request.query))
            page = {"data": [batch.as_json(base) for batch in shown], **paging.ends(shown, has_more)}
            return [value_reply(client, page, request_id)]
        batch = self.book.get(name, owner)
        match route:
            case BatchRoute.BATCH if request.method == "DELETE":
                value = {"id": name, "type": "message_batch_deleted"}
                return [*self.book.delete(batch), value_reply(client, value, request_id)]
            case BatchRoute.BATCH:
                return [value_reply(client, batch.as_json(base), request_id)]
            case BatchRoute.CANCEL:
                orders = self.book.cancel(batch, unix)
                return [*orders, value_reply(client, batch.as_json(base), request_id)]
            case BatchRoute.RESULTS:
                return [_results(client, batch, request_id)]
            case _:
                assert_never(route)


def _results(client: int, batch: Batch, request_id: str) -> do.SendFile:
    if not batch.ended:
        raise invalid(f"Message Batch `{batch.id}` has no results yet: its processing has not ended.")
    headers = [("content-type", RESULTS_TYPE), ("request-id", request_id)]
    return do.SendFile(client, 200, headers, results_path(batch.id))


def _written(value: dict[str, Any], headers: Mapping[str, str], owner: str, unix: float) -> tuple[Batch, bytes]:
    """A batch, and its file of requests."""
    found = lines.requests(value)
    version = headers.get("anthropic-version", VERSION_OLD)[:VERSION_MAX_CHARS]
    name = paging.new_id("msgbatch_01", unix)
    batch = Batch(name, owner, version, int(unix), int(unix) + DAY_S, len(found))
    data = [batch.head(), *(lines.request_line(*request) for request in found)]
    at, offsets = 0, array("Q")
    for line in data:
        at += len(line)
        offsets.append(at)
    batch.names, batch.offsets = [custom_id for custom_id, _ in found], offsets
    batch.waiting, batch.size_bytes = deque(range(len(found))), at
    return batch, b"".join(data)


def _base(headers: Mapping[str, str]) -> str:
    """The URL at which a client has reached the daemon: what is in front of it says if it is another scheme."""
    scheme = "https" if headers.get("x-forwarded-proto", "").strip().lower() == "https" else "http"
    return f"{scheme}://{headers.get('host', '')}"
