"""A request of a batch as a call that waits for admission. Pure; called by `runner.py`."""

from __future__ import annotations

from relayd import aliases
from relayd.anthropic.edge import tokens
from relayd.config import Config
from relayd.core import profile_choice
from relayd.core.batches import lines
from relayd.core.batches.record import Batch
from relayd.core.conversations import Waiting
from relayd.core.decoded_request import DecodedRequest
from relayd.errors import ApiError, internal, invalid
from relayd.http.keys import Keys, NamedKey


def asked(
    batch: Batch, line: bytes, number: int, request_id: str, config: Config, keys: Keys, now: float, unix: float
) -> Waiting:
    """The call. `number` is its own; its client's, whom nobody is, is the same below zero. Raises ApiError."""
    try:
        params = lines.params_of(line)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise internal("the request could not be read") from error
    if params.get("stream"):
        raise invalid("stream: not supported in a batch")
    if params.get("thread") is not None:
        raise invalid("thread: not supported in a batch")
    if "max_tokens" in params:
        tokens(params["max_tokens"], "max_tokens", minimum=1)
    value = aliases.applied(params, config.model_aliases, config.default_model)
    decoded = DecodedRequest(value, batch.version)
    key = _key(batch.owner, keys)
    return Waiting(number, -number, decoded, request_id, now, int(unix), key, profile_choice.choose({}, key, config.profiles))


def _key(owner: str, keys: Keys) -> NamedKey | None:
    """The key that the batch was sent with, with the limits that it has now. Raises ApiError 403 if it was revoked."""
    found = next((key for key in keys.named if key.name == owner), None)
    if owner and found is None:
        raise ApiError(403, f"the key {owner}, with which the batch was sent, was revoked")
    return found
