"""`relayd connect`: sets up a client, shows what it would do, or takes it back. `clients.py` has the table.

A key or a login of the user's is never changed, and never shown. If clients of the daemon need a key, the client gets a named
one of its own (`relayd token list`), which `--undo` takes back.
"""

from __future__ import annotations

import os

from relayd.commands import client_files
from relayd.commands.clients import CLIENTS, Client, Endpoint, find
from relayd.commands.context import Context, table
from relayd.daemon import key_file, machine, user_files
from relayd.errors import EXIT_OK, ConfigError

NO_KEY = "unused"
HIDDEN = "YOUR-KEY"
HEAD = ("CLIENT", "", "HOW", "RUN WITH")


def connect(context: Context) -> int:
    """The list without a name; else one of the three. Raises ConfigError for a client that is not known."""
    if not context.options.client:
        rows = [(c.name, c.title, "set up" if c.changes else "by hand", c.run or "not run") for c in CLIENTS]
        print(table(rows, HEAD))
        return EXIT_OK
    client = find(context.options.client)
    if client is None:
        raise ConfigError(f"{context.options.client} is not known; those that are: {', '.join(c.name for c in CLIENTS)}")
    if context.options.print or not client.changes:
        _print(context, client)
    elif context.options.undo:
        _undo(context, client)
    else:
        _set_up(context, client)
    return EXIT_OK


def places(context: Context) -> dict[str, str]:
    """What stands for the braces in paths."""
    home = context.environ.get("HOME") or os.path.expanduser("~")
    own = os.path.join(os.path.dirname(user_files.config_path(context.environ)), "clients")
    return {"home": home, "config": context.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "own": own}


def _endpoint(context: Context, key: str) -> Endpoint:
    return Endpoint(machine.base_url(context.config.host, context.config.port), key, context.config.warm_model)


def _filled(text: str, context: Context, at: Endpoint) -> str:
    return text.format(url=at.url, v1=at.v1, key=at.key, model=at.model, **places(context))


def _needs_key(context: Context) -> bool:
    return bool(key_file.read_all(context.config, context.environ))


def _print(context: Context, client: Client) -> None:
    at = _endpoint(context, HIDDEN if _needs_key(context) else NO_KEY)
    for change in client.changes:
        path = change.path.format(**places(context))
        print(f"# {path}\n{client_files.content(change, at)}")
    _tell(context, client, at)
    if at.key == HIDDEN:
        print(f"# {HIDDEN}: relayd token new {client.name}")


def _tell(context: Context, client: Client, at: Endpoint) -> None:
    """How to go on, and what does not work."""
    for label, text in (("by hand", client.by_hand), ("use", client.use), ("note", client.cannot)):
        if text:
            print(f"{label}: {_filled(text, context, at)}")
    if not client.run:
        print(f"note: {client.title} was not run against relayd by its makers")


def _set_up(context: Context, client: Client) -> None:
    """All of it or nothing: a file that cannot be changed leaves the ones before as they were."""
    at = _endpoint(context, _new_key(context, client) if _needs_key(context) else NO_KEY)
    done = []
    try:
        for change in client.changes:
            path = change.path.format(**places(context))
            client_files.apply(change, path, at)
            done.append((change, path))
    except Exception:
        for change, path in done:
            client_files.undo(change, path)
        _drop_key(context, client)
        raise
    for _, path in done:
        backup = path + client_files.BACKUP
        print(f"wrote {path}" + (f" (as it was: {backup})" if os.path.exists(backup) else ""))
    _tell(context, client, at)  # with the key where no file can hold it, as `relayd token new` shows it once


def _undo(context: Context, client: Client) -> None:
    paths = [(change, change.path.format(**places(context))) for change in client.changes]
    changed = [path for change, path in paths if client_files.undo(change, path)]
    for path in changed:
        print(f"{path} is as it was")
    if _drop_key(context, client):
        print(f"took back the key {client.name}")
    if not changed:
        print(f"{client.title} was not connected")


def _new_key(context: Context, client: Client) -> str:
    _drop_key(context, client)
    return key_file.add(key_file.path_of(context.config, context.environ), client.name, [], 0, 0)


def _drop_key(context: Context, client: Client) -> bool:
    try:
        key_file.revoke(key_file.path_of(context.config, context.environ), client.name)
    except ConfigError:
        return False
    return True
