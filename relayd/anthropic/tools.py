"""`tools` and `tool_choice` of requests: checked, typed. Pure; called by `request`.

The client's own tools are handed to Claude Code as the tools of an MCP server. The API's own search and fetch tools, which it
runs itself, reach it as they are, beside Claude Code (`claude/launch.py`). Other tools that Anthropic defines (run by the API, or
by the client with a schema that the API knows) are refused by name. Texts of errors are the API's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from relayd.anthropic import checks, edge
from relayd.anthropic.edge import ToolName
from relayd.errors import invalid

# Other fields of a custom tool have no way through Claude Code; `cache_control` is its own business.
HONOURED = ("type", "name", "description", "input_schema", "cache_control")
NAME_SHOWN_CHARS = 80
SERVER_TOOL = re.compile(r"(web_search|web_fetch)_\d{8}")
SERVER_TOOLS_MAX = 10
CHOICES = ("auto", "any", "tool", "none")


@dataclass(frozen=True)
class Tool:
    """A tool of the client. `input_schema` is the JSON schema as it came."""

    name: ToolName
    description: str
    input_schema: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"


@dataclass(frozen=True)
class Choice:
    """`tool_choice`: kind is auto, any, none, or tool with its `name`."""

    kind: str = "auto"
    name: str = ""
    parallel: bool = True

    @property
    def is_forced(self) -> bool:
        """True if the answer must contain a tool call."""
        return self.kind in ("any", "tool")


@dataclass(frozen=True)
class Offered:
    """The client's own tools, the API's own as they were given, and the fields that cannot be honoured."""

    tools: tuple[Tool, ...] = ()
    server: tuple[dict[str, Any], ...] = ()
    ignored: tuple[str, ...] = ()


def offered(value: Any) -> Offered:
    """The tools of a request. Raises ApiError 400."""
    if value is None:
        return Offered()
    server, own = [], []
    for n, item in enumerate(checks.listing(value, "tools")):
        tool, path = checks.mapping(item, f"tools.{n}"), f"tools.{n}"
        if _is_server_tool(tool, path):
            server.append(_server_tool(tool, path))
        else:
            own.append((n, tool))
    _refuse_typed(own)
    found = tuple(_tool(item, f"tools.{n}.custom") for n, item in own)
    names = [*(tool.name for tool in found), *(tool["name"] for tool in server)]
    if len(set(names)) != len(names):
        raise invalid("tools: Tool names must be unique.")
    if len(server) > SERVER_TOOLS_MAX:
        raise invalid(f"tools: at most {SERVER_TOOLS_MAX} of the API's own")
    ignored = dict.fromkeys(
        f"tools.{field}" for _, item in own for field, given in item.items() if field not in HONOURED and given
    )
    return Offered(found, tuple(server), tuple(ignored))


def _is_server_tool(item: dict[str, Any], path: str) -> bool:
    kind = item.get("type")
    return kind is not None and SERVER_TOOL.fullmatch(checks.text(kind, f"{path}.type")) is not None


def _server_tool(item: dict[str, Any], path: str) -> dict[str, Any]:
    """As it was given: the API itself knows its fields. Raises ApiError 400 for another name than its own."""
    name = item["type"].rpartition("_")[0]
    checks.one_of(checks.field(item, "name", path), (name,), f"{path}.{item['type']}.name")
    return {field: given for field, given in item.items() if field != "cache_control"}


def _refuse_typed(items: list[tuple[int, dict[str, Any]]]) -> None:
    typed = [checks.text(item["type"], f"tools.{n}.type") for n, item in items if item.get("type") not in (None, "custom")]
    if typed:
        named = ", ".join(dict.fromkeys(typed))
        raise invalid(f"tools: not supported by relayd: {named}. Only custom tools, web_search and web_fetch can be used.")


def _tool(item: dict[str, Any], path: str) -> Tool:
    name = edge.tool_name(checks.field(item, "name", path), f"{path}.name")
    description = item.get("description")
    schema = checks.mapping(checks.field(item, "input_schema", path), f"{path}.input_schema")
    if checks.field(schema, "type", f"{path}.input_schema") != "object":
        raise invalid(f"{path}.input_schema.type: Input should be 'object'")
    return Tool(name, "" if description is None else checks.text(description, f"{path}.description"), schema)


def choice(value: Any, known: tuple[str, ...]) -> Choice:
    """The tool choice; `known` are the names of the tools. Raises ApiError 400."""
    if value is None:
        return Choice()
    if not known:
        raise invalid("tool_choice may only be specified while providing tools.")
    given = checks.mapping(value, "tool_choice")
    kind = checks.one_of(checks.field(given, "type", "tool_choice"), CHOICES, "tool_choice.type")
    parallel = not checks.flag(given.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    if kind != "tool":
        return Choice(kind, "", parallel)
    name = checks.text(checks.field(given, "name", "tool_choice.tool"), "tool_choice.tool.name")
    if name not in known:
        raise invalid(f"tool_choice: Tool '{name[:NAME_SHOWN_CHARS]}' not found in provided tools")
    return Choice(kind, name, parallel)
