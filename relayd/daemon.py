"""The daemon's life around the loop: directories, lock, sweep, port, ready line, end.

Called by `cli.py`. Everything it finds out about the machine goes into `Host`; the core asks
nothing by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import glob
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from relayd import __version__, verdict
from relayd.claude import environment, launch, mod, prompt_history, reminders
from relayd.claude.capabilities import Capabilities
from relayd.config import AT_START, Config
from relayd.core import events as ev
from relayd.core.host import Host
from relayd.core.launch_keys import load_keys
from relayd.core.relay import Relay
from relayd.errors import ConfigError
from relayd.runtime import listener, orphans, system
from relayd.runtime.files import fingerprint, write_whole
from relayd.runtime.logs import Log, open_log
from relayd.runtime.notify import Notifier, given_socket
from relayd.runtime.performer import Files
from relayd.runtime.prompt_history import PromptHistory
from relayd.runtime.server import Server
from relayd.runtime.slot import RECORD_NAME, SESSIONS_NAME

DASHBOARD = ("app.js", "app.css", "docs.css", "xterm/xterm.js", "xterm/xterm.css")
MANUAL = ("relayd.1", "relayd.toml.5", "relayd-http.7", "relayd-clients.7", "relayd-security.7")
ASSET_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}
OnReady = Callable[[str], None] | None
Reader = Callable[[], Config] | None
RECORDS_NAME = "recent-calls.jsonl"
EXIT_OK, EXIT_USAGE, EXIT_BUG, EXIT_SYSTEM = 0, 100, 101, 111


class StartError(Exception):
    """The daemon cannot start; the message says why and what to do."""


@dataclass(frozen=True)
class Places:
    """Directories and files of one daemon, absolute and without links."""

    state: str
    slots: str
    workspace: str
    lock: str
    keys: str
    records: str


def config_path(environ: Mapping[str, str]) -> str:
    """Where the configuration file is looked for when none is named."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(_home(environ), ".config")
    if sys.platform == "darwin":
        base = os.path.join(_home(environ), "Library", "Application Support")
    elif sys.platform == "win32":
        base = environ.get("APPDATA", _home(environ))
    return os.path.join(base, "relayd", "relayd.toml")


def state_directory(config: Config, environ: Mapping[str, str]) -> str:
    """Where the daemon keeps what lives only while it runs."""
    if config.state_dir:
        return os.path.realpath(config.state_dir)
    base = environ.get("XDG_STATE_HOME") or os.path.join(_home(environ), ".local", "state")
    if sys.platform == "darwin":
        base = os.path.join(_home(environ), "Library", "Application Support")
    elif sys.platform == "win32":
        base = environ.get("LOCALAPPDATA", _home(environ))
    return os.path.realpath(os.path.join(base, "relayd"))


def find_claude(config: Config, environ: Mapping[str, str]) -> str | None:
    """The `claude` to run: the configured one, the first on PATH, or one in its usual places."""
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


def serve(config: Config, environ: Mapping[str, str], on_ready: OnReady = None, read: Reader = None) -> int:
    """Run the daemon until it is told to end. Returns the exit code. Raises StartError.

    `read` gives the configuration anew when the daemon is told to take it up again.
    """
    claude = find_claude(config, environ)
    if claude is None:
        raise StartError(environment.INSTALL_HINT if not config.claude else f"relayd: {config.claude} is not an executable file")
    os.umask(0o077)
    system.set_limits()
    places = _places(state_directory(config, environ))
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(system.locked(places.lock))
        except OSError as error:
            raise StartError(f"relayd: another daemon uses {places.state}") from error
        log = held.enter_context(contextlib.closing(open_log(config.log_level, config.log_format, environ)))
        return _serve_locked(config, environ, claude, places, on_ready, read, log)


def token_path(config: Config, environ: Mapping[str, str]) -> str:
    """Where the token is looked for."""
    return config.token_file or os.path.join(os.path.dirname(config_path(environ)), "token")


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


def prepare(config: Config, environ: Mapping[str, str]) -> None:
    """Make the daemon's directories. Raises StartError if they are not its own."""
    _places(state_directory(config, environ))


def _places(state: str) -> Places:
    workspace = os.path.join(state, "workspace")  # as the system writes it: Claude Code shows it and lists it so
    for directory in (state, workspace):
        _make_private(directory)
    if os.listdir(workspace):
        raise StartError(f"relayd: {workspace} must be empty: what is in it was not put there by relayd")
    keys, records = f"{state}/launch-keys.json", f"{state}/{RECORDS_NAME}"
    return Places(state, f"{state}/slots", workspace, f"{state}/lock", keys, records)


def _make_private(directory: str) -> None:
    """A directory of this user's own, that no link leads to. Raises StartError."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        info = os.lstat(directory)
        if not stat.S_ISDIR(info.st_mode) or not system.is_ours(info.st_uid):
            raise StartError(f"relayd: {directory} must be a directory of this user, not a link")
        os.chmod(directory, 0o700)
    except OSError as error:
        raise StartError(f"relayd: the directory {directory} cannot be made: {error.strerror}") from error


def _serve_locked(
    config: Config,
    environ: Mapping[str, str],
    claude: str,
    places: Places,
    on_ready: OnReady,
    read: Reader,
    log: Log,
) -> int:
    examine = partial(examined, claude, f"{places.state}/{verdict.FILE_NAME}")
    can = examine().capabilities
    if can.refusal:
        raise StartError(f"relayd: {can.refusal}")
    try:
        sock = given_socket(environ) or listener.bind(config.host, config.port)
    except OSError as error:
        raise StartError(f"relayd: cannot listen on {config.host}:{config.port}: {error.strerror}") from error
    port = sock.getsockname()[1]
    config_dir = os.path.realpath(environment.config_directory(environ))
    owned = partial(launch.session_paths, launch.project_directory(config_dir, places.workspace))
    ended = orphans.sweep(places.slots, RECORD_NAME, SESSIONS_NAME, owned)
    if ended:
        log("warning", f"ended {ended} process(es) that an earlier daemon had left")
    prompt_list = PromptHistory(
        f"{config_dir}/{prompt_history.FILE_NAME}",
        prompt_history.LOCK_SUFFIX,
        lambda data: prompt_history.without(data, places.workspace),
    )
    prompt_list.forget_all()
    base, notes = environment.child_environment(environ, port)
    for note in notes:
        log("warning", note)
    near = Host(
        claude=claude,
        state_dir=places.state,
        config_dir=config_dir,
        workspace=places.workspace,
        base_url=f"http://{_bracket(config.host)}:{port}",
        environment=base,
        telemetry=config.telemetry and not environment.has_own_telemetry(environ),
        machine=_machine(environ),
        timestamp=_clock("%Y-%m-%dT%H:%M:%S.000Z", datetime.UTC),
        today=_clock("%Y-%m-%d", None),
        unix_time=_unix_time(),
        token=read_token(token_path(config, environ)),
        assets=_assets(),
        mod_directory=_write_mod(places.state) if config.live else "",
        mover=shutil.which("mv", path=os.defpath) or "" if system.HAS_FIFOS else "",
        capabilities=can,
    )
    relay = Relay(config, near, load_keys(_read(places.keys)), port)
    in_terminal = sys.stderr is not None and sys.stderr.isatty()  # its hang-up means the end, and no new configuration
    reload = None if in_terminal else _reloader(config, read, log)
    files = Files(places.keys, places.records, prompt_list)
    server = Server(config, relay, sock, files, log, Notifier(environ), reload, examine)
    log("info", f"relayd {__version__} listens on {near.base_url}, claude is {claude}")
    if on_ready:
        on_ready(near.base_url)
    server.run()
    if not prompt_list.forget_all():
        log("warning", "Claude Code's list of prompts was locked: what relayd has typed goes at the next start")
    log("info", f"relayd ended after {relay.calls.served} calls")
    return EXIT_OK


def examined(claude: str, verdict_path: str) -> ev.ClaudeChanged:
    """The `claude` that is there now, and what the doctor has found out about it. It is asked every few seconds."""
    mark = fingerprint(claude)
    found = verdict.read(_read(verdict_path), mark)
    if found is None:
        return ev.ClaudeChanged(mark, Capabilities(gated=system.HAS_FIFOS))
    gated = system.HAS_FIFOS and not found.no_gate
    can = Capabilities(found.refusal, found.no_tools, gated, typing=not found.no_typing, live=not found.no_live)
    return ev.ClaudeChanged(mark, can)


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


def _reloader(config: Config, read: Reader, log: Log) -> Callable[[], Config | None]:
    """What SIGHUP does: a new configuration, with the knobs that are bound to the start as they were."""

    def reload() -> Config | None:
        try:
            found = read() if read else config
        except ConfigError as error:
            log("error", f"the configuration stays as it was: {error}")
            return None
        bound = [name for name in AT_START if getattr(found, name) != getattr(config, name)]
        if bound:
            log("warning", f"needs a restart: {', '.join(bound)}")
        log("info", "the configuration was read anew")
        return dataclasses.replace(found, **{name: getattr(config, name) for name in AT_START})

    return reload


def _assets() -> dict[str, tuple[str, bytes]]:
    """The dashboard's files by their names, and the manual's pages as `manual:NAME`; the first page of each has no name."""
    root = os.path.join(os.path.dirname(__file__), "dashboard")
    files = {"": "index.html", "manual:": "docs/index.html"} | {name: name for name in DASHBOARD}
    files |= {f"manual:{page}": f"docs/{page}.html" for page in MANUAL}
    found = {}
    for name, path in files.items():
        with open(os.path.join(root, path), "rb") as file:
            found[name] = (ASSET_TYPES[path.rpartition(".")[2]], file.read())
    return found


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(65536)
    except OSError:
        return b""


def _clock(form: str, zone: datetime.timezone | None) -> Callable[[float], str]:
    """Monotonic seconds to wall time, local without a zone."""
    unix_time = _unix_time()
    return lambda now: datetime.datetime.fromtimestamp(unix_time(now), zone).strftime(form)


def _unix_time() -> Callable[[float], float]:
    """Monotonic seconds to Unix time. The monotonic clock stands still while the machine sleeps, the wall clock may be set."""
    return lambda now: now + time.time() - time.monotonic()


def _machine(environ: Mapping[str, str]) -> reminders.Machine:
    shell = "zsh" if "zsh" in environ.get("SHELL", "") else "bash"
    return reminders.Machine(sys.platform, shell, f"{platform.system()} {platform.release()}")


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
