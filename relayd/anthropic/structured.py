"""Structured output: schemas and answers checked against them. The only owner of jsonschema. Pure.

The schema itself reaches the model through the API's own parameter; what is checked here is that the
answer keeps to it before a client sees it.
"""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.errors import invalid

TEXT_MAX_CHARS = 200


def check(schema: dict[str, Any], path: str) -> None:
    """Raises ApiError 400 for a schema that is none."""
    from jsonschema import Draft202012Validator, SchemaError  # 0.1 s to import, and few calls need it

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise invalid(f"{path}: {error.message[:TEXT_MAX_CHARS]}") from error


def problem(schema: dict[str, Any], text: str) -> str:
    """Why `text` does not keep to the schema; empty if it does."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        value = codec.parse(text.encode())
    except ValueError as error:
        return f"not JSON: {error}"
    try:
        found = best_match(Draft202012Validator(schema).iter_errors(value))
    except Exception as error:  # a reference that leads nowhere or round in circles, a pattern that is none
        return f"the schema cannot be applied: {type(error).__name__}"
    return f"{found.json_path}: {found.message[:TEXT_MAX_CHARS]}" if found else ""
