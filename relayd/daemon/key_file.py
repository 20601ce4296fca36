"""The files of the token and of the named keys: read by the daemon, changed by `relayd token`. Only this user may read them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

from relayd.config import Config
from relayd.daemon.user_files import read_token, token_path
from relayd.errors import ConfigError, StartError
from relayd.http import keys
from relayd.http.keys import Keys, NamedKey
from relayd.runtime import system
from relayd.runtime.files import write_whole

KEYS_MAX_BYTES = 1024 * 1024
KEY_BYTES = 32


def path_of(config: Config, environ: Mapping[str, str]) -> str:
    """Where the named keys are: beside the token."""
    return os.path.join(os.path.dirname(token_path(config, environ)), "keys.json")


def read_all(config: Config, environ: Mapping[str, str]) -> Keys:
    """The token and the named keys. Raises StartError for a file that others can read, or that no relayd has written."""
    return Keys(read_token(token_path(config, environ)), read(path_of(config, environ)))


def read(path: str) -> tuple[NamedKey, ...]:
    """The named keys of a file; none if it is not there. Raises StartError as `read_all` does."""
    try:
        with open(path, "rb") as file:
            others = os.fstat(file.fileno()).st_mode & 0o077 if system.HAS_OWNERS else 0
            data = file.read(KEYS_MAX_BYTES)
        if others:
            raise StartError(f"relayd: {path} can be read by others; make it yours alone: chmod 600 {path}")
        return keys.read(data)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise StartError(f"relayd: the keys in {path} cannot be read: {error}") from error


def add(path: str, name: str, models: list[str], calls_per_minute: int, plan_percent: int, profile: str = "") -> str:
    """Make a key, and return it: only its digest is kept. Raises ConfigError for a name or a limit that is none."""
    known = read(path)
    if keys.NAME.fullmatch(name) is None:
        raise ConfigError(f"{name!r} is no name for a key: letters, digits, dots, dashes; 40 at most")
    if any(key.name == name for key in known):
        raise ConfigError(f"there is a key {name}; revoke it first: relayd token revoke {name}")
    if len(known) >= keys.KEYS_MAX:
        raise ConfigError(f"there are {keys.KEYS_MAX} keys; revoke one first")
    wrong = [model for model in models if not keys.is_model_pattern(model)]
    if wrong or len(models) > keys.MODELS_MAX:
        raise ConfigError(f"{', '.join(wrong) or len(models)}: no models' names")
    if calls_per_minute > keys.CALLS_MAX or plan_percent > 100:
        raise ConfigError(f"calls a minute go up to {keys.CALLS_MAX}, percent up to 100")
    text = f"relayd-{secrets.token_urlsafe(KEY_BYTES)}"
    made = NamedKey(name, keys.digest_of(text), tuple(models), calls_per_minute, plan_percent, int(time.time()), profile)
    _write(path, (*known, made))
    return text


def revoke(path: str, name: str) -> None:
    """Forget a key. Raises ConfigError if there is none of that name."""
    known = read(path)
    left = tuple(key for key in known if key.name != name)
    if len(left) == len(known):
        raise ConfigError(f"there is no key {name}")
    _write(path, left)


def listed(path: str) -> list[dict[str, Any]]:
    """Each key without its digest."""
    return [{name: value for name, value in key.as_json().items() if name != "sha256"} for key in read(path)]


def _write(path: str, named: tuple[NamedKey, ...]) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_whole(path, keys.dump(named))
    except OSError as error:
        raise StartError(f"relayd: {path} cannot be written: {error.strerror}") from error
