"""What the core must know of this machine and this installation, found out once at the start."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping

from relayd.claude import environment, mod, reminders
from relayd.claude.capabilities import Capabilities
from relayd.config import Config
from relayd.core.host import Host
from relayd.daemon import assets, key_file, user_files
from relayd.daemon.state import Places
from relayd.runtime import system
from relayd.runtime.files import write_whole


def describe(
    config: Config,
    environ: Mapping[str, str],
    claude: str,
    places: Places,
    port: int,
    can: Capabilities,
    log: Callable[[str, str], None],
) -> Host:
    """The host. `claude` can do what `can` says. Raises StartError for a token that others can read."""
    for_claude = {name: value for name, value in environ.items() if name != config.fallback_key_variable}
    child_environment, notes = environment.child_environment(for_claude, port)
    for note in notes:
        log("warning", note)
    return Host(
        claude=claude,
        state_dir=places.state,
        config_dir=claude_directory(environ),
        workspace=places.workspace,
        base_url=base_url(config.host, port),
        environment=child_environment,
        telemetry=config.telemetry and not environment.has_own_telemetry(environ),
        machine=_machine(environ),
        timestamp=_clock("%Y-%m-%dT%H:%M:%S.000Z", datetime.UTC),
        today=_clock("%Y-%m-%d", None),
        unix_time=_unix_time(),
        keys=key_file.read_all(config, environ),
        assets=assets.load(),
        mod_directory=_write_mod(places.state) if config.live else "",
        mover=shutil.which("mv", path=os.defpath) or "" if system.HAS_FIFOS else "",
        profiles=user_files.profile_directories(config, environ),
        capabilities=can,
        processors=system.processors(),
    )


def claude_directory(environ: Mapping[str, str]) -> str:
    """Claude Code's configuration directory, without links."""
    return system.real_path(environment.config_directory(environ))


def claude_directories(config: Config, environ: Mapping[str, str]) -> list[str]:
    """Claude Code's configuration directories, those of other logins too. Raises StartError for one that is not there."""
    return list(dict.fromkeys((claude_directory(environ), *user_files.profile_directories(config, environ).values())))


def _write_mod(state: str) -> str:
    """Write the mod's files; their directory, or nothing: without it answers come line by line."""
    root = os.path.join(state, mod.DIRECTORY)
    try:
        for name, data in mod.files().items():
            path = os.path.join(root, *name.split("/"))
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            write_whole(path, data)
    except OSError:
        return ""
    return root


def base_url(host: str, port: int) -> str:
    """Where the daemon is reached."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _clock(form: str, zone: datetime.timezone | None) -> Callable[[float], str]:
    """Monotonic seconds to wall time, local without a zone."""
    unix_time = _unix_time()
    return lambda now: datetime.datetime.fromtimestamp(unix_time(now), zone).strftime(form)


def _unix_time() -> Callable[[float], float]:
    """Monotonic seconds to Unix time. The monotonic clock stands still while the machine sleeps, the wall clock may be set."""
    return lambda now: now + time.time() - time.monotonic()


def _machine(environ: Mapping[str, str]) -> reminders.Machine:
    """As Claude Code finds it. Where this is wrong, the first process that minds tells better (`claude/transcript.py`)."""
    if sys.platform == "win32":
        shell = environment.windows_shell(environ, has_git=shutil.which("git", path=environ.get("PATH")) is not None)
        name = system.product_name() or f"{platform.system()} {platform.release()}"
        return reminders.Machine(sys.platform, shell, f"{name} {platform.version()}")
    shell = "zsh" if "zsh" in environ.get("SHELL", "") else "bash"
    return reminders.Machine(sys.platform, shell, f"{platform.system()} {platform.release()}")
