"""The models list: what clients may name, in the API's shape and, in the same objects, OpenAI's. Pure.

relayd cannot ask which models a login may use; this is what the SDKs of 2026-11 know, newest first. A
model that is not listed can still be called: Claude Code and the API decide. Release dates that are
not known are the epoch, as the API's own documentation has it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from relayd.anthropic import checks
from relayd.errors import ApiError, invalid

EPOCH = "1970-01-01T00:00:00Z"
# id, display name, created_at
KNOWN = (
    ("claude-fable-5-2", "Claude Fable 5.2", EPOCH),
    ("claude-mythos-5-2", "Claude Mythos 5.2", EPOCH),
    ("claude-haiku-5-5", "Claude Haiku 5.5", EPOCH),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5", EPOCH),
    ("claude-fable-5-1", "Claude Fable 5.1", EPOCH),
    ("claude-opus-5-5", "Claude Opus 5.5", "2026-09-15T00:00:00Z"),
    ("claude-mythos-5-1", "Claude Mythos 5.1", EPOCH),
    ("claude-sonnet-5", "Claude Sonnet 5", EPOCH),
    ("claude-fable-5", "Claude Fable 5", EPOCH),
    ("claude-mythos-5", "Claude Mythos 5", EPOCH),
    ("claude-opus-5", "Claude Opus 5", EPOCH),
    ("claude-opus-4-8", "Claude Opus 4.8", EPOCH),
    ("claude-opus-4-7", "Claude Opus 4.7", EPOCH),
    ("claude-opus-4-6", "Claude Opus 4.6", EPOCH),
    ("claude-sonnet-4-6", "Claude Sonnet 4.6", EPOCH),
    ("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-01T00:00:00Z"),
    ("claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-01T00:00:00Z"),
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29T00:00:00Z"),
)
ALIASES = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
}
ACTIVE = "active"  # every model of the list is
LIFECYCLES = (ACTIVE, "deprecated", "retired")
DEFAULT_LIMIT, MAX_LIMIT = 20, 1000


def model(name: str) -> dict[str, Any]:
    """One model by id or alias. Raises ApiError 404."""
    position = _position(name)
    if position is None:
        raise ApiError(404, f"model: {name}")
    return _as_json(KNOWN[position])


def page(query: str) -> dict[str, Any]:
    """One page for a query string: `limit`, `after_id`, `before_id`, `lifecycle[]`. Raises ApiError 400."""
    given = parse_qs(query, keep_blank_values=True)
    limit = _limit(given.get("limit", [str(DEFAULT_LIMIT)])[-1])
    stages = given.get("lifecycle[]") or given.get("lifecycle") or [ACTIVE]
    for number, stage in enumerate(stages):
        checks.one_of(stage, LIFECYCLES, f"lifecycle.{number}")
    entries = list(KNOWN) if ACTIVE in stages else []
    if "after_id" in given:
        entries = entries[_cursor(given["after_id"][-1]) + 1 :]
        shown = entries[:limit]
    elif "before_id" in given:
        entries = entries[: _cursor(given["before_id"][-1])]
        shown = entries[-limit:]
    else:
        shown = entries[:limit]
    return {
        "data": [_as_json(e) for e in shown],
        "has_more": len(shown) < len(entries),
        "first_id": shown[0][0] if shown else None,
        "last_id": shown[-1][0] if shown else None,
        "object": "list",
    }


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise invalid("limit: Input should be a valid integer")
    limit = checks.integer(int(text), "limit", minimum=1)
    if limit > MAX_LIMIT:
        raise invalid(f"limit: Input should be less than or equal to {MAX_LIMIT}")
    return limit


def _cursor(name: str) -> int:
    position = _position(name)
    if position is None:
        raise invalid(f"unknown model id: {name}")
    return position


def _position(name: str) -> int | None:
    """Where a model stands in KNOWN, by id or alias."""
    wanted = ALIASES.get(name, name)
    return next((number for number, entry in enumerate(KNOWN) if entry[0] == wanted), None)


def _as_json(entry: tuple[str, str, str]) -> dict[str, Any]:
    name, shown, created_at = entry
    seconds = int(datetime.fromisoformat(created_at).timestamp())
    openai = {"object": "model", "created": seconds, "owned_by": "anthropic"}
    return {"type": "model", "id": name, "display_name": shown, "created_at": created_at, "lifecycle": ACTIVE, **openai}
