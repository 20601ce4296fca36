"""How long a tool's result takes from the client to the model, beside a bare round trip to the same MCP endpoint.

The result's way: the client's follow-up request, relayd, the MCP answer that Claude Code waits for, its next
request. What relayd has to do with it is measured in `own_share`. Called by `bench`.
"""

from __future__ import annotations

import glob
import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from relayd.doctor.harness import Harness

TOOL = {"name": "get", "description": "Gets", "input_schema": {"type": "object", "properties": {"k": {"type": "integer"}}}}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def measure(harness: Harness, model: str, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds: each result from the follow-up's last byte to the upstream request, and each bare round trip."""
    connection = http.client.HTTPConnection(urlsplit(harness.url).netloc, timeout=60)
    body: dict[str, Any] = {"model": model, "max_tokens": 1024, "tools": [TOOL]}
    body["messages"] = [{"role": "user", "content": f'[[tools {rounds} get {{"k": 1}}]] [[final done]]'}]
    answer, _ = _post(connection, "/v1/messages", body)
    ways, trips = [], []
    for _ in range(rounds):
        call = answer["content"][-1]
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "a result of a few words"}
        body["messages"] += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
        trips.append(_bare_trip(harness, connection))
        seen = len(harness.api.messages())
        answer, sent = _post(connection, "/v1/messages", body)
        ways.append(1000 * (harness.api.messages()[seen].arrived - sent))
    connection.close()
    return ways, trips


def _post(connection: http.client.HTTPConnection, path: str, value: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """The answer, and when the request's last byte had left."""
    connection.request("POST", path, json.dumps(value), {"content-type": "application/json"})
    sent = time.monotonic()
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, found
    return found, sent


def _bare_trip(harness: Harness, connection: http.client.HTTPConnection) -> float:
    """A JSON-RPC ping to the endpoint of the parked process, on a connection that stands."""
    files = glob.glob(f"{harness.state_dir}/slots/*/mcp.json")
    with open(files[0], encoding="utf-8") as file:
        url = next(iter(json.load(file)["mcpServers"].values()))["url"]
    begun = time.monotonic()
    _post(connection, urlsplit(url).path, PING)
    return 1000 * (time.monotonic() - begun)
