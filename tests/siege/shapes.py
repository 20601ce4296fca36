"""Requests with one wrong part: a valid body of either shape, in which one place is replaced, renamed, removed or doubled.

Values that `json` cannot write (numbers of any width, any depth, bytes that are no UTF-8) go in as marks that are replaced
in the text. Everything comes from the `random.Random` that is handed in: a seed gives the same bytes again.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MODEL = "claude-sonnet-5"
MARK = "@@raw{}@@"
PICTURE = {"type": "base64", "media_type": "image/png", "data": "aGk="}
SCHEMA = {"type": "object", "properties": {"k": {"type": "integer", "description": "which"}}, "required": ["k"]}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"k": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a result"}]}
MESSAGES: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 1024,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "echo one"}, {"type": "image", "source": PICTURE}]},
        {"role": "assistant", "content": [{"type": "text", "text": "using"}, CALL]},
        {"role": "user", "content": [RESULT, {"type": "text", "text": "echo words"}]},
    ],
    "tools": [{"name": "get", "description": "Gets", "input_schema": SCHEMA}],
    "tool_choice": {"type": "auto"},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["never said"],
    "stream": False,
    "temperature": 1.0,
    "top_p": 0.9,
    "top_k": 5,
    "thinking": {"type": "disabled"},
}
STRUCTURED: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": 'echo {"k": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}'}],
    "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"k": {"type": "string"}}}}},
}
CHAT: dict[str, Any] = {
    "model": MODEL,
    "max_completion_tokens": 1024,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "echo one"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get", "arguments": '{"k": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "a result"},
        {"role": "user", "content": "echo words"},
    ],
    "tools": [{"type": "function", "function": {"name": "get", "description": "Gets", "parameters": SCHEMA}}],
    "tool_choice": "auto",
    "stop": ["never said"],
    "stream": False,
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "response_format": {"type": "text"},
    "n": 1,
    "user": "u",
}
SIMPLE: dict[str, Any] = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": "echo words"}]}
BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/messages": [MESSAGES, STRUCTURED, SIMPLE],
    "/v1/chat/completions": [CHAT, SIMPLE],
    "/v1/messages/count_tokens": [MESSAGES, STRUCTURED, SIMPLE],
}
TEXTS = (
    *("", " ", "\x00", "a\x00b", "\n", "x\nerror: forged\r\n\x1b]0;title\x07\x1b[2J", "\x7f", "\u202e", "\ufeff", "e\u0301" * 50),
    *("\ud800", "a\udfffb", "../../../etc/passwd", "-h", "--model", "$(id)", "`id`", "%s%n", "${jndi:x}", "{{7*7}}", "__proto__"),
    *(
        "true",
        "null",
        "0",
        "NaN",
        "user",
        "assistant",
        "system",
        "text",
        "tool_use",
        "tool_result",
        "image",
        "ephemeral",
        "toolu_1",
    ),
    *("http://127.0.0.1:{port}/x", "file:///etc/hostname", "data:,x", "claude-" + "x" * 200, "Ω" * 1000),
)
NUMBERS = (
    *("0", "-0", "-1", "1e20", "1e400", "-1e400", "1E-400", "0.1", "1.0", "1.5", "9223372036854775807", "9223372036854775808"),
    *(
        "18446744073709551616",
        "-9223372036854775809",
        "1e308",
        "1" + "0" * 5000,
        "0." + "0" * 5000 + "1",
        "1" * 400,
        "4294967296",
        "2147483648",
    ),
)
NOT_JSON = (
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "'x'",
    "01",
    "+1",
    ".5",
    "1.",
    "0x10",
    "tru",
    "",
    "\\u0000",
    '"\\u12"',
    '"\\x"',
    '"\t"',
)
SCHEMAS: tuple[Any, ...] = (
    {"$ref": "http://127.0.0.1:{port}/schema"},
    {"$ref": "file:///etc/hostname"},
    {"$ref": "#"},
    {"$ref": "#/properties/k"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"$dynamicRef": "#x", "$dynamicAnchor": "x"},
    {"$schema": "http://127.0.0.1:{port}/meta"},
    {"$id": "http://127.0.0.1:{port}/id", "$ref": "other"},
    {"type": "object", "properties": {"k": {"type": "string", "pattern": "^(a+)+$"}}},
    {"type": "object", "properties": {"k": {"pattern": "(a|a)*b|(a|aa)+$"}}},
    {"type": "object", "properties": {"k": {"pattern": "(?<n>a)\\k<n>[[:alpha:]]\\p{L}"}}},
    {"type": "object", "patternProperties": {"^(([a-z])+.)+[A-Z]([a-z])+$": {}}},
    {"type": "object", "properties": {"k": {"pattern": "("}}},
    {"type": "nonsense"},
    {"type": ["object", 5]},
    {"enum": []},
    {"minLength": -1},
    {"multipleOf": 0},
    {"anyOf": [{"anyOf": [{"type": "object"}] * 50}] * 50},
    {"properties": {f"k{n}": {"type": "string", "pattern": f"^a{n}$"} for n in range(2000)}},
    {"uniqueItems": True, "contains": {"const": 1}, "type": "array"},
)


@dataclass(frozen=True)
class Shape:
    """A request: path, body, further headers."""

    path: str
    body: bytes
    headers: dict[str, str]


class Shapes:
    """Makes requests. `port` is the siege's own listener: a connection to it means that the daemon has followed a reference."""

    def __init__(self, chance: random.Random, port: int) -> None:
        self._chance = chance
        self._port = port
        self._raw: list[str] = []

    def __repr__(self) -> str:
        return f"<Shapes {self._port}>"

    def any(self, path: str) -> Shape:
        """A request for this path with one wrong part."""
        self._raw = []
        value: Any = copy.deepcopy(self._chance.choice(BODIES[path]))
        place = self._chance.random()
        if place < 0.03:
            value = self._value()
        elif place < 0.08 and "output_config" in value:
            value["output_config"]["format"]["schema"] = self._schema()
        else:
            self._spoil(value)
        return Shape(path, self._written(value), self._headers())

    def valid(self, path: str, **fields: Any) -> Shape:
        """A right one."""
        return Shape(path, json.dumps(copy.deepcopy(SIMPLE) | fields).encode(), {})

    def _written(self, value: Any) -> bytes:
        text = json.dumps(value, ensure_ascii=self._chance.random() < 0.7)
        for number, raw in enumerate(self._raw):
            text = text.replace(f'"{MARK.format(number)}"', raw)
        data = text.replace("{port}", str(self._port)).encode("utf-8", "surrogatepass")
        if self._chance.random() < 0.03 and data:  # not even JSON
            cut = self._chance.randrange(len(data))
            data = self._chance.choice(
                (data[:cut], data[:cut] + b"\xff\xfe" + data[cut:], b"\xef\xbb\xbf" + data, data * 2, data + b"\x00")
            )
        return data

    def _spoil(self, value: Any) -> None:
        places = list(_places(value))
        holder, key = self._chance.choice(places)
        what = self._chance.random()
        if what < 0.6:
            holder[key] = self._schema() if key in ("schema", "input_schema", "parameters") and what < 0.3 else self._value()
        elif what < 0.7:
            del holder[key]
        elif what < 0.8 and isinstance(holder, dict):
            holder[self._text()] = holder.pop(key)
        elif what < 0.9 and isinstance(holder, dict):
            holder[self._chance.choice((self._text(), "extra", "container", "mcp_servers", "context_management"))] = self._value()
        elif isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[key]) for _ in range(self._chance.choice((1, 2, 50))))
        else:
            holder[key] = [holder[key]]

    def _value(self) -> Any:
        kind = self._chance.randrange(12)
        if kind < 3:
            return self._text()
        if kind < 5:
            return self._mark(self._chance.choice(NUMBERS))
        if kind == 5:
            return self._mark(self._chance.choice(NOT_JSON))
        if kind == 6:
            return self._deep()
        if kind == 7:
            return self._schema()
        if kind == 8:
            return self._chance.choice((CALL, RESULT, [CALL, CALL], [RESULT, RESULT], {"type": "image", "source": PICTURE}))
        simple: tuple[Any, ...] = (
            None,
            True,
            False,
            0,
            -1,
            5,
            1.5,
            [],
            {},
            [None],
            [[]],
            {"": {}},
            [5, "x", None, {}],
            {"type": 5},
        )
        return copy.deepcopy(self._chance.choice(simple))

    def _text(self) -> str:
        if self._chance.random() < 0.06:
            return self._chance.choice(("x", "\n", "\x01", "漢", "\\", '"')) * self._chance.choice((129, 513, 4097, 70_000))
        if self._chance.random() < 0.1:
            return "".join(chr(self._chance.randrange(1, 0x2FF)) for _ in range(self._chance.randrange(1, 60)))
        return self._chance.choice(TEXTS)

    def _deep(self) -> Any:
        depth = self._chance.choice((10, 63, 100, 200, 300, 500, 900, 1000, 1024, 1500, 5000, 100_000))
        kind = self._chance.randrange(4)
        if kind == 0:
            return self._mark("[" * depth + "]" * depth)
        if kind == 1:
            return self._mark('{"a":' * depth + "1" + "}" * depth)
        if kind == 2:
            inner = '{"type":"tool_result","tool_use_id":"toolu_1","content":['
            return self._mark(inner * depth + '{"type":"text","text":"x"}' + "]}" * depth)
        return self._mark('{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth)

    def _schema(self) -> Any:
        return copy.deepcopy(self._chance.choice(SCHEMAS))

    def _mark(self, raw: str) -> str:
        self._raw.append(raw)
        return MARK.format(len(self._raw) - 1)

    def _headers(self) -> dict[str, str]:
        if self._chance.random() > 0.12:
            return {}
        name = self._chance.choice(
            (
                "anthropic-version",
                "anthropic-beta",
                "x-relayd-session",
                "x-ir-session-id",
                "content-type",
                "content-encoding",
                "origin",
                "host",
                "x-api-key",
            )
        )
        text = self._chance.choice(
            (
                *TEXTS,
                "x" * 5000,
                "gzip",
                "deflate, gzip",
                "gzip, " * 50,
                "http://localhost:" + "1" * 5000,
                "localhost:" + "9" * 5000,
            )
        )
        safe = "".join(c for c in text.replace("{port}", str(self._port)) if c.isascii() and c.isprintable())
        return {name: safe or "x"}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder and key in a JSON value."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    for key, inner in items:
        yield value, key
        yield from _places(inner)
