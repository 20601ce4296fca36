"""The dashboard's files and the manual's pages, read once at the start."""

from __future__ import annotations

import os

DASHBOARD = ("app.js", "calls.js", "try.js", "app.css", "docs.css", "xterm/xterm.js", "xterm/xterm.css")
MANUAL = ("relayd.1", "relayd.toml.5", "relayd-http.7", "relayd-clients.7", "relayd-security.7")
ASSET_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}


def load() -> dict[str, tuple[str, bytes]]:
    """The dashboard's files by their names, and the manual's pages as `manual:NAME`; the first page of each has no name."""
    root = os.path.join(os.path.dirname(os.path.dirname(__file__)), "dashboard")
    files = {"": "index.html", "manual:": "docs/index.html"} | {name: name for name in DASHBOARD}
    files |= {f"manual:{page}": f"docs/{page}.html" for page in MANUAL}
    found = {}
    for name, path in files.items():
        with open(os.path.join(root, path), "rb") as file:
            found[name] = (ASSET_TYPES[path.rpartition(".")[2]], file.read())
    return found
