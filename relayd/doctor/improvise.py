"""What the stand-in answers to a prompt without directives, as an obliging model would. Pure.

Client libraries' own test suites ask in plain words: for a tool by its name, for an object of a schema.
The values are made from the schema and the numbers in the prompt. Called by `script`.
"""

from __future__ import annotations

import re
from typing import Any

DEPTH_MAX = 8


def tool_call(body: dict[str, Any], prompt: str) -> tuple[str, dict[str, Any]] | None:
    """The tool call that `tool_choice` forces, or that the prompt asks for by name; None if there is none."""
    tools = [t for t in body.get("tools") or [] if "input_schema" in t]
    choice = body.get("tool_choice") or {}
    chosen = None
    if choice.get("type") == "tool":
        chosen = next((t for t in tools if t["name"] == choice["name"]), None)
    elif choice.get("type") == "any":
        chosen = next(iter([t for t in tools if is_named(t, prompt)] + tools), None)
    elif choice.get("type") != "none":
        chosen = next((t for t in tools if is_named(t, prompt)), None)
    return (chosen["name"], sample(chosen["input_schema"], prompt)) if chosen else None


def shows_thinking(body: dict[str, Any]) -> bool:
    """True if a summary of the model's thinking was asked for in so many words."""
    thinking = body.get("thinking") or {}
    return thinking.get("type") == "enabled" or thinking.get("display") == "summarized"


def is_named(tool: dict[str, Any], prompt: str) -> bool:
    """True if the prompt names the tool, with or without its underscores, or all of its longer words."""
    name = tool["name"].rpartition("__")[2].lower()
    words = [w for w in re.split(r"[_-]", name) if len(w) > 3]
    said = prompt.lower()
    return name in said or (bool(words) and all(w in said for w in words))


def sample(schema: dict[str, Any], prompt: str, root: dict[str, Any] | None = None, depth: int = 0) -> Any:
    """A value that keeps to the schema."""
    root = schema if root is None else root
    if depth > DEPTH_MAX:
        return None
    if "$ref" in schema:
        return sample(_target(root, schema["$ref"]), prompt, root, depth + 1)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if schema.get("enum"):
        return next((v for v in schema["enum"] if str(v).lower() in prompt.lower()), schema["enum"][0])
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return sample(schema[name][0], prompt, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {k: sample(v, prompt, root, depth + 1) for k, v in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [sample(schema.get("items") or {}, prompt, root, depth + 1) for _ in range(schema.get("minItems", 1))]
    return _scalar(kind, prompt)


def _scalar(kind: str, prompt: str) -> Any:
    number = re.search(r"-?\d+", prompt)
    if kind == "integer":
        return int(number[0]) if number else 1
    if kind == "number":
        return float(number[0]) if number else 1.5
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    said = re.search(r"[\"'](\S.*?)[\"']", prompt) or re.search(r"\s([A-Z][a-z]+)", prompt)
    return said[1] if said else "text"


def _target(root: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}
