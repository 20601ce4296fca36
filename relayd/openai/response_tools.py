"""The tools of a Responses request as tools of the Messages API, and their calls as either shape has them. Pure.

OpenAI knows more kinds of tools that a client runs: functions, in namespaces or not, custom tools, which take a text, and some
whose form is known to its models (`local_shell`, `shell`, `apply_patch`). Each becomes a tool with a schema, and a call of
it an item of its kind again. Tools that OpenAI runs itself have no counterpart: those that an answer can do without are left
out and named, others are refused. Used by `responses`, `response_items` and `response_output`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from relayd import codec
from relayd.anthropic import checks
from relayd.errors import invalid

FUNCTION, CUSTOM, NAMESPACE = "function", "custom", "namespace"
LOCAL_SHELL, SHELL, APPLY_PATCH = "local_shell", "shell", "apply_patch"
# Run by OpenAI, and offered by clients whether anybody asks for them or not: Codex has the search in each request.
LEFT_OUT = ("web_search", "web_search_preview", "image_generation", "tool_search", "programmatic_tool_calling")
SPARE = ("strict", "defer_loading", "allowed_callers", "output_schema", "async")  # fields that are named if they say something
INPUT = {"type": "string", "description": "The whole input, as plain text, just as the tool's description asks for it."}
NUMBER, TEXT, TEXTS = {"type": "integer"}, {"type": "string"}, {"type": "array", "items": {"type": "string"}}
# The tools whose form OpenAI's models know: what is said of them here, and the properties of their calls.
KNOWN: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    LOCAL_SHELL: (
        "Runs a command on the user's machine and returns what it prints.",
        {"command": TEXTS, "working_directory": TEXT, "timeout_ms": NUMBER, "env": {"type": "object"}},
        ["command"],
    ),
    SHELL: (
        "Runs shell commands on the user's machine and returns what they print. Several commands may run at the same time.",
        {"commands": TEXTS, "timeout_ms": NUMBER, "max_output_length": NUMBER},
        ["commands"],
    ),
    APPLY_PATCH: (
        "Creates, changes or deletes one file of the user's. `diff` has the lines of a unified diff without file names: each "
        "line begins with a blank, `+` or `-`, each section with `@@`. A new file has `+` lines alone; deleting needs no diff.",
        {"type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]}, "path": TEXT, "diff": TEXT},
        ["type", "path"],
    ),
}


@dataclass(frozen=True)
class ClientTool:
    """What a tool is in the client's words."""

    kind: str
    name: str
    namespace: str = ""

    @property
    def wire_name(self) -> str:
        """Its name for the Messages API, which knows no namespaces."""
        return f"{self.namespace}__{self.name}" if self.namespace else self.name


@dataclass
class Toolbox:
    """The tools of one request. `tools` are those of the Messages API, in the same order."""

    tools: list[dict[str, Any]] = field(default_factory=list)
    by_name: dict[str, ClientTool] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    emulated: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Toolbox {len(self.tools)}>"

    def add(self, value: Any, path: str) -> None:
        """Take a list of tools that may be left out. Raises ApiError 400."""
        for number, item in enumerate([] if value is None else checks.listing(value, path)):
            self._take(checks.mapping(item, f"{path}.{number}"), f"{path}.{number}")

    def tool(self, name: str) -> ClientTool:
        """The tool of a call, by its name for the Messages API."""
        return self.by_name.get(name, ClientTool(FUNCTION, name))

    def keep(self, names: set[str]) -> None:
        """Offer only these."""
        self.tools = [tool for tool in self.tools if tool["name"] in names]

    def _take(self, item: dict[str, Any], path: str) -> None:
        kind = checks.text(checks.field(item, "type", path), f"{path}.type")
        if kind == NAMESPACE:
            self._open(item, path)
        elif kind in (FUNCTION, CUSTOM):
            self._offer(item, path, "", "")
        elif kind in KNOWN:
            self._offer_known(item, kind, path)
        elif kind in LEFT_OUT:
            self._name(self.ignored, f"tools.{kind}")
        else:
            raise invalid(f"{path}: {kind[:80]}: not supported by relayd. Only tools that the client runs can be used.")

    def _open(self, item: dict[str, Any], path: str) -> None:
        """A namespace: what it says of all its tools is said of each."""
        name = checks.text(checks.field(item, "name", path), f"{path}.name")
        about = _given_text(item.get("description"), f"{path}.description")
        for number, inner in enumerate(checks.listing(checks.field(item, "tools", path), f"{path}.tools")):
            place = f"{path}.tools.{number}"
            tool = checks.mapping(inner, place)
            checks.one_of(tool.get("type"), (FUNCTION, CUSTOM), f"{place}.type")
            self._offer(tool, place, name, about)

    def _offer(self, item: dict[str, Any], path: str, namespace: str, about: str) -> None:
        kind = item["type"]
        name = checks.text(checks.field(item, "name", path), f"{path}.name")
        description = _given_text(item.get("description"), f"{path}.description")
        if kind == CUSTOM:
            schema: dict[str, Any] = {"type": "object", "properties": {"input": INPUT}, "required": ["input"]}
            description += _grammar(item.get("format"), f"{path}.format")
            self._name(self.emulated, "tools.custom")
        else:
            given = item.get("parameters")
            schema = {} if given is None else checks.mapping(given, f"{path}.parameters")
        for extra in SPARE:
            if item.get(extra):
                self._name(self.ignored, f"tools.{extra}")
        self._put(ClientTool(kind, name, namespace), "\n\n".join(filter(None, (about, description))), schema)

    def _offer_known(self, item: dict[str, Any], kind: str, path: str) -> None:
        place = item.get("environment")
        if isinstance(place, dict) and place.get("type") != "local":
            raise invalid(f"{path}.environment: only `local` is supported by relayd")
        description, properties, required = KNOWN[kind]
        self._name(self.emulated, f"tools.{kind}")
        self._put(ClientTool(kind, kind), description, {"type": "object", "properties": properties, "required": required})

    def _put(self, tool: ClientTool, description: str, schema: dict[str, Any]) -> None:
        shape = schema or {"type": "object", "properties": {}}
        self.tools.append({"name": tool.wire_name, "description": description, "input_schema": shape})
        self.by_name[tool.wire_name] = tool

    def _name(self, names: list[str], name: str) -> None:
        if name not in names:
            names.append(name)


def _grammar(value: Any, path: str) -> str:
    """What a custom tool's format asks for, in words."""
    if value is None:
        return ""
    format_ = checks.mapping(value, path)
    if checks.one_of(format_.get("type"), ("text", "grammar"), f"{path}.type") == "text":
        return ""
    syntax = checks.one_of(format_.get("syntax"), ("lark", "regex"), f"{path}.syntax")
    definition = checks.text(checks.field(format_, "definition", path), f"{path}.definition")
    return f"\n\nThe input must match this grammar ({syntax}):\n{definition}"


def _given_text(value: Any, path: str) -> str:
    return "" if value is None else checks.text(value, path)


def choice(value: Any, box: Toolbox) -> dict[str, Any]:
    """`tool_choice` as the Messages API has it. A choice among few tools leaves the others out. Raises ApiError 400."""
    if value is None:
        return {"type": "auto"}
    if isinstance(value, str):
        modes = {"auto": "auto", "required": "any", "none": "none"}
        return {"type": modes[checks.one_of(value, tuple(modes), "tool_choice")]}
    given = checks.mapping(value, "tool_choice")
    if given.get("type") != "allowed_tools":
        return {"type": "tool", "name": _chosen(given, "tool_choice")}
    mode = checks.one_of(given.get("mode"), ("auto", "required"), "tool_choice.mode")
    wanted = enumerate(checks.listing(given.get("tools"), "tool_choice.tools"))
    box.keep({_chosen(checks.mapping(tool, f"tool_choice.tools.{n}"), f"tool_choice.tools.{n}") for n, tool in wanted})
    return {"type": "any" if mode == "required" else "auto"}


def _chosen(value: dict[str, Any], path: str) -> str:
    kind = checks.one_of(value.get("type"), (FUNCTION, CUSTOM, *KNOWN), f"{path}.type")
    if kind in KNOWN:
        return kind
    namespace = _given_text(value.get("namespace"), f"{path}.namespace")
    return ClientTool(kind, checks.text(value.get("name"), f"{path}.name"), namespace).wire_name


def item(tool: ClientTool, block: dict[str, Any]) -> dict[str, Any]:
    """A call as an item, without its id and status."""
    given, head = block["input"], {"call_id": block["id"]}
    match tool.kind:
        case "custom":
            text = given.get("input") if set(given) == {"input"} else None
            own = {"type": "custom_tool_call", "name": tool.name}
            own |= {"input": text if isinstance(text, str) else codec.dump(given).decode()}
        case "local_shell":
            own = {"type": "local_shell_call", "action": {"type": "exec", "env": {}} | given}
        case "shell":
            own = {"type": "shell_call", "action": {"timeout_ms": None, "max_output_length": None} | given}
        case "apply_patch":
            own = {"type": "apply_patch_call", "operation": given}
        case _:
            own = {"type": "function_call", "name": tool.name, "arguments": codec.dump(given).decode()}
    return own | head | ({"namespace": tool.namespace} if tool.namespace else {})


# Items of calls, with the tool that they call and the field that has its input; items of results, and how their text is found.
CALLS = {
    "function_call": (FUNCTION, "arguments"),
    "custom_tool_call": (CUSTOM, "input"),
    "local_shell_call": (LOCAL_SHELL, "action"),
    "shell_call": (SHELL, "action"),
    "apply_patch_call": (APPLY_PATCH, "operation"),
}
RESULTS = tuple(f"{kind}_output" for kind in CALLS)


def called(value: dict[str, Any], path: str) -> ClientTool:
    """The tool of a call of the past."""
    kind, _ = CALLS[value["type"]]
    if kind in KNOWN:
        return ClientTool(kind, kind)
    name = checks.text(checks.field(value, "name", path), f"{path}.name")
    return ClientTool(kind, name, _given_text(value.get("namespace"), f"{path}.namespace"))


def known_input(value: dict[str, Any], path: str) -> dict[str, Any]:
    """The input of a call of a known form: what `item` has added is taken away."""
    _, place = CALLS[value["type"]]
    given = checks.mapping(checks.field(value, place, path), f"{path}.{place}")
    return {name: part for name, part in given.items() if part not in (None, {}) and (name, part) != ("type", "exec")}


def shell_text(value: Any, path: str) -> str:
    """The output of a `shell_call` as text: what each command printed, and how it ended."""
    return "\n".join(_texts(checks.listing(value, path), path))


def _texts(value: list[Any], path: str) -> Iterator[str]:
    for number, part in enumerate(value):
        found = checks.mapping(part, f"{path}.{number}")
        outcome = found.get("outcome")
        ended = outcome.get("exit_code", outcome.get("type")) if isinstance(outcome, dict) else None
        yield from (str(found[name]) for name in ("stdout", "stderr") if found.get(name))
        yield f"exit: {ended}"
