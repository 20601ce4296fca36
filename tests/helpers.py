"""What several test files share: splits for byte parsers, a small HTTP client that shows raw bytes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from relayd.anthropic.request import MessagesRequest
from relayd.claude import mcp
from relayd.claude.capabilities import NEEDS, is_older
from relayd.claude.launch import extra_body, key_of
from relayd.doctor import client


def splits(data: bytes, seed: int = 1) -> Iterator[list[bytes]]:
    """The same bytes whole, one by one, and at random places."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    chance = random.Random(seed)
    for _ in range(20):
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 8)))
        yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def told_body(request: MessagesRequest) -> bytes:
    """What Claude Code tells of an exact request."""
    own = [{"type": "text", "text": text} for text in ("x-anthropic-billing-header: of its own", "You are Claude Code")]
    joined = "\n\n".join(filter(None, request.system))
    body = {
        "model": request.model,
        "system": [*own, *([{"type": "text", "text": joined, "cache_control": {"type": "ephemeral"}}] if joined else [])],
        "tools": sorted((mcp.on_the_wire(tool) for tool in request.tools), key=lambda tool: str(tool["name"])),
        "messages": [{"role": m.role, "content": [mcp.to_wire(block) for block in m.content]} for m in request.messages],
        "stream": True,
    }
    return json.dumps(body | extra_body(key_of(request))).encode()


@contextlib.contextmanager
def connected(family: int, host: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection at this address: the client's and the server's. Skips where the machine does not have it."""
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("no such address on this machine")
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0] as accepted:
            yield client, accepted


def connect(url: str) -> socket.socket:
    """A socket to a daemon."""
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=30)
    sock.settimeout(30)
    return sock


def request_bytes(url: str, body: Any, path: str = "/v1/messages", **headers: str) -> bytes:
    """One POST as bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"host": urlsplit(url).netloc, "content-type": "application/json", "content-length": str(len(data))}
    fields |= {k.replace("_", "-"): v for k, v in headers.items()}
    head = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + data


def read_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer from a socket: status, headers, body (sized or chunked)."""
    file = sock.makefile("rb")
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name.lower()] = value
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(file.readline(), 16):
            body += file.read(size)
            file.readline()
        file.readline()
    else:
        body = file.read(int(headers.get("content-length", 0)))
    return status, headers, body


def post(url: str, body: Any, path: str = "/v1/messages", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One call on a connection of its own."""
    with connect(url) as sock:
        sock.sendall(request_bytes(url, body, path, **headers))
        return read_answer(sock)


def ask(text: str, **fields: Any) -> dict[str, Any]:
    """A small request body."""
    return {"model": "claude-sonnet-4-6", "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}


def text_of(body: bytes) -> str:
    """The text of a message answer."""
    return "".join(b["text"] for b in json.loads(body)["content"] if b["type"] == "text")


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The data of SSE events, with their names checked; comments are none."""
    events = []
    for piece in body.decode().split("\n\n"):
        if piece and not piece.startswith(":"):
            name, data = piece.split("\n", 1)
            value = json.loads(data.removeprefix("data: "))
            assert name == f"event: {value['type']}"
            events.append(value)
    return events


def blocks_of(data: bytes) -> list[dict[str, Any]]:
    """The blocks that a client makes of the events of content blocks, which must be in order and whole."""
    blocks: list[dict[str, Any]] = []
    is_open = False
    for event in data.decode().split("\n\n")[:-1]:
        value = json.loads(event.partition("data: ")[2])
        if value["type"] == "content_block_start":
            assert not is_open
            is_open = True
            assert value["index"] == len(blocks)
            blocks.append(value["content_block"] | {"raw": ""})
        elif value["type"] == "content_block_stop":
            assert is_open
            assert value["index"] == len(blocks) - 1
            is_open = False
        else:
            assert is_open
            delta = value["delta"]
            name = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}.get(delta["type"])
            if name:
                blocks[-1][name] += delta[name]
            else:
                blocks[-1]["raw"] += delta["partial_json"]
    assert not is_open
    for block in blocks:
        raw = block.pop("raw")
        block.pop("caller", None)
        if block["type"] == "tool_use":
            block["input"] = json.loads(raw or "{}")
    return blocks


def blocks_of_stream(data: bytes) -> list[dict[str, Any]]:
    """The blocks that a client makes of a stream, which must have ended well."""
    events = events_of(data)
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"], events[-1]
    inner = b"".join(
        b"data: " + json.dumps(event).encode() + b"\n\n" for event in events if event["type"].startswith("content_block")
    )
    return blocks_of(inner)


def until(condition: Callable[[], Any], limit_s: float = 20.0) -> Any:
    """Wait for a condition, polled; its value. Fails after `limit_s`, which is for hung tests only."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("the condition did not come true in time")


def latest_at(url: str, state: str) -> int:
    """The pid of the process that has come to this state last."""
    slots = client.get(url, "/v1/status").value["slots"]
    found = min((s for s in slots if s["state"] == state), key=lambda s: float(s["state_s"]))
    return int(found["pid"])


def lacking(version: str) -> set[str]:
    """What a version of Claude Code lacks by the table."""
    return {need.check for need in NEEDS if is_older(version, need.since)}


def files_holding(root: pathlib.Path, words: bytes) -> list[pathlib.Path]:
    """Regular files below `root` that hold these words. What vanishes meanwhile does not count."""
    found = []
    for directory, _, names in os.walk(root):
        for name in names:
            path = pathlib.Path(directory, name)
            with contextlib.suppress(OSError):
                if path.is_file() and words in path.read_bytes():
                    found.append(path)
    return found
