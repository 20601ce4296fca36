"""`relayd config`: what is configured."""

from __future__ import annotations

import os

from relayd.commands.context import Context, table
from relayd.config import KEYS
from relayd.daemon import fallback_target, user_files
from relayd.errors import EXIT_OK
from relayd.knobs import Value, shown


def config(context: Context) -> int:
    """`check` (it was read without an error, or we were not here), `show`, `path`.

    Raises StartError for the fallback's key, or the directory of a profile.
    """
    path = context.options.config or user_files.config_path(context.environ)
    if context.options.action == "path":
        print(path)
    elif context.options.action == "check":
        fallback_target.of(context.config, context.environ)
        user_files.profile_directories(context.config, context.environ)
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
