"""The lines of a batch's files: requests as they were sent, results as clients get them, and what they tell at a start. Pure."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from typing import Any

from relayd import codec
from relayd.anthropic import checks
from relayd.errors import invalid

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
REQUESTS_MAX = 100_000  # of one batch, as in the API
# How the lines begin that are written here: what a start must know of each is in its first bytes.
REQUEST = re.compile(rb'\{"custom_id":"([a-zA-Z0-9_-]{1,64})","params":')
RESULT = re.compile(rb'\{"custom_id":"([a-zA-Z0-9_-]{1,64})","result":\{"type":"(succeeded|errored|canceled|expired)"')
HEAD_BYTES = 160  # no beginning is longer
Begun = tuple[bytes, int]  # how a line begins, and how long it is


def requests(value: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The custom id and the parameters of each request of a new batch. Raises ApiError 400.

    What is wrong within the parameters is an error of that request, not of the batch.
    """
    checks.shallow(value, "body")
    items = checks.field(value, "requests", "")
    if not isinstance(items, list):
        raise invalid("requests: Input should be a valid list")
    if not 1 <= len(items) <= REQUESTS_MAX:
        raise invalid(f"requests: List should have from 1 to {REQUESTS_MAX} items after validation, not {len(items)}")
    found = [_request(item, f"requests.{number}") for number, item in enumerate(items)]
    if len({name for name, _ in found}) < len(found):
        raise invalid("requests: each custom_id must be unique within the batch")
    return found


def _request(value: Any, path: str) -> tuple[str, dict[str, Any]]:
    request = checks.mapping(value, path)
    name = checks.text(checks.field(request, "custom_id", path), f"{path}.custom_id")
    if not CUSTOM_ID.fullmatch(name):
        raise invalid(f"{path}.custom_id: String should match pattern '^{CUSTOM_ID.pattern}$'")
    return name, checks.mapping(checks.field(request, "params", path), f"{path}.params")


def request_line(name: str, params: dict[str, Any]) -> bytes:
    """One request in its file."""
    return codec.dump({"custom_id": name, "params": params}) + b"\n"


def params_of(line: bytes) -> dict[str, Any]:
    """The parameters in such a line. Raises ValueError."""
    found = codec.parse(line)["params"]
    assert isinstance(found, dict)
    return found


def succeeded(name: str, message: bytes, told: dict[str, str]) -> bytes:
    """The result of a request that was answered: `message` is the answer's JSON, `told` what its headers tell of it."""
    beside = b"," + codec.dump(told)[1:] if told else b"}"
    return b'{"custom_id":"%b","result":{"type":"succeeded","message":%b}%b\n' % (name.encode(), message, beside)


def errored(name: str, error: bytes, told: dict[str, str]) -> bytes:
    """The result of a request that failed: `error` is the JSON of the error."""
    beside = b"," + codec.dump(told)[1:] if told else b"}"
    return b'{"custom_id":"%b","result":{"type":"errored","error":%b}%b\n' % (name.encode(), error, beside)


def not_run(name: str, why: str) -> bytes:
    """The result of a request that was never tried: canceled or expired."""
    return b'{"custom_id":"%b","result":{"type":"%b"}}\n' % (name.encode(), why.encode())


def places(requests_file: Sequence[Begun], start: int) -> tuple[list[str], array[int]]:
    """The custom ids in a file of requests, whose lines are given, and where each begins; the last place is the end.

    `start` is where the first begins. Raises ValueError for what no relayd has written.
    """
    names, offsets, at = [], array("Q", [start]), start
    for line, size_bytes in requests_file:
        found = REQUEST.match(line)
        if found is None:
            raise ValueError("not a request of a batch")
        names.append(found[1].decode())
        at += size_bytes
        offsets.append(at)
    return names, offsets


def outcomes(results_file: Sequence[bytes]) -> dict[str, str]:
    """What has become of each request that has a result, from the lines of the file of results."""
    found = {}
    for line in results_file:
        match = RESULT.match(line)
        if match:
            found[match[1].decode()] = match[2].decode()
    return found
