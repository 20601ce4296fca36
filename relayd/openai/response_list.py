"""The items that a stored response was an answer to, as pages of OpenAI's lists. Pure; called by `core/admin_api.py`."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from relayd.anthropic import checks
from relayd.errors import invalid

LIMIT_DEFAULT, LIMIT_MAX = 20, 100
ORDERS = ("asc", "desc")


def page(items: tuple[Any, ...], query: str) -> dict[str, Any]:
    """One page for a query string: `limit`, `order`, `after`. Raises ApiError 400."""
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    named = [_named(item, number) for number, item in enumerate(items)]
    if checks.one_of(given.get("order", "desc"), ORDERS, "order") == "desc":
        named.reverse()
    if "after" in given:
        place = next((n for n, item in enumerate(named) if item["id"] == given["after"]), None)
        if place is None:
            raise invalid(f"after: no item {given['after'][:80]}")
        named = named[place + 1 :]
    shown = named[: _limit(given.get("limit", str(LIMIT_DEFAULT)))]
    ends = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    return {"object": "list", "data": shown, "has_more": len(shown) < len(named), **ends}


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise invalid("limit: Input should be a valid integer")
    return checks.integer(int(text), "limit", 1, LIMIT_MAX)


def _named(item: dict[str, Any], number: int) -> dict[str, Any]:
    """An item with the fields that the types declare: clients leave out ids, types, and the parts of a text."""
    kind = item.get("type") or "message"
    named = {"id": f"{kind}_{number}", "status": "completed"} | item | {"type": kind}
    named["id"] = named["id"] if isinstance(named["id"], str) else f"{kind}_{number}"
    if kind == "message" and isinstance(item.get("content"), str):
        named["content"] = [_text(item["content"], item.get("role") == "assistant")]
    return named


def _text(text: str, is_models: bool) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []} if is_models else {"type": "input_text", "text": text}
