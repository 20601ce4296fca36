"""Small checks that speak the API's own error texts (`path: message`). Pure; used by `blocks` and `request`."""

from __future__ import annotations

from typing import Any

from relayd.errors import invalid

MISSING = object()


def field(value: dict[str, Any], name: str, path: str) -> Any:
    """The field's value, or 400 `path.name: Field required`."""
    found = value.get(name, MISSING)
    if found is MISSING:
        raise invalid(f"{join(path, name)}: Field required")
    return found


def join(path: str, name: str | int) -> str:
    """Dotted path of a child."""
    return f"{path}.{name}" if path else str(name)


def text(value: Any, path: str) -> str:
    """`value` as a string, or 400."""
    if not isinstance(value, str):
        raise invalid(f"{path}: Input should be a valid string")
    return value


def integer(value: Any, path: str, minimum: int | None = None) -> int:
    """`value` as an integer (3.0 counts, as for the API), or 400."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(f"{path}: Input should be a valid integer")
    if minimum is not None and value < minimum:
        raise invalid(f"{path}: Input should be greater than or equal to {minimum}")
    return value


def boolean(value: Any, path: str) -> bool:
    """`value` as a boolean, or 400."""
    if not isinstance(value, bool):
        raise invalid(f"{path}: Input should be a valid boolean")
    return value


def listing(value: Any, path: str) -> list[Any]:
    """`value` as a list, or 400."""
    if not isinstance(value, list):
        raise invalid(f"{path}: Input should be a valid list")
    return value


def mapping(value: Any, path: str) -> dict[str, Any]:
    """`value` as an object, or 400."""
    if not isinstance(value, dict):
        raise invalid(f"{path}: Input should be an object")
    return value


def one_of(value: Any, allowed: tuple[str, ...], path: str) -> str:
    """`value` as one of `allowed`, or 400 listing them."""
    if value not in allowed:
        quoted = [f"'{a}'" for a in allowed]
        choices = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
        raise invalid(f"{path}: Input should be {choices}")
    return str(value)
