"""POST /v1/messages: body bytes to a typed, checked request.

Everything that the API would refuse at once is refused here, in its words, before a process is
touched. Pure; called by `core/relay.py`. Unknown optional fields and betas are accepted, as SDKs
send new ones all the time; what cannot be honoured is listed in `ignored` and told to the client.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.anthropic import blocks, checks, edge, inexact, media, structured, tools
from relayd.anthropic import conversation_rules as rules
from relayd.anthropic.blocks import Block
from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.edge import SAMPLING, ModelName, TokenCount
from relayd.anthropic.tools import Choice, Tool
from relayd.errors import invalid

VERSION_OLD = "2023-06-01"
VERSION_NEW = "2026-10-21"  # refuses the sampling parameters, even at their defaults
CACHE = "cache_control"
# Every other field that a request has is named as ignored: SDKs send new ones all the time.
HONOURED = (
    *("model", "max_tokens", "messages", "system", "stream", "thinking", "output_config", "output_format"),
    *("stop_sequences", *SAMPLING, "tools", "tool_choice", "thread", "mcp_servers"),
)
HONOURED_OUTPUT = ("effort", "format")
BREAKPOINTS_MAX = 4
BLOCKS_MAX = 100_000  # of one request, inner ones included
EFFORTS = ("low", "medium", "high", "xhigh", "max")
THINKING_KINDS = ("adaptive", "enabled", "disabled", "between_tools")
THINKING_DISPLAYS = ("summarized", "omitted", "updates")


@dataclass(frozen=True)
class Held:
    """What is known of a conversation before a request adds to it."""

    system: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Thinking:
    """What the client asked: kind is absent or one of THINKING_KINDS, `enabled` with a budget in tokens; display may be empty."""

    kind: str = "absent"
    budget: int = 0
    display: str = ""


@dataclass(frozen=True)
class MessagesRequest:
    """A valid request. `system` holds the texts of its blocks; `ignored` what cannot be honoured, `emulated` what is by words,
    `inexact` where the model gets other JSON than was sent.

    `schema` is the JSON schema of `output_config.format`.
    """

    model: ModelName
    max_tokens: TokenCount
    messages: tuple[Message, ...]
    system: tuple[str, ...] = ()
    stream: bool = False
    thinking: Thinking = Thinking()
    effort: str = ""
    stop_sequences: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float], ...] = ()
    tools: tuple[Tool, ...] = ()
    server_tools: tuple[dict[str, Any], ...] = ()  # which the API runs itself
    choice: Choice = Choice()
    schema: dict[str, Any] | None = None
    ignored: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    inexact: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<MessagesRequest {self.model} messages={len(self.messages)} stream={self.stream}>"

    @property
    def has_media(self) -> bool:
        """True if there are pictures or documents."""
        return any(media.counted(message.content) for message in self.messages)

    @property
    def may_cite(self) -> bool:
        """True if texts of the answer may come with citations."""
        return bool(self.server_tools) or any(map(_cites, (block for message in self.messages for block in message.content)))

    @property
    def tool_results(self) -> tuple[Block, ...]:
        """The results that the last message brings, if it brings nothing else; else none."""
        last = self.messages[-1].content
        return last if all(b["type"] == "tool_result" for b in last) else ()


def parse(value: dict[str, Any], version: str, held: Held = Held()) -> MessagesRequest:
    """The request in a body's JSON object. Raises ApiError with the API's status and text.

    `held` is what relayd keeps of the conversation already: `value` then brings only what is new.
    """
    checks.shallow(value, "body")
    model = edge.model(checks.field(value, "model", ""))
    max_tokens = edge.tokens(checks.field(value, "max_tokens", ""), "max_tokens", minimum=0)
    messages = _messages(checks.field(value, "messages", ""), version, held.messages)
    _refuse_unsupported(value)
    given = tools.offered(value.get("tools"))
    offered = given.tools or held.tools
    return MessagesRequest(
        model=model,
        max_tokens=max_tokens,
        messages=messages,
        system=_system(value.get("system")) or held.system,
        stream=checks.flag(value.get("stream"), "stream"),
        thinking=_thinking(value.get("thinking"), max_tokens),
        effort=_effort(value.get("output_config")),
        stop_sequences=edge.stop_sequences(value.get("stop_sequences")),
        sampling=_sampling(value, version),
        tools=offered,
        server_tools=given.server,
        choice=tools.choice(value.get("tool_choice"), (*(t.name for t in offered), *(t["name"] for t in given.server))),
        schema=_schema(value),
        ignored=_ignored(value, given.ignored),
        inexact=edge.header_names(inexact.paths(value)),
    )


def _ignored(value: dict[str, Any], unheard: tuple[str, ...]) -> tuple[str, ...]:
    """The names of what was given and cannot be honoured. Raises ApiError 400 for too many cache marks."""
    found = [name for name, given in value.items() if name not in HONOURED and name != CACHE and given is not None]
    found += [f"output_config.{name}" for name in value.get("output_config") or () if name not in HONOURED_OUTPUT]
    marks = sum(1 for _ in _cache_marks(value))
    if marks > BREAKPOINTS_MAX:
        raise invalid(f"A maximum of {BREAKPOINTS_MAX} blocks with cache_control may be provided. Found {marks}.")
    return edge.header_names([*found, *unheard, *([CACHE] if marks else [])])


def _cache_marks(value: dict[str, Any]) -> Iterator[Any]:
    """Each `cache_control`, wherever the API takes one. The request has been checked."""
    system = value.get("system")
    places = [value, *(value.get("tools") or ()), *(system if isinstance(system, list) else ())]
    for message in value["messages"]:
        if isinstance(message["content"], list):
            places += message["content"]
            for block in message["content"]:
                inner = block.get("content")
                places += inner if isinstance(inner, list) else ()
    return (place[CACHE] for place in places if isinstance(place, dict) and place.get(CACHE))


def document(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises ApiError 400 with the parser's position."""
    try:
        value = codec.parse(body)
    except ValueError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    return checks.mapping(value, "body")


def _messages(value: Any, version: str, held: tuple[Message, ...]) -> tuple[Message, ...]:
    items = checks.listing(value, "messages")
    if not items:
        raise invalid("messages: at least one message is required")
    if sum(map(_count, items)) > BLOCKS_MAX:
        raise invalid(f"messages: at most {BLOCKS_MAX} content blocks in all")
    given = [_message(item, number, number == len(items) - 1, version) for number, item in enumerate(items)]
    merged = rules.merged(given)
    if held and not (len(merged) > len(held) and merged[0] == held[0]):  # else it is the full history, not what is new
        merged = rules.merged([*((m.role, list(m.content)) for m in held), *given])
    rules.check(merged)
    return merged


def _cites(block: Block) -> bool:
    """True for a document or a search result that an answer may cite, and for a result of a tool that holds one."""
    inner = block.get("content")
    is_source = block["type"] in ("document", "search_result") and bool(block.get("citations"))
    return is_source or (block["type"] == "tool_result" and isinstance(inner, list) and any(map(_cites, inner)))


def _count(value: Any) -> int:
    """How many blocks an item of anything has: its own, and those within these."""
    if not isinstance(value, dict):
        return 0
    content = value.get("content")
    return _count(value.get("source")) + (len(content) + sum(map(_count, content)) if isinstance(content, list) else 0)


def _message(value: Any, number: int, last: bool, version: str) -> tuple[str, list[Block]]:
    path = f"messages.{number}"
    message = checks.mapping(value, path)
    role = checks.text(checks.field(message, "role", path), f"{path}.role")
    if role not in ("user", "assistant", "system"):
        raise invalid(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".')
    content = blocks.content(checks.field(message, "content", path), f"{path}.content")
    if not content and role == "user":
        raise invalid(f"{path}: user messages must have non-empty content")
    if not content and not last:
        raise invalid(f"{path}: all messages must have non-empty content except for the optional final assistant message")
    if role == "system" and any(b["type"] != "text" for b in content):
        raise invalid(f"{path}.content: system messages may hold text blocks only")
    if version == VERSION_NEW:
        _check_new_version(role, content, path)
    return role, content


def _check_new_version(role: str, content: list[Block], path: str) -> None:
    for number, block in enumerate(content):
        if role == "assistant" and block["type"] == "document":
            raise invalid(f"{path}.content.{number}: `document` blocks are not allowed in assistant messages")
        if role == "user" and block["type"] == "text" and block.get("citations"):
            raise invalid(f"{path}.content.{number}.text.citations: citations are not allowed in user messages")


def _system(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    texts = []
    for number, item in enumerate(checks.listing(value, "system")):
        path = f"system.{number}"
        block = checks.mapping(item, path)
        checks.one_of(checks.field(block, "type", path), ("text",), f"{path}.type")
        text = checks.text(checks.field(block, "text", path), f"{path}.text")
        blocks.check_text(text, "system")
        texts.append(text)
    return tuple(texts)


def _thinking(value: Any, max_tokens: int) -> Thinking:
    if value is None:
        return Thinking()
    thinking = checks.mapping(value, "thinking")
    kind = checks.one_of(checks.field(thinking, "type", "thinking"), THINKING_KINDS, "thinking.type")
    display = thinking.get("display")
    shown = "" if display is None else checks.one_of(display, THINKING_DISPLAYS, f"thinking.{kind}.display")
    if kind != "enabled":
        return Thinking(kind, display=shown)
    path = "thinking.enabled.budget_tokens"
    budget = edge.tokens(checks.field(thinking, "budget_tokens", "thinking.enabled"), path, minimum=1024)
    if budget >= max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return Thinking(kind, budget, shown)


def _effort(value: Any) -> str:
    if value is None:
        return ""
    effort = checks.mapping(value, "output_config").get("effort")
    return "" if effort is None else checks.one_of(effort, EFFORTS, "output_config.effort")


def _sampling(value: dict[str, Any], version: str) -> tuple[tuple[str, float], ...]:
    """The sampling parameters that were given. The newer API version refuses them, even at their defaults."""
    found = []
    for name in SAMPLING:
        if name in value and version == VERSION_NEW:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if value.get(name) is not None:
            found.append((name, edge.sampling(name, value[name])))
    return tuple(found)


def _schema(value: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema of a structured output; `output_format` is its older name."""
    config = value.get("output_config")
    found = None if config is None else checks.mapping(config, "output_config").get("format")
    name = "output_config.format" if found is not None else "output_format"
    given = found if found is not None else value.get("output_format")
    if given is None:
        return None
    format_ = checks.mapping(given, name)
    checks.one_of(checks.field(format_, "type", name), ("json_schema",), f"{name}.type")
    schema = edge.schema(checks.field(format_, "schema", name), f"{name}.schema")
    structured.check(schema, f"{name}.schema")
    return schema


def _refuse_unsupported(value: dict[str, Any]) -> None:
    """What would change the answer and cannot be done is refused, never dropped."""
    if value.get("mcp_servers"):
        raise invalid("mcp_servers: not supported by relayd")
