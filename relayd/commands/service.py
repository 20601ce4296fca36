"""`relayd service`: the daemon under systemd, launchd or the Task Scheduler."""

from __future__ import annotations

import getpass
import os
import sys

from relayd.commands.context import Context
from relayd.errors import EXIT_OK, StartError
from relayd.service import manager as managers
from relayd.service.manager import Manager, ServiceError
from relayd.service.spec import Spec

# What a login or a proxy set up by variables needs; the manager itself passes on little.
PASSED = (
    "PATH",
    "PYTHONPATH",
    "CLAUDE_CONFIG_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
)


def service(context: Context) -> int:
    """One of the actions of `cli.py`."""
    manager = manager_of(context)
    action = context.options.action
    try:
        if action == "print":
            print("\n".join(f"# {path}\n{text}" for path, text in manager.files.items()), end="")
        elif action == "install":
            install(manager)
        elif action == "uninstall":
            for path in managers.uninstall(manager):
                print(f"removed {path}")
        elif action == "status":
            code, said = managers.show(manager.status)
            print(said, end="")
            return code
        else:
            commands = {"start": manager.start, "stop": manager.stop, "logs": manager.logs}
            print(managers.run(commands[action]), end="")
    except ServiceError as error:
        raise StartError(f"relayd: {error}") from error
    return EXIT_OK


def install(manager: Manager) -> None:
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
        raise StartError(f"relayd: {error}") from error


def manager_of(context: Context) -> Manager:
    """The manager of this system, or the one that was named."""
    options, environ = context.options, context.environ
    command = [sys.executable, "-m", "relayd", "serve"]
    if getattr(options, "config", None):
        command += ["--config", os.path.abspath(options.config)]
    passed = {name: environ[name] for name in PASSED if environ.get(name)}
    platform = getattr(options, "platform", None) or sys.platform
    spec = Spec(tuple(command), passed, _log_file(platform, context), user=getpass.getuser())
    address = f"{context.config.host}:{context.config.port}" if getattr(options, "socket", False) else ""
    return managers.for_platform(platform, spec, environ, address)


def _log_file(platform: str, context: Context) -> str:
    """Where the log goes: under launchd and the Task Scheduler nobody reads standard error."""
    if platform == "win32":
        return os.path.join(context.environ.get("LOCALAPPDATA", ""), "relayd", "relayd.log")
    return os.path.join(context.environ.get("HOME", ""), "Library", "Logs", "relayd.log")


def is_installed(context: Context) -> bool:
    """True if the service's file is there."""
    return all(os.path.exists(path) for path in manager_of(context).files)
