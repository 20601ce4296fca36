"""`relayd setup`: the first run. Finds `claude`, checks it, prepares the directories, offers a token and the service.

Can be run again at any time. With `--yes` every offer that costs nothing is taken and nothing is asked.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable

from relayd.claude import environment
from relayd.commands import doctor as doctors
from relayd.commands import service as services
from relayd.commands import tokens
from relayd.commands.context import Context, paint
from relayd.daemon import state, user_files
from relayd.errors import EXIT_OK, EXIT_SYSTEM, StartError
from relayd.service import manager as managers

LOGIN_LIMIT_S = 60.0
READY_LIMIT_S = 30.0


def setup(context: Context) -> int:
    """Each step says what it found. Returns 0 if the daemon can answer calls now."""
    claude = find(context)
    check_login(context, claude)
    prepare(context)
    write_config(context, claude)
    offer_token(context)
    if not context.options.no_doctor:
        results = doctors.run_checks(claude)
        missing = [r.name for r in results if not r.works]
        say(
            not missing,
            "checks of this version",
            "all work" if not missing else f"failed: {', '.join(missing)}; see relayd doctor",
        )
    return offer_service(context)


def say(good: bool, what: str, found: str) -> None:
    """One line of the report."""
    print(f"{paint('ok  ', '32') if good else paint('--  ', '33')}  {what}: {found}", flush=True)


def agreed(context: Context, question: str, default: bool) -> bool:
    """The user's answer; `--yes` and a program on the other side take the default."""
    if context.options.yes or not sys.stdin.isatty():
        return default
    answer = input(f"      {question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
    return answer.startswith("y") if answer else default


def find(context: Context) -> str:
    """The binary. Raises StartError that says how to get one."""
    claude = user_files.find_claude(context.config, context.environ)
    say(True, "claude", f"{claude}, version {doctors.version_of(claude)}")
    return claude


def check_login(context: Context, claude: str) -> None:
    """Ask Claude Code itself; no credential is read."""
    environ = environment.child_environment(context.environ, 0)[0]
    command = [claude, *environment.LOGIN_QUESTION]
    try:
        done = subprocess.run(command, env=environ, capture_output=True, check=False, timeout=LOGIN_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError(f"relayd: {claude} cannot be run: {error}") from error
    if done.returncode == 0:
        say(True, "login", "Claude Code says that it is logged in")
    else:
        say(False, "login", "none: run `claude` once in a terminal and log in; calls get a 401 until then")


def prepare(context: Context) -> None:
    """The daemon's directories. The trust in its empty workspace is given by the first process that asks."""
    state.prepare(context.config, context.environ)
    say(True, "state", context.state_dir)


def write_config(context: Context, claude: str) -> None:
    """The path of the binary, which a service would not find; an existing file is left alone."""
    path = context.options.config or user_files.config_path(context.environ)
    if os.path.exists(path):
        say(True, "configuration", f"{path}, as it is")
        return
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(f"# See relayd.toml(5). Every key has a default.\nclaude = {toml_text(claude)}\n")
        if context.options.port is not None:
            file.write(f"port = {context.config.port}\n")
    say(True, "configuration", f"wrote {path}")


def toml_text(text: str) -> str:
    """A TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def offer_token(context: Context) -> None:
    """Other users are kept out anyway; a token also keeps out other programs of this user."""
    path = user_files.token_path(context.config, context.environ)
    if user_files.read_token(path):
        say(True, "token", f"{path}; clients send it as their API key")
    elif agreed(context, "Make a token that clients must send as their API key?", default=False):
        tokens.make_token(path)
        say(True, "token", f"wrote {path}; clients send it as their API key")
    else:
        say(True, "token", "none: every program of this user may call; make one with relayd token new")


def offer_service(context: Context) -> int:
    """Install and try it, or say how to start the daemon."""
    manager = services.manager_of(context)
    if not managers.is_there(manager):
        say(False, "service", f"{manager.name} does not answer to this user; start the daemon with: relayd serve")
        return EXIT_OK
    if services.is_installed(context):
        with contextlib.suppress(managers.ServiceError):  # it may have been stopped; the call below says how it is
            managers.start(manager)
    elif agreed(context, f"Start relayd with every login, by {manager.name}?", default=True):
        services.install(context, manager)
    else:
        say(True, "service", "not installed; start the daemon with: relayd serve")
        return EXIT_OK
    say(True, "service", f"installed with {manager.name}")
    offer_to_stay(context, manager)
    return real_call(context)


def offer_to_stay(context: Context, manager: managers.Manager) -> None:
    """A user's services end with the last session: on a server that is when the terminal is closed."""
    if not managers.ends_with_session(manager):
        return
    if not agreed(context, "Keep relayd running when you log out, and start it with the system?", default=False):
        say(True, "after you log out", f"the service ends; to keep it: {' '.join(manager.stay)}")
        return
    try:
        managers.run(manager.stay)
        say(True, "after you log out", "the service goes on")
    except managers.ServiceError as error:
        say(False, "after you log out", f"the service ends: {error}")


def real_call(context: Context) -> int:
    """What the user will do: a call of the daemon that now runs."""
    if not wait_for(lambda: bool(context.ask("GET", "/v1/health"))):
        say(False, "daemon", "does not answer; see relayd service logs")
        return EXIT_SYSTEM
    result = doctors.live(context)
    say(result.works, "call", result.seen)
    return EXIT_OK if result.works else EXIT_SYSTEM


def wait_for(condition: Callable[[], bool]) -> bool:
    """True once it holds; False if it does not within the limit."""
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except StartError:
            time.sleep(0.3)
    return False
