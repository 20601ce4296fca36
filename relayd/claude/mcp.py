"""The MCP server inside the daemon: JSON-RPC bodies in, facts and answers out. Pure.

Claude Code offers the client's tools to the model as `mcp__client__<name>` and asks this server to run
them. A call stays open until the client has brought its result: the session is parked meanwhile. Notes on its progress,
which the model never sees, make Claude Code write what it has (`progress`).
Definitions reach the model by the transcript's snapshot, exactly; the list given here is only what Claude
Code checks calls against, so its schemas let every input through. Called by `core/relay.py` and `compose`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.anthropic.blocks import Block
from relayd.anthropic.tools import Tool
from relayd.claude import told

SERVER = "client"
PREFIX = f"mcp__{SERVER}__"
TOOL_USE_ID = "claudecode/toolUseId"  # in `_meta`: the API's own id of the tool call
PROTOCOL = "2025-11-25"
LIST = "tools/list"
METHOD_NOT_FOUND = -32601
INVALID_REQUEST = -32600
RESULT_MAX_CHARS = 400_000  # a longer result would be written to a file and only named
LIST_META = {"anthropic/maxResultSizeChars": 1_000_000_000}


RpcId = str | int | float | None


@dataclass(frozen=True)
class ToolCalled:
    """Claude Code asks for a tool to be run; `rpc_id` is what the answer must name, `progress_token` what a note on its
    progress must. Without a token no note may be sent.
    """

    tool_use_id: str
    rpc_id: RpcId
    progress_token: RpcId = None


@dataclass(frozen=True)
class Asked:
    """A request that is answered at once: `result`, or an error if it is None."""

    method: str
    rpc_id: RpcId
    params: dict[str, Any]


@dataclass(frozen=True)
class Notified:
    """A notification: nothing to answer."""


McpFact = ToolCalled | Asked | Notified


def read(body: bytes) -> McpFact:
    """The fact in a body. Raises ValueError if it is malformed."""
    value = told.mapping(codec.parse(body), "message")
    method = told.text(value.get("method"), "method")
    params = told.mapping(value.get("params") or {}, "params")
    if "id" not in value:
        return Notified()
    rpc_id = _rpc_id(value["id"])
    if method == "tools/call":
        meta = told.mapping(params.get("_meta"), "_meta")
        return ToolCalled(told.text(meta.get(TOOL_USE_ID), TOOL_USE_ID), rpc_id, _rpc_id(meta.get("progressToken")))
    return Asked(method, rpc_id, params)


def _rpc_id(value: Any) -> RpcId:
    """What an answer repeats: JSON-RPC knows texts and numbers."""
    if value is not None and not isinstance(value, (str, int, float)):
        raise ValueError("id: not a text or a number")
    return value


def listing(asked: Asked, tools: tuple[Tool, ...]) -> bytes:
    """The answer to the question for tools."""
    return _result(asked.rpc_id, {"tools": [_listed(t) for t in tools]})


def answer(asked: Asked) -> bytes:
    """The answer to everything but tool calls and the question for tools."""
    if asked.method == "initialize":
        version = asked.params.get("protocolVersion")
        version = version if isinstance(version, str) and version else PROTOCOL
        about = {"name": "relayd", "version": "1"}
        return _result(asked.rpc_id, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about})
    if asked.method == "ping":
        return _result(asked.rpc_id, {})
    error = {"code": METHOD_NOT_FOUND, "message": "Method not found"}
    return codec.dump({"jsonrpc": "2.0", "id": asked.rpc_id, "error": error})


def _listed(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},  # so that nothing is asked and calls of one message may run together
        "_meta": LIST_META,
    }


def result(rpc_id: RpcId, block: Block) -> bytes:
    """The answer to a tool call. `block` is a tool_result that `is_exact` has let through."""
    content = [{"type": "text", "text": text} for text in _texts(block) or []]
    return _result(rpc_id, {"content": content, "isError": bool(block.get("is_error"))})


def progress(fact: ToolCalled, count: int) -> bytes:
    """A note on the progress of a call. `count` grows with each note, as MCP wants it."""
    about = {"progressToken": fact.progress_token, "progress": count}
    return codec.dump({"jsonrpc": "2.0", "method": "notifications/progress", "params": about})


def event(message: bytes) -> bytes:
    """A message as an event of a stream, for an answer that begins with notes."""
    return b"event: message\ndata: " + message + b"\n\n"


def _result(rpc_id: RpcId, value: dict[str, Any]) -> bytes:
    return codec.dump({"jsonrpc": "2.0", "id": rpc_id, "result": value})


def is_exact(block: Block) -> bool:
    """True if a tool_result reaches the model as it is by way of MCP.

    Pictures would be encoded again and named in a text, documents be files, blank texts be replaced, errors be
    trimmed and joined, long texts be written to a file (seen on 2.1.330). Such results are replayed.
    """
    texts = _texts(block)
    if not texts or any(not t.strip() for t in texts) or sum(map(len, texts)) > RESULT_MAX_CHARS:
        return False
    return not block.get("is_error") or (len(texts) == 1 and texts[0] == texts[0].strip())


def _texts(block: Block) -> list[str] | None:
    """The texts of a tool_result; None if it holds anything else."""
    content = block.get("content") or []
    if isinstance(content, str):
        return [content]
    if any(b["type"] != "text" or len(b) != 2 for b in content):
        return None
    return [b["text"] for b in content]


def to_wire(block: Block) -> Block:
    """A block as Claude Code knows it: tool calls carry the server's prefix."""
    return block | {"name": PREFIX + block["name"]} if block["type"] == "tool_use" else block


def to_client(block: Block) -> Block:
    """A block as the client knows it."""
    return block | {"name": block["name"].removeprefix(PREFIX)} if block["type"] == "tool_use" else block


def snapshot_entry(tool: Tool) -> dict[str, Any]:
    """A tool as the transcript's snapshot carries it to the model."""
    schema = on_the_wire(tool)
    return {"name": schema["name"], "description": tool.description, "schema": schema, "server": SERVER}


def on_the_wire(tool: Tool) -> dict[str, Any]:
    """A tool as the model gets it."""
    return {"name": PREFIX + tool.name, "description": tool.description, "input_schema": tool.input_schema}


def for_the_api(tools: tuple[Tool, ...], server_tools: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """All tools of a request as the model gets them: Claude Code sorts those of a server. The API's own come last."""
    return [*sorted(map(on_the_wire, tools), key=lambda tool: str(tool["name"])), *server_tools]
