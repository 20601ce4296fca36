"""The answers of `POST /v1/responses` that relayd stores, by id, with what they were answers to. Pure.

A response stays as it was: a later one that goes on from it holds its items, too, and can do so when it is gone. They are
forgotten like sticky sessions: those used longest ago, past the limits of count, of bytes and of time. Nothing is written to
disk. Part of `core/conversations.py`; asked by `core/request_decoding.py` and the admin API.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.config import Config
from relayd.errors import ApiError

NOT_FOUND = "response_not_found"
NO_PREVIOUS = "previous_response_not_found"


@dataclass
class StoredResponse:
    """One response object, and every item before it. `size_bytes` counts the shared ones too: an upper bound."""

    value: dict[str, Any]
    input: tuple[Any, ...]
    size_bytes: int
    used: float

    def __repr__(self) -> str:
        return f"<StoredResponse {self.value['id']} items={len(self.input)} bytes={self.size_bytes}>"

    @property
    def conversation(self) -> tuple[Any, ...]:
        """All items up to its own output."""
        return (*self.input, *self.value["output"])


class StoredResponses:
    """See the module's text."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stored: OrderedDict[str, StoredResponse] = OrderedDict()  # in the order of their last use
        self._size_bytes = 0

    def __repr__(self) -> str:
        return f"<StoredResponses {len(self._stored)} bytes={self._size_bytes}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def before(self, response_id: str, now: float) -> tuple[Any, ...]:
        """The items up to a response that is gone on from; nothing for no id. Raises ApiError 400."""
        if not response_id:
            return ()
        found = self._find(response_id, now)
        if found is None:
            message = f"Previous response with id '{response_id[:80]}' not found."
            raise ApiError(400, message, details={"error_code": NO_PREVIOUS})
        return found.conversation

    def get(self, response_id: str, now: float) -> StoredResponse:
        """A stored response. Raises ApiError 404."""
        found = self._find(response_id, now)
        if found is None:
            raise ApiError(404, f"Response with id '{response_id[:80]}' not found.", details={"error_code": NOT_FOUND})
        return found

    def store(self, value: dict[str, Any], given: tuple[Any, ...], now: float) -> None:
        """Keep a response object and the items before it."""
        size_bytes = len(codec.dump(value)) + sum(len(codec.dump(item)) for item in given)
        self._stored[value["id"]] = StoredResponse(value, given, size_bytes, now)
        self._size_bytes += size_bytes
        while len(self._stored) > self._config.conversations_max or self._size_bytes > self._config.conversations_max_bytes:
            self._remove(next(iter(self._stored)))

    def delete(self, response_id: str, now: float) -> None:
        """Forget one. Raises ApiError 404."""
        self.get(response_id, now)
        self._remove(response_id)

    def expire(self, now: float) -> float | None:
        """Forget what was not used for too long. When to look again, or None."""
        limit = self._config.session_idle_s
        while self._stored:
            oldest_id, oldest = next(iter(self._stored.items()))
            if now - oldest.used < limit:
                return oldest.used + limit
            self._remove(oldest_id)
        return None

    def totals(self) -> dict[str, int]:
        """How much is stored."""
        return {"kept": len(self._stored), "bytes": self._size_bytes}

    def _find(self, response_id: str, now: float) -> StoredResponse | None:
        self.expire(now)
        found = self._stored.get(response_id)
        if found is not None:
            found.used = now
            self._stored.move_to_end(response_id)
        return found

    def _remove(self, response_id: str) -> None:
        self._size_bytes -= self._stored.pop(response_id).size_bytes
