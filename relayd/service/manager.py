"""Installs, removes and asks the service, by the system's own tools. The only module of this room that does anything.

Each manager is a table of commands and the files it needs. A tool that is missing or says no is an error with
its own words. An installation that fails puts back what was there before. Called by `commands/service.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from relayd.service import launchd, systemd, windows
from relayd.service.spec import Spec

TOOL_LIMIT_S = 60


class ServiceError(Exception):
    """The service manager is missing or has refused; the message holds its words."""


Command = tuple[str, ...]


@dataclass(frozen=True)
class Manager:
    """`files` maps paths to texts. The rest are argvs of the system's tools, several for one step where needed.

    prepare: before the files are written; may fail, as nothing may be there yet.
    revive: by path, what brings a file back to life that was there before an installation that failed.
    stale: files of other kinds of installation, which go with this one, and with each removal.
    """

    name: str
    files: dict[str, str]
    install: tuple[Command, ...]
    uninstall: tuple[Command, ...]
    start: Command
    stop: Command
    status: Command
    logs: Command
    encoding: str = "utf-8"
    prepare: tuple[Command, ...] = ()
    reload: tuple[Command, ...] = ()  # after files have changed or gone
    revive: dict[str, Command] = field(default_factory=dict)
    stale: tuple[str, ...] = ()


def for_platform(platform: str, spec: Spec, environ: Mapping[str, str], socket_address: str = "") -> Manager:
    """The manager of `sys.platform`. `socket_address` asks for socket activation (systemd only)."""
    if platform == "darwin":
        return _launchd(spec, environ)
    if platform == "win32":
        return _windows(spec, environ)
    return _systemd(spec, environ, socket_address)


def _systemd(spec: Spec, environ: Mapping[str, str], socket_address: str) -> Manager:
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", ""), ".config")
    place = os.path.join(base, "systemd", "user")
    service, socket = os.path.join(place, systemd.UNIT), os.path.join(place, systemd.SOCKET)
    files = {service: systemd.service(spec)} | ({socket: systemd.socket(socket_address)} if socket_address else {})
    control = ("systemctl", "--user")
    wanted = systemd.SOCKET if socket_address else systemd.UNIT
    # A socket that stays would start the service again; systemd enables none whose service runs.
    units = (systemd.SOCKET, systemd.UNIT) if socket_address or os.path.exists(socket) else (systemd.UNIT,)
    off = tuple((*control, "disable", "--now", unit) for unit in (systemd.SOCKET, systemd.UNIT))
    return Manager(
        name="systemd",
        files=files,
        prepare=off,
        install=((*control, "daemon-reload"), (*control, "enable", "--now", wanted)),
        uninstall=off,
        start=(*control, "start", *units),
        stop=(*control, "stop", *units),
        status=(*control, "--no-pager", "status", *units),
        logs=("journalctl", "--user", "--no-pager", "-n", "100", "-u", systemd.UNIT),
        reload=((*control, "daemon-reload"),),
        revive={path: (*control, "enable", "--now", os.path.basename(path)) for path in (socket, service)},
        stale=() if socket_address else (socket,),
    )


def _launchd(spec: Spec, environ: Mapping[str, str]) -> Manager:
    path = os.path.join(environ.get("HOME", ""), "Library", "LaunchAgents", f"{launchd.LABEL}.plist")
    domain = f"gui/{os.getuid()}" if hasattr(os, "getuid") else "gui/0"
    service = f"{domain}/{launchd.LABEL}"
    return Manager(
        name="launchd",
        files={path: launchd.agent(spec)},
        prepare=(("launchctl", "bootout", service),),  # it refuses to load what is loaded
        install=(("launchctl", "bootstrap", domain, path),),
        uninstall=(("launchctl", "bootout", service),),
        revive={path: ("launchctl", "bootstrap", domain, path)},
        start=("launchctl", "kickstart", service),
        stop=("launchctl", "kill", "TERM", service),
        status=("launchctl", "print", service),
        logs=("tail", "-n", "100", spec.log),
    )


def _windows(spec: Spec, environ: Mapping[str, str]) -> Manager:
    path = os.path.join(environ.get("LOCALAPPDATA", ""), "relayd", "task.xml")
    return Manager(
        name="Task Scheduler",
        files={path: windows.task(spec)},
        install=(("schtasks", "/Create", "/F", "/TN", windows.TASK, "/XML", path), ("schtasks", "/Run", "/TN", windows.TASK)),
        uninstall=(("schtasks", "/End", "/TN", windows.TASK), ("schtasks", "/Delete", "/F", "/TN", windows.TASK)),
        start=("schtasks", "/Run", "/TN", windows.TASK),
        stop=("schtasks", "/End", "/TN", windows.TASK),
        status=("schtasks", "/Query", "/V", "/FO", "LIST", "/TN", windows.TASK),
        logs=("cmd", "/c", "type", spec.log),
        encoding="utf-16",
        revive={path: ("schtasks", "/Create", "/F", "/TN", windows.TASK, "/XML", path)},
    )


def is_there(manager: Manager) -> bool:
    """True if the system has this manager and it answers to this user."""
    if shutil.which(manager.install[0][0]) is None:
        return False
    if manager.name != "systemd":
        return True
    probe = ("systemctl", "--user", "show-environment")
    return subprocess.run(probe, capture_output=True, check=False, timeout=TOOL_LIMIT_S).returncode == 0


def install(manager: Manager) -> list[str]:
    """Write the files and start the service; the files' paths. Raises ServiceError, with what was there before put back."""
    before = {path: _content(path) for path in (*manager.files, *manager.stale)}
    try:
        _try(manager.prepare)
        for path, text in manager.files.items():
            _write(path, text.encode(manager.encoding))
        _remove(manager.stale)
        for command in manager.install:
            run(command)
    except (ServiceError, OSError) as error:
        _restore(manager, before)
        raise error if isinstance(error, ServiceError) else ServiceError(f"{error.filename}: {error.strerror}") from error
    return list(manager.files)


def _restore(manager: Manager, before: Mapping[str, bytes | None]) -> None:
    """The files as they were, and the services that they were for. Best effort: the first error is the one to tell."""
    for path, content in before.items():
        with contextlib.suppress(OSError):
            _remove((path,)) if content is None else _write(path, content)
    _try(manager.reload)
    _try(tuple(manager.revive[path] for path in manager.revive if before.get(path) is not None))


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServiceError(f"{path}: {error.strerror}") from error


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def uninstall(manager: Manager) -> list[str]:
    """Stop the service and remove its files; those that were there. A service that is not installed is no error."""
    _try(manager.uninstall)
    removed = _remove((*manager.files, *manager.stale))
    _try(manager.reload)
    return removed


def _try(commands: tuple[Command, ...]) -> None:
    """Run them all; what one of them refuses is no error."""
    for command in commands:
        with contextlib.suppress(ServiceError):
            run(command)


def _remove(paths: Iterable[str]) -> list[str]:
    removed = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            removed.append(path)
    return removed


def show(command: Command) -> tuple[int, str]:
    """Run a tool whose exit status is part of its answer. Raises ServiceError if it cannot be run."""
    done = _done(command)
    return done.returncode, done.stdout or done.stderr


def run(command: Command) -> str:
    """Run a tool; what it says. Raises ServiceError."""
    done = _done(command)
    if done.returncode:
        raise ServiceError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _done(command: Command) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=TOOL_LIMIT_S)
    except OSError as error:
        raise ServiceError(f"{command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{' '.join(command)}: no answer within {TOOL_LIMIT_S} s") from error
