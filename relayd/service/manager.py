"""Installs, removes and asks the service, by the system's own tools. The only module of this room that does anything.

Each manager is a table of commands and the files it needs. A tool that is missing or says no is an error with
its own words. An installation that fails puts back what was there before: files, what was enabled, what ran.
Called by `commands/service.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from relayd.service import launchd, systemd, windows
from relayd.service.spec import Spec

TOOL_LIMIT_S = 60
FILE_MODE = 0o600  # the environment of the service is in it, a proxy's password perhaps
BUSY_STEP_S = 0.5
BUSY_LIMIT_S = 10.0  # how long a manager that is still unloading is asked again


class ServiceError(Exception):
    """The service manager is missing or has refused; the message holds its words."""


Command = tuple[str, ...]


@dataclass(frozen=True)
class Revival:
    """What brings a file's service back after an installation that failed: `again`, if `was` said yes before.

    Where there is no `was`, the file's being there before says it.
    """

    path: str
    again: Command
    was: Command = ()


@dataclass(frozen=True)
class Manager:
    """`files` maps paths to texts. The rest are argvs of the system's tools, several for one step where needed.

    prepare: before the files are written; may fail, as nothing may be there yet.
    status: the exit code of the first is the answer's.
    reload: after files have changed or gone. forget: before a start and after a removal: earlier failures.
    stale: files of other kinds of installation, which go with this one, and with each removal.
    links: what the manager has made beside the files, for a removal at which it does not answer.
    busy: exit codes of `install` with which the manager says that it has not yet let go of what was there before.
    stays, stay: whether the service outlives the user's last session ("yes"), and what makes it do so.
    """

    name: str
    files: dict[str, str]
    install: tuple[Command, ...]
    uninstall: tuple[Command, ...]
    start: Command
    stop: Command
    status: tuple[Command, ...]
    logs: Command
    encoding: str = "utf-8"
    prepare: tuple[Command, ...] = ()
    reload: tuple[Command, ...] = ()
    forget: tuple[Command, ...] = ()
    revive: tuple[Revival, ...] = ()
    stale: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    busy: tuple[int, ...] = ()
    stays: Command = ()
    stay: Command = ()


@dataclass(frozen=True)
class Seen:
    """What the manager of this machine has said of itself.

    unit_path: where systemd looks for units. domain: in which launchd runs this user's agents. loaded_in: in which it has ours.
    """

    unit_path: str = ""
    domain: str = launchd.GRAPHICAL
    loaded_in: str = ""


def look(platform: str) -> Seen:
    """Ask the manager of this machine. A manager that is not there, or another machine's, has said nothing."""
    if platform != sys.platform:
        return Seen()
    with contextlib.suppress(ServiceError):
        if platform == "darwin":
            loaded = [each for each in launchd.SESSIONS if show(("launchctl", "print", _agent_in(each)))[0] == 0]
            has_desktop = show(("launchctl", "print", _domain(launchd.GRAPHICAL)))[0] == 0
            return Seen("", launchd.GRAPHICAL if has_desktop else launchd.BACKGROUND, *loaded[:1])
        if platform == "linux":
            return Seen(unit_path=run(("systemctl", "--user", "show", "--property=UnitPath", "--value")).strip())
    return Seen()


def for_platform(
    platform: str, spec: Spec, environ: Mapping[str, str], socket_address: str = "", seen: Seen | None = None
) -> Manager:
    """The manager of `sys.platform`. `socket_address` asks for socket activation (systemd only)."""
    seen = seen or Seen()
    if platform == "darwin":
        return _launchd(spec, environ, seen)
    if platform == "win32":
        return _windows(spec, environ)
    return _systemd(spec, environ, socket_address, seen.unit_path)


def _systemd(spec: Spec, environ: Mapping[str, str], socket_address: str, unit_path: str) -> Manager:
    place, *other_places = _unit_places(environ, unit_path)
    service, socket = os.path.join(place, systemd.UNIT), os.path.join(place, systemd.SOCKET)
    files = {service: systemd.service(spec)} | ({socket: systemd.socket(socket_address)} if socket_address else {})
    control = ("systemctl", "--user")
    wanted = systemd.SOCKET if socket_address else systemd.UNIT
    # A socket that stays would start the service again; systemd starts none whose service runs.
    both = (systemd.SOCKET, systemd.UNIT)
    units = both if socket_address or os.path.exists(socket) else (systemd.UNIT,)
    off = tuple((*control, "disable", "--now", unit) for unit in both)
    paths = (socket, service)
    return Manager(
        name="systemd",
        files=files,
        prepare=off,
        install=((*control, "daemon-reload"), (*control, "enable", "--now", wanted)),
        uninstall=off,
        start=(*control, "start", *units),
        stop=(*control, "stop", *units),
        status=tuple((*control, "--no-pager", "status", unit) for unit in units),
        logs=("journalctl", "--user", "--no-pager", "-n", "100", "-u", systemd.UNIT),
        reload=((*control, "daemon-reload"),),
        forget=tuple((*control, "reset-failed", unit) for unit in both),  # a failed unit outlives its file
        revive=(*_revivals(control, paths, "is-enabled", "enable"), *_revivals(control, paths, "is-active", "start")),
        stale=(
            *(() if socket_address else (socket,)),
            *(os.path.join(other, name) for other in other_places for name in both),
        ),
        links=tuple(os.path.join(each, link) for each in (place, *other_places) for link in systemd.LINKS),
        stays=("loginctl", "show-user", spec.user, "--property=Linger", "--value"),
        stay=("loginctl", "enable-linger", spec.user),
    )


def _revivals(control: Command, paths: tuple[str, ...], was: str, again: str) -> tuple[Revival, ...]:
    named = ((path, os.path.basename(path)) for path in paths)
    return tuple(Revival(path, (*control, again, name), (*control, was, name)) for path, name in named)


def _unit_places(environ: Mapping[str, str], unit_path: str) -> list[str]:
    """Directories for a user's units; first the one in which the user's manager looks, which may have another
    XDG_CONFIG_HOME than this shell."""
    bases = [environ.get("XDG_CONFIG_HOME", ""), os.path.join(environ.get("HOME", ""), ".config")]
    places = [os.path.join(base, "systemd", "user") for base in dict.fromkeys(bases) if base]
    return sorted(places, key=lambda place: f" {place} " not in f" {unit_path} ")


def _launchd(spec: Spec, environ: Mapping[str, str], seen: Seen) -> Manager:
    path = os.path.join(environ.get("HOME", ""), "Library", "LaunchAgents", f"{launchd.LABEL}.plist")
    service = _agent_in(seen.loaded_in or seen.domain)
    load = {each: ("launchctl", "bootstrap", _domain(each), path) for each in launchd.SESSIONS}
    # It refuses to load what is loaded, in either domain.
    unload = tuple(("launchctl", "bootout", _agent_in(each)) for each in launchd.SESSIONS)
    return Manager(
        name="launchd",
        files={path: launchd.agent(spec, seen.domain)},
        prepare=(*unload, ("launchctl", "enable", _agent_in(seen.domain))),  # or what `launchctl disable` has switched off
        install=(load[seen.domain],),
        busy=launchd.STILL_UNLOADING,
        uninstall=unload,
        revive=tuple(Revival(path, load[each], ("launchctl", "print", _agent_in(each))) for each in launchd.SESSIONS),
        start=("launchctl", "kickstart", service),
        stop=("launchctl", "kill", "TERM", service),
        status=(("launchctl", "print", service),),
        logs=("tail", "-n", "100", spec.log),
    )


def _agent_in(domain: str) -> str:
    return f"{_domain(domain)}/{launchd.LABEL}"


def _domain(kind: str) -> str:
    return f"{kind}/{os.getuid() if hasattr(os, 'getuid') else 0}"


def _windows(spec: Spec, environ: Mapping[str, str]) -> Manager:
    path = os.path.join(environ.get("LOCALAPPDATA", ""), "relayd", "task.xml")
    return Manager(
        name="Task Scheduler",
        files={path: windows.task(spec)},
        install=(("schtasks", "/Create", "/F", "/TN", windows.TASK, "/XML", path), ("schtasks", "/Run", "/TN", windows.TASK)),
        uninstall=(("schtasks", "/End", "/TN", windows.TASK), ("schtasks", "/Delete", "/F", "/TN", windows.TASK)),
        start=("schtasks", "/Run", "/TN", windows.TASK),
        stop=("schtasks", "/End", "/TN", windows.TASK),
        status=(("schtasks", "/Query", "/V", "/FO", "LIST", "/TN", windows.TASK),),
        logs=("cmd", "/c", "type", spec.log),
        encoding="utf-16",
        revive=(Revival(path, ("schtasks", "/Create", "/F", "/TN", windows.TASK, "/XML", path)),),
    )


def is_there(manager: Manager) -> bool:
    """True if the system has this manager and it answers to this user."""
    if shutil.which(manager.install[0][0]) is None:
        return False
    if manager.name != "systemd":
        return True
    try:
        return show(("systemctl", "--user", "show-environment"))[0] == 0
    except ServiceError:
        return False


def ends_with_session(manager: Manager) -> bool:
    """True if the manager says that the service ends when its user logs out. A user who is not logged in has no linger."""
    if not manager.stays or shutil.which(manager.stays[0]) is None:
        return False
    try:
        return show(manager.stays)[1].strip() != "yes"
    except ServiceError:
        return False


def install(manager: Manager) -> list[str]:
    """Write the files and start the service; the files' paths. Raises ServiceError, with what was there before put back."""
    before = {path: _content(path) for path in (*manager.files, *manager.stale)}
    lived = [each for each in manager.revive if _lives(each, before)]
    try:
        _try((*manager.prepare, *manager.forget))
        for path, text in manager.files.items():
            _write(path, text.encode(manager.encoding))
        _remove(manager.stale)
        for command in manager.install:
            _patiently(command, manager.busy)
    except (ServiceError, OSError) as error:
        _restore(manager, before, lived)
        raise error if isinstance(error, ServiceError) else ServiceError(f"{error.filename}: {error.strerror}") from error
    return list(manager.files)


def _lives(revival: Revival, before: Mapping[str, bytes | None]) -> bool:
    if not revival.was:
        return before.get(revival.path) is not None
    try:
        return show(revival.was)[0] == 0
    except ServiceError:
        return False


def _restore(manager: Manager, before: Mapping[str, bytes | None], lived: Iterable[Revival]) -> None:
    """The files as they were, and the services that they were for. Best effort: the first error is the one to tell."""
    _try(manager.uninstall)
    for path, content in before.items():
        with contextlib.suppress(OSError):
            _remove((path,)) if content is None else _write(path, content)
    _try(manager.reload)
    _try(manager.forget)
    for each in lived:
        with contextlib.suppress(ServiceError):
            _patiently(each.again, manager.busy)


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
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, FILE_MODE)) as file:
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), FILE_MODE)
        file.write(data)


def _patiently(command: Command, busy: tuple[int, ...]) -> None:
    """Run a tool; again, for a while, if it says that the manager is still busy. Raises ServiceError."""
    deadline = time.monotonic() + BUSY_LIMIT_S
    while True:
        done = _done(command)
        if done.returncode not in busy or time.monotonic() >= deadline:
            _words_of(done, command)
            return
        time.sleep(BUSY_STEP_S)


def start(manager: Manager) -> str:
    """Start the service; what its manager says. Raises ServiceError.

    A daemon that could not start, woken by call after call, has used up its starts: systemd refuses the one after the mend, too.
    """
    _try(manager.forget)
    return run(manager.start)


def uninstall(manager: Manager) -> list[str]:
    """Stop the service and remove its files; those that were there. A service that is not installed is no error."""
    _try(manager.uninstall)
    removed = _remove((*manager.files, *manager.stale, *manager.links))
    _try(manager.reload)
    _try(manager.forget)
    return removed


def _try(commands: Iterable[Command]) -> None:
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
    return _words_of(_done(command), command)


def _words_of(done: subprocess.CompletedProcess[str], command: Command) -> str:
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
