"""Who stands around a simulated relay: what a client has got, and a process as the runtime sees it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from relayd.claude import mcp, mod
from relayd.core import actions as do


@dataclasses.dataclass
class Reply:
    """What a client has got of one request so far."""

    client: int
    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    is_stream: bool = False
    is_over: bool = False
    was_closed: bool = False  # by the daemon

    @property
    def has_come(self) -> bool:
        """True if nothing more will come."""
        return self.is_over or self.was_closed


@dataclasses.dataclass
class Process:
    """A Claude Code process as the runtime sees it."""

    order: do.SpawnSlot
    pid: int
    lives: bool = True
    transcript: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    typed: str = ""
    session: str = ""  # the conversation that it has taken up, once that is another than it was made for
    waits: int = 0  # the MCP request whose answer it waits for

    def door(self, name: str) -> str:
        """The path of one of the daemon's doors, as the process reads it from its files."""
        launch, paths = self.order.launch, self.order.paths
        if name == "hooks":
            url = json.loads(launch.files[paths.settings])["hooks"]["Stop"][0]["hooks"][0]["url"]
        elif name == "mcp":
            url = json.loads(launch.files[paths.mcp])["mcpServers"][mcp.SERVER]["url"]
        elif name == "pieces":
            url = launch.env[mod.ADDRESS]
        elif name == "plan":
            url = launch.env[mod.PLAN_ADDRESS]
        else:
            url = launch.env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
        return "/" + str(url).split("/", 3)[3]

    @property
    def conversation(self) -> str:
        """The session id of the conversation that it holds."""
        return self.session or self.order.paths.sessions[-1]

    @property
    def has_mod(self) -> bool:
        """True if it was told where the pieces of its answers go."""
        return mod.ADDRESS in self.order.launch.env

    @property
    def has_tools(self) -> bool:
        """True if it was told of the MCP server."""
        return self.order.paths.mcp in self.order.launch.files


def asked_of(messages: list[dict[str, Any]]) -> str:
    """What the last message says; tool results that were replayed say what those that were brought would."""
    content = messages[-1]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    text = "".join(b.get("text", "") for b in blocks)
    if text.strip():
        return text
    results = [b["content"] for m in messages[-2:] for b in m["content"] if isinstance(b, dict) and b["type"] == "tool_result"]
    if results:
        return "got " + "".join(b["text"] for b in results[0]) if isinstance(results[0], list) else f"got {results[0]}"
    return text
