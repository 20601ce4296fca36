"""`relayd service`: the daemon under systemd, launchd or the Task Scheduler."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import sys
from collections.abc import Mapping

from relayd.claude import environment
from relayd.commands.context import Context
from relayd.config import ALIASES, PREFIX
from relayd.errors import EXIT_OK, EXIT_USAGE, StartError
from relayd.service import launchd
from relayd.service import manager as managers
from relayd.service.manager import Manager, ServiceError
from relayd.service.spec import Spec

LOG_MAX_BYTES = 10 * 1024 * 1024
SYSTEM_NAMES = ("PATH", "PYTHONPATH")  # besides what Claude Code and relayd need


def service(context: Context) -> int:
    """One of the actions of `cli.py`."""
    manager = manager_of(context)
    action = context.options.action
    try:
        if action == "print":
            print("\n".join(f"# {path}\n{text}" for path, text in manager.files.items()), end="")
        elif action == "install":
            install(context, manager)
            if managers.ends_with_session(manager):
                print(f"the service ends when you log out; to keep it, and to start it with the system: {' '.join(manager.stay)}")
        elif action == "uninstall":
            for path in managers.uninstall(manager):
                print(f"removed {path}")
        elif action == "status":
            answers = [managers.show(command) for command in manager.status]
            print("\n".join(said for _, said in answers), end="")
            return answers[0][0]
        elif action == "start":
            print(managers.start(manager), end="")
        else:
            print(managers.run({"stop": manager.stop, "logs": manager.logs}[action]), end="")
    except ServiceError as error:
        raise StartError(f"relayd: {error}") from error
    return EXIT_OK


def exit_for_wrong_configuration(environ: Mapping[str, str]) -> int:
    """With what the daemon ends where only its user can help. launchd takes everything but 0 for a reason to try again."""
    return EXIT_OK if launchd.is_agent(environ) else EXIT_USAGE


def shorten_log(environ: Mapping[str, str]) -> None:
    """launchd appends to the log for ever: at a start, put a long one aside and begin anew."""
    path = log_path(environ)
    if not launchd.is_agent(environ):
        return
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(sys.stderr.fileno()), os.stat(path)) and os.path.getsize(path) > LOG_MAX_BYTES:
            shutil.copyfile(path, f"{path}.1")
            os.truncate(path, 0)


def log_path(environ: Mapping[str, str]) -> str:
    """Where launchd writes what the daemon says."""
    return os.path.join(environ.get("HOME", ""), "Library", "Logs", "relayd.log")


def install(context: Context, manager: Manager) -> None:
    """Write, start, say so. Raises StartError where there is no such manager."""
    if not managers.is_there(manager):
        raise StartError(
            f"relayd: {manager.name} does not answer to this user. The service's text: relayd service print;\n"
            "or run `relayd serve` by whatever starts programs here."
        )
    try:
        for path in managers.install(manager):
            print(f"wrote {path}")
    except ServiceError as error:
        raise StartError(f"relayd: {error}\nWhat the daemon has said: relayd service logs") from error
    if left := environment_of(context)[1]:
        print(f"not given to the service, as they may be secrets: {', '.join(left)}")
        print(f"It has them only if {manager.name} does; a login made with `claude` needs none.")


def environment_of(context: Context) -> tuple[dict[str, str], list[str]]:
    """What the service is given of this shell's variables, so that it runs on the same configuration and login; and
    the names of what it is not given."""
    given, left = environment.for_service(context.environ, context.config.port)
    ours = {
        name: value
        for name, value in context.environ.items()
        if value and (name in SYSTEM_NAMES or name in ALIASES or name.startswith(PREFIX)) and value.isprintable()
    }
    return given | ours, left


def manager_of(context: Context) -> Manager:
    """The manager of this system, or the one that was named."""
    options, environ = context.options, context.environ
    command = [sys.executable, "-m", "relayd", "serve"]
    if getattr(options, "config", None):
        command += ["--config", os.path.abspath(options.config)]
    platform = getattr(options, "platform", None) or sys.platform
    spec = Spec(tuple(command), environment_of(context)[0], _log_file(platform, context), user=getpass.getuser())
    address = f"{context.config.host}:{context.config.port}" if getattr(options, "socket", False) else ""
    return managers.for_platform(platform, spec, environ, address, managers.look(platform))


def _log_file(platform: str, context: Context) -> str:
    """Where the log goes: under launchd and the Task Scheduler nobody reads standard error."""
    if platform == "win32":
        return os.path.join(context.environ.get("LOCALAPPDATA", ""), "relayd", "relayd.log")
    return log_path(context.environ)


def is_installed(context: Context) -> bool:
    """True if the service's file is there."""
    return all(os.path.exists(path) for path in manager_of(context).files)
