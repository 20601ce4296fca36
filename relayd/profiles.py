"""Other logins of the same user: names, and the directories in which Claude Code keeps them. Pure.

`work=/home/me/.claude-work, lab=~/.claude-lab`: each is a configuration directory of Claude Code in which the user has logged
in. A call names its profile by header, or its key has one; without either it is the login of the daemon's own
environment. Nothing here, or anywhere, chooses another profile because one is limited. Used by `config.py` and the core.
"""

from __future__ import annotations

import re
from functools import lru_cache

from relayd.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
PROFILES_MAX = 20
DIRECTORY_MAX_CHARS = 1000
FORM = "names and directories with an equals sign between, separated by commas: work=~/logins/work"


@lru_cache(maxsize=4)
def table(text: str) -> dict[str, str]:
    """Directories by the names of their profiles. Raises ConfigError."""
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, directory = (piece.strip() for piece in part.partition("="))
        is_path = directory.startswith(("/", "~")) or directory[1:3] in (":\\", ":/")
        if not NAME.fullmatch(name) or not is_path or len(directory) > DIRECTORY_MAX_CHARS or name in found:
            raise ConfigError(f"profiles: {part!r} is not right: it takes {FORM}")
        found[name] = directory
    if len(found) > PROFILES_MAX:
        raise ConfigError(f"profiles: at most {PROFILES_MAX}")
    return found
