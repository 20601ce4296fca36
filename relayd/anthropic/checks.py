"""Small checks that speak the API's own error texts (`path: message`). Pure; used by `edge`, `blocks`, `request` and `openai`.

JSON gives every type in every place, and integers of any width: a check takes any value and returns one of its type, or raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relayd import codec
from relayd.errors import invalid

MISSING = object()
INTEGER_MAX = 2**63 - 1  # JSON can be written with no wider ones
PAGE_LIMIT, PAGE_LIMIT_MAX = 20, 1000  # entries of a list
ITEMS_MAX = 100_000  # of one list: the API's own limit for messages, and what can be looked through without a pause


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


def integer(value: Any, path: str, minimum: int, maximum: int = INTEGER_MAX) -> int:
    """`value` as an integer of this range (3.0 counts, as for the API), or 400. 1e20 is an integer: hence the range."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(f"{path}: Input should be a valid integer")
    if value < minimum:
        raise invalid(f"{path}: Input should be greater than or equal to {minimum}")
    if value > maximum:
        raise invalid(f"{path}: Input should be less than or equal to {maximum}")
    return value


def page_limit(query: Mapping[str, list[str]]) -> int:
    """How many entries a page of a list has, from the fields of a query string; or 400."""
    text = query.get("limit", [str(PAGE_LIMIT)])[-1]
    if not text.isdecimal() or len(text) > 6:
        raise invalid("limit: Input should be a valid integer")
    return integer(int(text), "limit", 1, PAGE_LIMIT_MAX)


def boolean(value: Any, path: str) -> bool:
    """`value` as a boolean, or 400."""
    if not isinstance(value, bool):
        raise invalid(f"{path}: Input should be a valid boolean")
    return value


def flag(value: Any, path: str) -> bool:
    """The same, where null or nothing means no."""
    return value is not None and boolean(value, path)


def listing(value: Any, path: str) -> list[Any]:
    """`value` as a list of at most ITEMS_MAX, or 400."""
    if not isinstance(value, list):
        raise invalid(f"{path}: Input should be a valid list")
    if len(value) > ITEMS_MAX:
        raise invalid(f"{path}: List should have at most {ITEMS_MAX} items after validation, not {len(value)}")
    return value


def mapping(value: Any, path: str) -> dict[str, Any]:
    """`value` as an object, or 400."""
    if not isinstance(value, dict):
        raise invalid(f"{path}: Input should be an object")
    return value


def one_of(value: Any, allowed: tuple[str, ...], path: str) -> str:
    """`value` as one of `allowed`, or 400 listing them."""
    if not isinstance(value, str) or value not in allowed:
        quoted = [f"'{a}'" for a in allowed]
        choices = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
        raise invalid(f"{path}: Input should be {choices}")
    return value


def shallow(value: Any, path: str) -> None:
    """400 for a value that nests so deeply that it could not be written as JSON again, inside what it travels in."""
    if codec.is_too_deep(value):
        raise invalid(f"{path}: nested too deeply: at most {codec.DEPTH_MAX} levels")
