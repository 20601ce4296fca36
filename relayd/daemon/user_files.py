"""Where a user's files are, and what two of them say: configuration, token, state, the `claude` to run.

Makes nothing. Called by the daemon and by the commands.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Mapping

from relayd import profiles
from relayd.claude import environment
from relayd.config import Config
from relayd.errors import ConfigError, StartError
from relayd.runtime import system

SHIM_MAX_CHARS = 16 * 1024


def config_path(environ: Mapping[str, str]) -> str:
    """Where the configuration file is looked for when none is named."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(_home(environ), ".config")
    if sys.platform == "darwin":
        base = os.path.join(_home(environ), "Library", "Application Support")
    elif sys.platform == "win32":
        base = environ.get("APPDATA", _home(environ))
    return os.path.join(base, "relayd", "relayd.toml")


def token_path(config: Config, environ: Mapping[str, str]) -> str:
    """Where the token is looked for."""
    return config.token_file or os.path.join(os.path.dirname(config_path(environ)), "token")


def profile_directories(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Where Claude Code keeps each other login, without links. Raises StartError for one that is not there."""
    found = {}
    for name, directory in profiles.table(config.profiles).items():
        home, rest = (_home(environ), directory[1:]) if directory.startswith("~/") else ("", directory)
        found[name] = system.real_path(home + rest)
        if not os.path.isdir(found[name]):
            raise StartError(f"relayd: the profile {name}: there is no directory {directory}; log in there first")
    return found


def state_directory(config: Config, environ: Mapping[str, str]) -> str:
    """Where the daemon keeps what lives only while it runs."""
    if config.state_dir:
        return system.real_path(config.state_dir)
    base = environ.get("XDG_STATE_HOME") or os.path.join(_home(environ), ".local", "state")
    if sys.platform == "darwin":
        base = os.path.join(_home(environ), "Library", "Application Support")
    elif sys.platform == "win32":
        base = environ.get("LOCALAPPDATA", _home(environ))
    return system.real_path(os.path.join(base, "relayd"))


def find_claude(config: Config, environ: Mapping[str, str]) -> str:
    """The `claude` to run: the configured one, the first on PATH, or one in its usual places. Raises StartError."""
    found = _find_claude(config, environ)
    if found is None:
        raise StartError(f"relayd: {config.claude} is not an executable file" if config.claude else environment.INSTALL_HINT)
    return _without_shim(found)


def _without_shim(claude: str) -> str:
    """npm installs a `.cmd` on Windows; the program that it starts, if it is there."""
    if not claude.lower().endswith(".cmd"):
        return claude
    try:
        with open(claude, encoding="utf-8", errors="replace") as file:
            program = environment.behind_shim(claude, file.read(SHIM_MAX_CHARS))
    except OSError:
        return claude
    return program if os.path.isfile(program) else claude


def _find_claude(config: Config, environ: Mapping[str, str]) -> str | None:
    if config.claude:
        found = shutil.which(config.claude, path=environ.get("PATH"))
        return os.path.abspath(found) if found else None
    on_path = shutil.which("claude", path=environ.get("PATH"))
    if on_path:
        return os.path.abspath(on_path)
    candidates = (path for place in environment.usual_places(_home(environ)) for path in sorted(glob.glob(place), reverse=True))
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def read_config(path: str | None, environ: Mapping[str, str]) -> str:
    """The text of the configuration file. Raises ConfigError if a named file cannot be read."""
    chosen = path or config_path(environ)
    try:
        with open(chosen, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError as error:
        if path:
            raise ConfigError(f"{path}: no such file") from error
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{chosen}: {error}") from error


def read_token(path: str) -> str:
    """The token, or nothing if there is no such file. Raises StartError for one that others can read."""
    try:
        with open(path, encoding="ascii") as file:
            others = os.fstat(file.fileno()).st_mode & 0o077 if system.HAS_OWNERS else 0
            token = file.read().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"relayd: the token in {path} cannot be read: {error}") from error
    if others or not token:
        raise StartError(f"relayd: {path} is empty or can be read by others; make it anew: relayd token new")
    return token
