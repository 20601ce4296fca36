"""Requests of the right shape, and the same with one wrong part anywhere: what fuzzing by structure draws from.

Bytes at random hardly ever make JSON, and JSON at random hardly ever makes a request, so such fuzzing ends at the first
check. Here each request is right but for one part: a wrong type, a number of any width, any depth, any length, a text that
a terminal or a command line would obey, a field that is missing, doubled or of another place.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

ASK: dict[str, Any] = {"model": "claude-sonnet-5", "max_tokens": 1024, "messages": [{"role": "user", "content": "hi"}]}
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PDF = PNG | {"media_type": "application/pdf"}
TEXT = {"type": "text", "text": "hello"}
BLOCKS: list[dict[str, Any]] = [
    TEXT,
    TEXT | {"cache_control": {"type": "ephemeral", "ttl": "5m"}, "citations": None},
    {"type": "image", "source": PNG},
    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    {"type": "document", "source": PDF, "title": "t", "context": "c", "citations": {"enabled": True}},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    {"type": "document", "source": {"type": "content", "content": [TEXT, {"type": "image", "source": PNG}]}},
    {"type": "document", "source": {"type": "content", "content": "words"}},
    {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    {"type": "search_result", "source": "s", "title": "t", "content": [TEXT]},
]
SAID: list[dict[str, Any]] = [
    TEXT,
    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "eA=="},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "url": "u"}]},
]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": "array", "items": {"enum": ["x", 1, None]}, "minItems": 1}},
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"n": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(a+)+$"}]}},
}
TOOL: dict[str, Any] = {"name": "get", "description": "Gets.", "input_schema": SCHEMA, "strict": True}
CALLS = [{"type": "tool_use", "id": f"toolu_{n}", "name": "get", "input": {"a": [n, {"b": None}]}} for n in range(2)]
RESULTS: list[dict[str, Any]] = [
    {"type": "tool_result", "tool_use_id": "toolu_0", "content": [TEXT, {"type": "image", "source": PNG}]},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "failed", "is_error": True},
]
OPTIONAL: dict[str, list[Any]] = {
    "system": ["be brief", [TEXT, TEXT]],
    "stream": [True, False],
    "thinking": [
        {"type": "adaptive", "display": "omitted"},
        {"type": "enabled", "budget_tokens": 1024},
        {"type": "disabled"},
    ],
    "output_config": [{"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}, {"effort": "max"}],
    "output_format": [{"type": "json_schema", "schema": SCHEMA}],
    "stop_sequences": [["\n\nHuman:", "END"]],
    "temperature": [0.5],
    "top_p": [0.9],
    "top_k": [40],
    "thread": [{"type": "create"}],
    "metadata": [{"user_id": "u"}],
    "cache_control": [{"type": "ephemeral"}],
}
CHAT_OPTIONAL: dict[str, list[Any]] = {
    "stream": [True, False],
    "stream_options": [{"include_usage": True}],
    "max_completion_tokens": [100],
    "max_tokens": [100],
    "n": [1],
    "stop": ["END", ["a", "b"]],
    "temperature": [0.5, 1.7],
    "top_p": [0.9],
    "reasoning_effort": ["low"],
    "parallel_tool_calls": [False],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
    ],
    "seed": [3],
}
CHAT_PARTS: list[dict[str, Any]] = [
    TEXT,
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
]
CHAT_TOOL = {"type": "function", "function": {"name": "get", "description": "Gets.", "parameters": SCHEMA, "strict": True}}
CHAT_CALLS = [
    {"id": f"call_{n}", "type": "function", "function": {"name": "get", "arguments": '{"a": [1, {"b": null}]}'}} for n in range(2)
]

# What travels by command line and environment, in a request that has all of it.
CARRIED = ASK | {
    "max_tokens": 2048,
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object", "title": "t"}}},
    "stop_sequences": ["END"],
    **{"temperature": 0.5, "top_p": 0.5, "top_k": 5},
    "tools": [{"name": "get", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "get", "disable_parallel_tool_use": True},
}
# Requests with every kind of part.
WHOLE = CARRIED | {
    "messages": [
        {"role": "user", "content": BLOCKS},
        {"role": "assistant", "content": [*SAID, *CALLS]},
        {"role": "user", "content": [*RESULTS, TEXT]},
    ],
    **{
        "system": [TEXT],
        "tools": [TOOL],
        "thread": {"type": "create"},
        "metadata": {"user_id": "u"},
        "stream": True,
    },
}
WHOLE_CHAT: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "messages": [
        {"role": "developer", "content": [TEXT]},
        {"role": "user", "content": CHAT_PARTS},
        {"role": "assistant", "content": [TEXT], "tool_calls": CHAT_CALLS},
        *({"role": "tool", "tool_call_id": f"call_{n}", "content": [TEXT]} for n in range(2)),
    ],
    **{"tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "get"}}},
    **{name: given[-1] for name, given in CHAT_OPTIONAL.items()},
}
RESPONSE_TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "get", "description": "Gets.", "parameters": SCHEMA, "strict": True},
    {"type": "namespace", "name": "n", "description": "More.", "tools": [{"type": "function", "name": "get"}]},
    {"type": "custom", "name": "code", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
    *({"type": kind} for kind in ("local_shell", "apply_patch", "web_search")),
    {"type": "shell", "environment": {"type": "local"}},
]
RESPONSE_PARTS: list[dict[str, Any]] = [
    {"type": "input_text", "text": "hello"},
    {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
    {"type": "input_file", "file_data": "data:text/plain;base64,aGk="},
    {"type": "input_file", "file_url": "https://example.com/a.pdf"},
]
RESPONSE_CALLS: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "see"}], "status": "completed"},
    {"type": "function_call", "call_id": "c0", "name": "get", "namespace": "n", "arguments": '{"a": [1, {"b": null}]}'},
    {"type": "custom_tool_call", "call_id": "c1", "name": "code", "input": "x"},
    {"type": "local_shell_call", "call_id": "c2", "action": {"type": "exec", "command": ["ls"], "env": {}}},
    {"type": "shell_call", "call_id": "c3", "action": {"commands": ["ls"], "timeout_ms": None}},
    {"type": "apply_patch_call", "call_id": "c4", "operation": {"type": "delete_file", "path": "a"}},
]
RESPONSE_RESULTS: list[dict[str, Any]] = [
    {"type": "function_call_output", "call_id": "c0", "output": RESPONSE_PARTS},
    {"type": "custom_tool_call_output", "call_id": "c1", "output": "x"},
    {"type": "local_shell_call_output", "id": "c2", "output": "x"},
    {"type": "shell_call_output", "call_id": "c3", "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "timeout"}}]},
    {"type": "apply_patch_call_output", "call_id": "c4", "status": "failed", "output": "no"},
]
WHOLE_RESPONSE: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "instructions": "be brief",
    "input": [
        {"role": "developer", "content": "be kind"},
        {"type": "message", "role": "user", "content": RESPONSE_PARTS},
        *RESPONSE_CALLS,
        *RESPONSE_RESULTS,
        {"role": "developer", "content": [{"type": "input_text", "text": "now"}]},
    ],
    "tools": RESPONSE_TOOLS,
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get"}, {"type": "shell"}]},
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    **{"stream": True, "store": True, "parallel_tool_calls": False, "max_output_tokens": 100, "temperature": 1.7},
    **{"truncation": "auto", "prompt_cache_key": "k", "stream_options": {"include_obfuscation": True}},
}


@st.composite
def messages_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request of the Messages API that is right."""
    picked = draw(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=3))
    messages: list[dict[str, Any]] = [{"role": "user", "content": draw(st.sampled_from(["hi", picked]))}]
    tools = draw(st.booleans())
    if tools:
        messages += [{"role": "assistant", "content": [*SAID, *CALLS]}, {"role": "user", "content": [*RESULTS, TEXT]}]
    elif draw(st.booleans()):
        messages += [{"role": "assistant", "content": SAID}, {"role": "user", "content": picked}]
    found: dict[str, Any] = {"model": draw(st.sampled_from(["claude-sonnet-5", "m"])), "max_tokens": 2048, "messages": messages}
    if tools:
        choice = draw(st.sampled_from([{"type": "auto"}, {"type": "tool", "name": "get", "disable_parallel_tool_use": True}]))
        found |= {"tools": [TOOL], "tool_choice": choice}
    return copy.deepcopy(found | _some(draw, OPTIONAL))


@st.composite
def chat_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request of Chat Completions that is right."""
    parts = draw(st.lists(st.sampled_from(CHAT_PARTS), min_size=1, max_size=3))
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": draw(st.sampled_from(["be brief", [TEXT]]))},
        {"role": "user", "content": draw(st.sampled_from(["hi", parts]))},
    ]
    found: dict[str, Any] = {"model": "claude-sonnet-5", "messages": messages}
    if draw(st.booleans()):
        results = [
            {"role": "tool", "tool_call_id": f"call_{n}", "content": draw(st.sampled_from(["x", [TEXT]]))} for n in range(2)
        ]
        messages += [{"role": "assistant", "content": None, "tool_calls": CHAT_CALLS}, *results]
        named = {"type": "function", "function": {"name": "get"}}
        found |= {"tools": [CHAT_TOOL], "tool_choice": draw(st.sampled_from(["auto", "required", named]))}
    return copy.deepcopy(found | _some(draw, CHAT_OPTIONAL))


def _some(draw: st.DrawFn, optional: dict[str, list[Any]]) -> dict[str, Any]:
    names = draw(st.sets(st.sampled_from(sorted(optional)), max_size=4))
    return {name: draw(st.sampled_from(optional[name])) for name in sorted(names)}


class Raw:
    """A part that is written as these bytes, whatever they are."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Raw({self.text[:30]}… {len(self.text)})" if len(self.text) > 30 else f"Raw({self.text})"


NUMBERS = ["0", "-0", "1", "-1", "1.0", "0.5", "1.7", "1e20", "1e-9", "-1e20", "1e308", "-1e308", "1e400", "NaN", "Infinity"]
NUMBERS += [
    str(sign * (2**bits + more)) for bits in (15, 31, 53, 63, 64, 70, 128, 1100) for sign in (1, -1) for more in (-1, 0, 1)
]
NUMBERS += ["9" * 400, "1" * 5000]
TEXTS = [
    "",
    " ",
    "\n",
    "\0",
    "a\0b",
    "-x",
    "--model",
    "../../etc/passwd",
    "a b",
    "x\nerror: forged",
    "\x1b]0;pwned\x07",
    "\x9b31m",
]
TEXTS += [
    "\u202eevil",
    "\u200b",
    "\ufeff",
    "é",
    "漢字",
    "😀",
    "%PATH%&calc",
    '"',
    "'; $(id) `id`",
    "a" * 201,
    "[Request interrupted by user]",
]
TEXTS += ["$ref", "#", "http://127.0.0.1:1/x", "text", "tool_result", "tool_use", "document", "thinking", "system", "null"]
DEPTHS = (2, 20, 150, 199, 200, 201, 253, 254, 255, 300, 600, 1000, 1023, 1024, 1025, 3000)
LONG = ["x" * 5_000, "\x01" * 4_000, "😀" * 40_000, "y" * 140_000]
RAW = [*NUMBERS, "true", "false", "null", "[]", "{}", "[null]", "[[]]", '[""]', '{"":0}', '"\\ud800"', '"\\udc00\\ud800"']
RAW += [
    '{"type":"text"}',
    '{"type":5}',
    '{"a":1,"a":{"b":2}}',
    '{"\\u0000":"\\u0000"}',
    '{"role":"user"}',
    '{"$ref":"file:///x"}',
]
RAW += [opened * depth + closed * depth for depth in DEPTHS for opened, closed in (("[", "]"), ('{"a":', "0}"))]
RAW += ['{"type":"tool_result","tool_use_id":"t","content":[' * 300 + "]}" * 300]
RAW += ['{"anyOf":[' * 300 + "]}" * 300]
WRONG = [Raw(text) for text in [*map(json.dumps, [*TEXTS, *LONG]), *RAW]]


# One of each kind, for a look at every place.
FEW = [Raw(text) for text in ("5", "1e20", "null", "true", "[]", "{}", "[[]]", '"a\\u0000b"', '""', "[" * 300 + "]" * 300)]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value, as the keys that lead to it."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    """The value with another part at that place."""
    if not path:
        return part
    key, *rest = path
    inner = replaced(value[key], tuple(rest), part)
    return value | {key: inner} if isinstance(value, dict) else [*value[:key], inner, *value[key + 1 :]]


def written(value: Any) -> bytes:
    """JSON with raw parts in it."""
    if isinstance(value, Raw):
        return value.text.encode()
    if isinstance(value, dict):
        return b"{" + b",".join(json.dumps(k).encode() + b":" + written(v) for k, v in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(written, value)) + b"]"
    return json.dumps(value).encode()


@st.composite
def one_wrong_part(draw: st.DrawFn, right: st.SearchStrategy[Any]) -> bytes:
    """The bytes of something right in which one place was replaced, dropped, doubled, renamed or moved."""
    value = draw(right)
    path = draw(st.sampled_from(list(places(value))))
    if not path:
        return written(draw(st.sampled_from(WRONG)))
    *way, last = path
    holder = value
    for key in way:
        holder = holder[key]
    deed = draw(st.sampled_from(["replace"] * 6 + ["drop", "double", "move"]))
    if deed == "replace":
        holder[last] = draw(st.sampled_from(WRONG))
    elif deed == "drop":
        del holder[last]
    elif deed == "move":
        holder[last] = copy.deepcopy(value)
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(holder[last]))
    else:
        holder[draw(st.sampled_from(TEXTS))] = holder[last]
    return written(value)


def wronged(value: Any, data: bytes) -> bytes:
    """The bytes of something right in which these bytes choose a place, and what comes there: one of WRONG, or their own rest."""
    path = list(places(value))
    place, choice = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    part = WRONG[choice % len(WRONG)] if choice % 4 else Raw(data[4:].decode("utf-8", "replace"))
    return written(replaced(value, path[place % len(path)], part))
