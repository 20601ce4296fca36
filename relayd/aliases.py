"""Other names under which clients may ask for models: `gpt-4o*=claude-sonnet-5, fast=haiku`. Pure.

Some programs know OpenAI's names only, or send none. A user may say what they stand for; by default nothing stands for
anything. A name is compared with each pattern in its order, and the first that fits counts; what it stands for is not looked up
again. The keys are checked by `config.py`; `core/request_decoding.py` uses them before it looks at a request.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from relayd.errors import ConfigError

PATTERN = re.compile(r"[A-Za-z0-9*?][A-Za-z0-9._:/@+*?-]*")
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+\[\]-]*")  # what a request may name is judged where it comes in
NAME_MAX_CHARS = 200
ALIASES_MAX = 100
FORM = "patterns and models with an equals sign between, separated by commas: gpt-4o*=claude-sonnet-5"


@lru_cache(maxsize=4)  # of one configuration, and of the one before
def table(text: str) -> tuple[tuple[str, str], ...]:
    """Patterns and what they stand for. Raises ConfigError without the name of the key."""
    found = tuple(_pair(part.strip()) for part in text.split(",") if part.strip())
    if len(found) > ALIASES_MAX:
        raise ConfigError(f"at most {ALIASES_MAX}")
    return found


def _pair(text: str) -> tuple[str, str]:
    pattern, _, name = (part.strip() for part in text.partition("="))
    if not PATTERN.fullmatch(pattern) or len(pattern) > NAME_MAX_CHARS or not _is_model(name):
        raise ConfigError(f"{text!r} is not right: it takes {FORM}")
    return pattern, name


def _is_model(name: str) -> bool:
    return len(name) <= NAME_MAX_CHARS and MODEL.fullmatch(name) is not None


def check(tables: dict[str, str], default: str) -> None:
    """Raises ConfigError for keys that are wrong. `tables` are such tables by their keys."""
    for key, text in tables.items():
        try:
            table(text)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from error
    if default and not _is_model(default):
        raise ConfigError(f"default_model: {default!r} is no name of a model")


def resolved(name: str, aliases: str) -> str:
    """What a name stands for; most stand for themselves."""
    if len(name) > NAME_MAX_CHARS:
        return name
    return next((model for pattern, model in table(aliases) if fnmatchcase(name, pattern)), name)


def applied(value: dict[str, Any], aliases: str, default: str) -> dict[str, Any]:
    """A request's object with the model that is meant."""
    given = value.get("model")
    if default and given in (None, ""):
        return value | {"model": default}
    return value | {"model": resolved(given, aliases)} if aliases and isinstance(given, str) else value
