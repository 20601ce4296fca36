"""`relayd config` and `relayd token`: what is configured, and the secret that clients must send."""

from __future__ import annotations

import contextlib
import os
import secrets

from relayd.commands.context import Context, table
from relayd.config import KEYS
from relayd.daemon import user_files
from relayd.errors import EXIT_OK, StartError
from relayd.knobs import Value, shown

TOKEN_BYTES = 32


def config(context: Context) -> int:
    """`check` (it was read without an error, or we were not here), `show`, `path`."""
    path = context.options.config or user_files.config_path(context.environ)
    if context.options.action == "path":
        print(path)
    elif context.options.action == "check":
        there = "is fine" if os.path.exists(path) else "does not exist, which is fine"
        print(f"{path} {there}")
    else:
        values = {name: getattr(context.config, name) for name in KEYS}
        rows = [(name, shown(values[name]), _changed(name, values[name]), knob.domain) for name, knob in KEYS.items()]
        context.show(values, table(rows, ("KEY", "VALUE", "", "ALLOWED")))
    return EXIT_OK


def _changed(name: str, value: Value) -> str:
    """What `show` says beside a value that is not the default."""
    return "" if value == KEYS[name].default else f"not {shown(KEYS[name].default)}"


def token(context: Context) -> int:
    """`new`, `show`, `remove`. A daemon that runs takes it up at its next start."""
    path = user_files.token_path(context.config, context.environ)
    if context.options.action == "new":
        print(make_token(path))
    elif context.options.action == "remove":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        found = user_files.read_token(path)
        if not found:
            raise StartError(f"relayd: there is no token in {path}; make one: relayd token new")
        print(found)
    return EXIT_OK


def make_token(path: str) -> str:
    """A new token in its file, for this user alone."""
    text = secrets.token_urlsafe(TOKEN_BYTES)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(text + "\n")
    return text
