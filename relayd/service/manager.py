"""Installs, removes and asks the service, by the system's own tools. The only module of this room that does anything.

Each manager is a table of commands and the file it needs. A tool that is missing or says no is an error with
its own words. Called by `commands/service.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.service import launchd, systemd, windows
from relayd.service.spec import Spec

TOOL_LIMIT_S = 60


class ServiceError(Exception):
    """The service manager is missing or has refused; the message holds its words."""


@dataclass(frozen=True)
class Manager:
    """`files` maps paths to texts. The rest are argvs of the system's tools, several for one step where needed."""

    name: str
    files: dict[str, str]
    install: tuple[tuple[str, ...], ...]
    uninstall: tuple[tuple[str, ...], ...]
    start: tuple[str, ...]
    stop: tuple[str, ...]
    status: tuple[str, ...]
    logs: tuple[str, ...]
    encoding: str = "utf-8"
    after_removal: tuple[tuple[str, ...], ...] = field(default=())


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
    files = {os.path.join(place, systemd.UNIT): systemd.service(spec)}
    unit = systemd.UNIT
    if socket_address:
        files[os.path.join(place, systemd.SOCKET)] = systemd.socket(socket_address)
        unit = systemd.SOCKET
    control = ("systemctl", "--user")
    return Manager(
        name="systemd",
        files=files,
        install=((*control, "daemon-reload"), (*control, "enable", "--now", unit)),
        uninstall=((*control, "disable", "--now", systemd.UNIT),),
        start=(*control, "start", systemd.UNIT),
        stop=(*control, "stop", systemd.UNIT),
        status=(*control, "--no-pager", "status", systemd.UNIT),
        logs=("journalctl", "--user", "--no-pager", "-n", "100", "-u", systemd.UNIT),
        after_removal=((*control, "daemon-reload"),),
    )


def _launchd(spec: Spec, environ: Mapping[str, str]) -> Manager:
    path = os.path.join(environ.get("HOME", ""), "Library", "LaunchAgents", f"{launchd.LABEL}.plist")
    domain = f"gui/{os.getuid()}" if hasattr(os, "getuid") else "gui/0"
    service = f"{domain}/{launchd.LABEL}"
    return Manager(
        name="launchd",
        files={path: launchd.agent(spec)},
        install=(("launchctl", "bootstrap", domain, path),),
        uninstall=(("launchctl", "bootout", service),),
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
    """Write the files and start the service; the files' paths. Raises ServiceError, with nothing left behind."""
    for path, text in manager.files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding=manager.encoding) as file:
            file.write(text)
    try:
        for command in manager.install:
            run(command)
    except ServiceError:
        _remove_files(manager)
        raise
    return list(manager.files)


def uninstall(manager: Manager) -> list[str]:
    """Stop the service and remove its files; those that were there. A service that is not installed is no error."""
    for command in manager.uninstall:
        with contextlib.suppress(ServiceError):
            run(command)
    removed = _remove_files(manager)
    for command in manager.after_removal:
        with contextlib.suppress(ServiceError):
            run(command)
    return removed


def _remove_files(manager: Manager) -> list[str]:
    removed = []
    for path in manager.files:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            removed.append(path)
    return removed


def run(command: tuple[str, ...]) -> str:
    """Run a tool; what it says. Raises ServiceError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=TOOL_LIMIT_S)
    except OSError as error:
        raise ServiceError(f"{command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{' '.join(command)}: no answer within {TOOL_LIMIT_S} s") from error
    if done.returncode:
        raise ServiceError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
