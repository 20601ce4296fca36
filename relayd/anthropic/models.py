"""What is known of models, in one table, and the models list that clients are shown. Pure.

The table has what the API's documentation and Claude Code's own catalogue (2.1.330) say, newest model first. relayd
cannot ask which models a login may use; one that is not here can still be called: Claude Code and the API decide, and
its facts are taken from the nearest older model of its line. Used by `claude/launch.py` and `claude/reminders.py` for
what is said to Claude Code, and by the core for `GET /v1/models`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Flag, auto
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from relayd.anthropic import checks
from relayd.errors import ApiError, invalid

EPOCH = "1970-01-01T00:00:00Z"  # for a release date that is not known, as the API's own documentation has it
M, K200, K128, K64, K32 = 1_000_000, 200_000, 128_000, 64_000, 32_000


class Does(Flag):
    """What a model does unless it is told otherwise, and what it takes."""

    NOTHING = 0
    THINK = auto()  # when `thinking` is absent
    SHOW = auto()  # a summary of its thinking, when `display` is absent
    SYSTEM = auto()  # takes messages of the role `system` among the others


@dataclass(frozen=True)
class Model:
    """One row. `window` and `output` are tokens: as much as Claude Code hands over, and the largest `max_tokens`.

    `effort` is what the API takes an absent effort for, and `own_effort` what Claude Code asks for when it is told
    nothing; both are empty for a model without. `cutoff` is the month in which its knowledge ends.
    """

    id: str
    window: int
    output: int
    cutoff: str = ""
    does: Does = Does.NOTHING
    effort: str = ""
    own_effort: str = ""
    short: tuple[str, ...] = ()
    created: str = EPOCH
    retires: str = ""
    is_listed: bool = True

    @property
    def alias(self) -> str:
        """The id without its date."""
        return re.sub(r"-20\d{6}$", "", self.id)

    @property
    def line(self) -> str:
        """`opus`, `sonnet`, …"""
        return self.alias.split("-")[1]

    @property
    def version(self) -> tuple[int, ...]:
        """`(5, 5)`, `(5,)`"""
        return tuple(int(part) for part in self.alias.split("-")[2:])

    @property
    def takes_sampling(self) -> bool:
        """True if `temperature` and the like are taken: newer models refuse them."""
        return self.version < (4, 7)

    @property
    def name(self) -> str:
        """`Opus 5.5`"""
        return f"{self.line.capitalize()} {'.'.join(map(str, self.version))}"


JUNE_26, MAY_26, JANUARY_26, AUGUST_25 = "June 2026", "May 2026", "January 2026", "August 2025"
MAY_25, FEBRUARY_25, JANUARY_25 = "May 2025", "February 2025", "January 2025"
THINK, SHOW, SYSTEM = Does.THINK, Does.SHOW, Does.SYSTEM
HIGH, MEDIUM, XHIGH = "high", "medium", "xhigh"
# Up to 4.6 a model shows its thinking; from 5 on it thinks unasked; from Opus 4.8 on, but for Sonnet 5, it takes the role
# `system` (for Sonnet 5 Claude Code wraps such a message into a reminder, and the API refuses it).
MODELS = (
    Model("claude-fable-5-2", M, K128, JUNE_26, THINK | SYSTEM, HIGH, MEDIUM, short=("fable",)),
    Model("claude-mythos-5-2", M, K128, JUNE_26, THINK | SYSTEM, HIGH, MEDIUM),
    Model("claude-haiku-5-5", M, K128, JUNE_26, THINK | SYSTEM, MEDIUM, MEDIUM, short=("haiku",)),
    Model("claude-sonnet-5-5", M, K128, JUNE_26, THINK | SYSTEM, HIGH, MEDIUM, short=("sonnet",)),
    Model("claude-fable-5-1", M, K128, JUNE_26, THINK | SYSTEM, HIGH, HIGH),
    # `best` is Claude Code's word; what `default` is depends on the plan, and thinks unasked in each case.
    Model(
        "claude-opus-5-5",
        *(M, K128, JUNE_26, THINK | SYSTEM, MEDIUM, MEDIUM),
        short=("opus", "best", "default"),
        created="2026-09-15T00:00:00Z",
    ),
    Model("claude-mythos-5-1", M, K128, JUNE_26, THINK | SYSTEM, HIGH, HIGH),
    Model("claude-sonnet-5", M, K128, JANUARY_26, THINK, HIGH, HIGH, created="2026-06-30T00:00:00Z"),
    Model("claude-fable-5", M, K128, JANUARY_26, THINK | SYSTEM, HIGH, HIGH, created="2026-06-09T00:00:00Z"),
    Model("claude-mythos-5", M, K128, JANUARY_26, THINK | SYSTEM, HIGH, HIGH, created="2026-06-09T00:00:00Z"),
    Model("claude-opus-5", M, K128, MAY_26, THINK | SYSTEM, HIGH, HIGH, created="2026-07-24T00:00:00Z"),
    Model("claude-opus-4-8", M, K128, JANUARY_26, SYSTEM, HIGH, HIGH),
    Model("claude-opus-4-7", M, K128, JANUARY_26, Does.NOTHING, HIGH, XHIGH),
    Model("claude-opus-4-6", K200, K128, MAY_25, SHOW, HIGH, HIGH),
    Model("claude-sonnet-4-6", K200, K128, AUGUST_25, SHOW, HIGH, HIGH),
    Model("claude-haiku-4-5-20251001", K200, K64, FEBRUARY_25, SHOW, created="2025-10-01T00:00:00Z"),
    Model("claude-opus-4-5-20251101", K200, K64, MAY_25, SHOW, HIGH, HIGH, created="2025-11-01T00:00:00Z"),
    Model(
        "claude-sonnet-4-5-20250929",
        *(K200, K64, JANUARY_25, SHOW),
        created="2025-09-29T00:00:00Z",
        retires="2026-11-30T00:00:00Z",
    ),
    # Retired by Anthropic; a provider or a gateway may still have them.
    Model("claude-opus-4-1-20250805", K200, K32, does=SHOW, is_listed=False),
    Model("claude-sonnet-4-20250514", K200, K64, does=SHOW, is_listed=False),
    Model("claude-opus-4-20250514", K200, K32, does=SHOW, is_listed=False),
)
OLDEST = Model("claude-any-3", K200, K64, does=SHOW, is_listed=False)  # the 3.x, whose names have another order
UNKNOWN = Model("claude-any-0", K200, K128, does=SYSTEM, is_listed=False)  # the API itself is to refuse what it cannot do
BY_NAME = {name: model for model in MODELS for name in (model.id, model.alias, *model.short)}
# As they stand in the names of providers and gateways, too: `us.anthropic.claude-opus-4-5-20251101-v1:0`.
LINE_AND_VERSION = re.compile(r"(opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
NAME_MAX = 256  # letters of a name that are looked at

ACTIVE, DEPRECATED = "active", "deprecated"
LIFECYCLES = (ACTIVE, DEPRECATED, "retired")
LISTED = tuple(model for model in MODELS if model.is_listed)


def known(name: str) -> Model | None:
    """The model of exactly this id, alias or short name."""
    return BY_NAME.get(name)


def facts(name: str) -> Model:
    """What is known of a model by any name; of one that is not in the table, what its line suggests."""
    return _facts(name[:NAME_MAX].lower().removesuffix("[1m]"))


@lru_cache(maxsize=256)  # three questions a call, and clients name the models: a name of any length must not stay here
def _facts(wanted: str) -> Model:
    if wanted in BY_NAME:
        return BY_NAME[wanted]
    found = LINE_AND_VERSION.search(wanted)
    if found:
        return _nearest(found[1], tuple(int(part) for part in found.groups()[1:] if part))
    return OLDEST if "claude-3" in wanted else UNKNOWN


def _nearest(line: str, version: tuple[int, ...]) -> Model:
    """The newest model of the line that is not newer than this, one of the same generation before all others.

    What the API takes an absent effort for is a matter of the single model: it is not carried over.
    """
    models = sorted((m for m in MODELS if m.line == line), key=lambda m: m.version)
    generation = [m for m in models if m.version[0] == version[0]] or [m for m in models if m.version < version]
    if not generation:
        return OLDEST
    found = next((m for m in reversed(generation) if m.version <= version), generation[0])
    return found if found.version == version else replace(found, effort="", own_effort="")


def model(name: str) -> dict[str, Any]:
    """One model of the list by id or alias. Raises ApiError 404."""
    found = known(name)
    if found is None or not found.is_listed:
        raise ApiError(404, f"model: {name}")
    return _as_json(found)


def page(query: str) -> dict[str, Any]:
    """One page for a query string: `limit`, `after_id`, `before_id`, `lifecycle[]`. Raises ApiError 400."""
    given = parse_qs(query, keep_blank_values=True)
    limit = checks.page_limit(given)
    stages = given.get("lifecycle[]") or given.get("lifecycle") or [ACTIVE, DEPRECATED]
    for number, stage in enumerate(stages):
        checks.one_of(stage, LIFECYCLES, f"lifecycle.{number}")
    entries = list(LISTED)
    if "after_id" in given:
        entries = entries[_cursor(given["after_id"][-1]) + 1 :]
    elif "before_id" in given:
        entries = entries[: _cursor(given["before_id"][-1])]
    entries = [m for m in entries if _lifecycle(m) in stages]
    shown = entries[-limit:] if "before_id" in given and "after_id" not in given else entries[:limit]
    return {
        "data": [_as_json(m) for m in shown],
        "has_more": len(shown) < len(entries),
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "object": "list",
    }


def _cursor(name: str) -> int:
    """Where a model stands in the list, by id or alias."""
    found = known(name)
    if found is None or not found.is_listed:
        raise invalid(f"unknown model id: {name}")
    return LISTED.index(found)


def _lifecycle(found: Model) -> str:
    return DEPRECATED if found.retires else ACTIVE


def _as_json(found: Model) -> dict[str, Any]:
    """The API's object and, in the same one, OpenAI's."""
    seconds = int(datetime.fromisoformat(found.created).timestamp())
    return {
        "type": "model",
        "id": found.id,
        "display_name": f"Claude {found.name}",
        "created_at": found.created,
        "lifecycle": _lifecycle(found),
        "line": found.line,
        "max_input_tokens": found.window,
        "max_tokens": found.output,
        "deprecated_at": None,
        "retires_at": found.retires or None,
        "context_window": found.window,  # as clients of OpenAI's shape look for the same, each by another name
        "context_length": found.window,
        "max_completion_tokens": found.output,
        "object": "model",
        "created": seconds,
        "owned_by": "anthropic",
    }
