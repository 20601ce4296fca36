"""Where the fallback is and the user's own key for it, read at the start. Called by the assembly and by `relayd config check`."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping

from relayd import __version__, fallback_url
from relayd.config import Config
from relayd.errors import StartError
from relayd.runtime import system
from relayd.runtime.upstreams import Target

KEY = re.compile(r"[!-~]{1,4096}")
FILE_MAX_CHARS = 8192


def of(config: Config, environ: Mapping[str, str]) -> Target | None:
    """The fallback; None without one. Raises StartError for a key that is not there, or that others can read."""
    if not config.fallback_url:
        return None
    url = fallback_url.parsed(config.fallback_url)
    context = None if url.is_plain else ssl.create_default_context()
    return Target(url, _key(config, environ), config.fallback_key_header, config.fallback_plain, context, f"relayd/{__version__}")


def _key(config: Config, environ: Mapping[str, str]) -> str:
    """The key; empty if none is named: a model on this machine needs none."""
    if config.fallback_key_variable:
        return _checked(environ.get(config.fallback_key_variable, ""), f"the variable {config.fallback_key_variable}")
    return _read(config.fallback_key_file) if config.fallback_key_file else ""


def _read(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="ascii") as file:
            info = os.fstat(file.fileno())
            is_private = not system.HAS_OWNERS or (not info.st_mode & 0o077 and system.is_ours(info.st_uid))
            key = file.read(FILE_MAX_CHARS).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"relayd: the fallback's key in {path} cannot be read: {error}") from error
    if not is_private:
        raise StartError(f"relayd: {path} can be read by others, or is not yours; make it yours alone: chmod 600 {path}")
    return _checked(key, path)


def _checked(key: str, place: str) -> str:
    if not KEY.fullmatch(key):
        raise StartError(f"relayd: {place} holds no key for the fallback")
    return key
