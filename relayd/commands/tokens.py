"""`relayd token`: the plain token, and the named keys of programs, each with limits of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time

from relayd import profiles
from relayd.commands.context import Context, table
from relayd.daemon import key_file, user_files
from relayd.errors import EXIT_OK, ConfigError, StartError

TOKEN_BYTES = 32
LIST_HEAD = ("KEY", "MADE", "MODELS", "CALLS A MINUTE", "PLAN", "PROFILE")


def token(context: Context) -> int:
    """`new`, `show`, `remove`, `list`, `revoke`. A daemon that runs takes a change up within seconds."""
    action, name = context.options.action, context.options.name
    path = user_files.token_path(context.config, context.environ)
    if action == "list":
        _list(context)
    elif action == "revoke":
        if not name:
            raise ConfigError("which key? relayd token revoke NAME")
        key_file.revoke(key_file.path_of(context.config, context.environ), name)
    elif action == "new" and name:
        print(_new_key(context, path))
    elif name:
        raise ConfigError(f"{action} takes no name: only a key's digest is kept")
    elif action == "new":
        print(make_token(path))
    elif action == "remove":
        _remove(context, path)
    else:
        _show(path)
    return EXIT_OK


def _new_key(context: Context, token_path: str) -> str:
    """Where a key is asked for, relayd's own commands and the dashboard need one, too: the plain token."""
    options = context.options
    if not user_files.read_token(token_path):
        make_token(token_path)
        print("relayd: made the plain token as well, for relayd's own commands and the dashboard", file=sys.stderr)
    keys = key_file.path_of(context.config, context.environ)
    known = profiles.table(context.config.profiles)
    if options.profile and options.profile not in known:
        raise ConfigError(f"there is no profile {options.profile}; known: {', '.join(known) or 'none'}")
    limits = options.model or [], options.calls_per_minute, options.plan_percent
    return key_file.add(keys, options.name, *limits, options.profile)


def _list(context: Context) -> None:
    found = key_file.listed(key_file.path_of(context.config, context.environ))
    rows = [
        (
            key["name"],
            time.strftime("%Y-%m-%d", time.localtime(key["created"])),
            " ".join(key["models"]) or "any",
            key["calls_per_minute"] or "any",
            f"up to {key['plan_percent']} %" if key["plan_percent"] else "any",
            key["profile"] or "any",
        )
        for key in found
    ]
    context.show(found, table(rows, LIST_HEAD))


def _remove(context: Context, path: str) -> None:
    if key_file.read(key_file.path_of(context.config, context.environ)):
        raise ConfigError("there are named keys, and relayd's own commands need the token beside them; revoke them first")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _show(path: str) -> None:
    found = user_files.read_token(path)
    if not found:
        raise StartError(f"relayd: there is no token in {path}; make one: relayd token new")
    print(found)


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
