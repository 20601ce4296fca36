"""`tools` and `tool_choice` of requests: checked, typed. Pure; called by `request`.

Only the client's own tools can be offered: relayd hands them to Claude Code as the tools of an MCP server.
Tools that Anthropic defines (run by the API, or by the client with a schema that the API knows) are refused by name.
Texts of errors are the API's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relayd.anthropic import checks, edge
from relayd.anthropic.edge import ToolName
from relayd.errors import invalid

# Other fields of a custom tool have no way through Claude Code; `cache_control` is its own business.
HONOURED = ("type", "name", "description", "input_schema", "cache_control")
NAME_SHOWN_CHARS = 80
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


def tools(value: Any) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The tools, and the fields that cannot be honoured. Raises ApiError 400."""
    if value is None:
        return (), ()
    items = [checks.mapping(item, f"tools.{n}") for n, item in enumerate(checks.listing(value, "tools"))]
    _refuse_typed(items)
    found = tuple(_tool(item, f"tools.{n}.custom") for n, item in enumerate(items))
    if len({t.name for t in found}) != len(found):
        raise invalid("tools: Tool names must be unique.")
    ignored = dict.fromkeys(
        f"tools.{field}" for item in items for field, given in item.items() if field not in HONOURED and given
    )
    return found, tuple(ignored)


def _refuse_typed(items: list[dict[str, Any]]) -> None:
    typed = [
        checks.text(item["type"], f"tools.{n}.type") for n, item in enumerate(items) if item.get("type") not in (None, "custom")
    ]
    if typed:
        raise invalid(f"tools: not supported by relayd: {', '.join(dict.fromkeys(typed))}. Only custom tools can be used.")


def _tool(item: dict[str, Any], path: str) -> Tool:
    name = edge.tool_name(checks.field(item, "name", path), f"{path}.name")
    description = item.get("description")
    schema = checks.mapping(checks.field(item, "input_schema", path), f"{path}.input_schema")
    if checks.field(schema, "type", f"{path}.input_schema") != "object":
        raise invalid(f"{path}.input_schema.type: Input should be 'object'")
    return Tool(name, "" if description is None else checks.text(description, f"{path}.description"), schema)


def choice(value: Any, known: tuple[Tool, ...]) -> Choice:
    """The tool choice. Raises ApiError 400."""
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
    if name not in [t.name for t in known]:
        raise invalid(f"tool_choice: Tool '{name[:NAME_SHOWN_CHARS]}' not found in provided tools")
    return Choice(kind, name, parallel)
