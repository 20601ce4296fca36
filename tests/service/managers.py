"""Service managers that refuse what the real ones refuse, as seen on systemd 252 and read in launchctl(1): in this process.

Each takes an argv and answers like its tool. What they were told changes what runs; `calls` a client as systemd would.
"""

from __future__ import annotations

import pathlib
import plistlib
import subprocess

STARTS_MAX = 2
BROKEN = "broken"  # a program with this in its command ends at once


def answer(command: tuple[str, ...], code: int = 0, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, code, "" if code else said, said if code else "")


class Systemctl:
    """`systemctl --user` over the unit files in a directory."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place = place
        self.active: set[str] = set()
        self.failed: set[str] = set()
        self.port_is_taken = False
        self.lingers = False
        self.starts = 0

    def __call__(self, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        match [word for word in command if not word.startswith("--") or word == "--now"]:
            case ["systemctl", "daemon-reload" | "show-environment"] | ["journalctl", *_]:
                return answer(command)
            case ["systemctl", "show"]:
                return answer(command, 0, f"/run/user/1/systemd/user {self.place} /etc/systemd/user\n")
            case ["systemctl", "enable", *words]:
                return self._enabled(command, words)
            case ["systemctl", "disable", "--now", unit]:
                return self._disabled(command, unit)
            case ["systemctl", ("start" | "stop" | "status" | "is-active" | "is-enabled" | "reset-failed") as verb, *units]:
                results = [getattr(self, f"_{verb.replace('-', '_')}")(unit) for unit in units]
                return answer(command, max(code for code, _ in results), "\n".join(said for _, said in results))
            case ["loginctl", "show-user", _]:
                return answer(
                    command, 0 if self.lingers else 1, "yes\n" if self.lingers else "User ID is not logged in or lingering"
                )
        raise AssertionError(command)

    def link(self, unit: str) -> pathlib.Path:
        return self.place / f"{'sockets' if unit.endswith('.socket') else 'default'}.target.wants" / unit

    def is_there(self, unit: str) -> bool:
        return (self.place / unit).exists()

    def is_loaded(self, unit: str) -> bool:
        return self.is_there(unit) or unit in self.active | self.failed

    def _enabled(self, command: tuple[str, ...], words: list[str]) -> subprocess.CompletedProcess[str]:
        unit = words[-1]
        if not self.is_there(unit):
            return answer(command, 1, f"Failed to enable unit: Unit file {unit} does not exist.")
        self.link(unit).parent.mkdir(exist_ok=True)
        self.link(unit).unlink(missing_ok=True)
        self.link(unit).symlink_to(self.place / unit)
        return answer(command, *(self._start(unit) if words[0] == "--now" else (0, "")))

    def _disabled(self, command: tuple[str, ...], unit: str) -> subprocess.CompletedProcess[str]:
        if not self.is_there(unit) and not self.link(unit).is_symlink():
            return answer(command, 1, f"Failed to disable unit: Unit file {unit} does not exist.")
        self.link(unit).unlink(missing_ok=True)
        return answer(command, *self._stop(unit))

    def _start(self, unit: str) -> tuple[int, str]:
        if unit in self.active:
            return 0, ""
        if not self.is_there(unit):
            return 5, f"Failed to start {unit}: Unit {unit} not found."
        if unit.endswith(".socket") and "relayd.service" in self.active:
            return 1, "Job failed."
        if self._is_too_often(unit) or self._fails(unit):
            self.failed.add(unit)
            return 1, f"Job for {unit} failed because the control process exited with error code."
        self.failed.discard(unit)
        self.active.add(unit)
        return 0, ""

    def _is_too_often(self, unit: str) -> bool:
        """The start limit, harder than systemd's five within ten seconds, but like it undone by `reset-failed`."""
        if unit.endswith(".service"):
            self.starts += 1
        return unit.endswith(".service") and self.starts > STARTS_MAX

    def _fails(self, unit: str) -> bool:
        is_given = unit.endswith(".service") and "relayd.socket" in self.active  # its socket has the port
        return BROKEN in (self.place / unit).read_text() or (self.port_is_taken and not is_given)

    def _stop(self, unit: str) -> tuple[int, str]:
        if not self.is_loaded(unit):
            return 5, f"Failed to stop {unit}: Unit {unit} not loaded."
        self.active.discard(unit)
        return 0, ""

    def _status(self, unit: str) -> tuple[int, str]:
        if not self.is_loaded(unit):
            return 4, f"Unit {unit} could not be found."
        return (0, "active") if unit in self.active else (3, "inactive")

    def _is_active(self, unit: str) -> tuple[int, str]:
        return (0, "active") if unit in self.active else (3, "inactive")

    def _is_enabled(self, unit: str) -> tuple[int, str]:
        return (0, "enabled") if self.is_there(unit) and self.link(unit).is_symlink() else (1, "disabled")

    def _reset_failed(self, unit: str) -> tuple[int, str]:
        if not self.is_loaded(unit):
            return 1, f"Failed to reset failed state of unit {unit}: Unit {unit} not loaded."
        self.failed.discard(unit)
        self.starts = 0
        return 0, ""

    def is_answered(self) -> bool:
        """A client calls: whether it is answered. An active socket starts its service."""
        if "relayd.socket" in self.active and "relayd.service" not in self.active:
            while self._start("relayd.service")[0]:
                if self.starts > STARTS_MAX:  # the connection waits, so it is tried again until that
                    self.active.discard("relayd.socket")
                    self.failed.add("relayd.socket")
                    break
        return "relayd.service" in self.active


class Launchctl:
    """launchctl(1) with the domains of one user."""

    def __init__(self, has_desktop: bool = True) -> None:
        self.domains = {"user", "gui"} if has_desktop else {"user"}
        self.loaded: dict[str, dict[str, object]] = {}  # by domain
        self.runs = False
        self.unloading = 0  # how many more times it says that it is busy
        self.disabled = False

    def __call__(self, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        verb, *rest = command[1:]
        kind = next(word for word in rest if "/" in word).partition("/")[0]
        if command[0] == "tail":
            return answer(command)
        if kind not in self.domains:
            return answer(command, 125, "Domain does not support specified action")
        if verb == "enable":
            self.disabled = False
            return answer(command)
        if verb == "bootstrap":
            return self._bootstrap(command, kind, pathlib.Path(rest[1]))
        if verb == "print" and rest[0].count("/") == 1:  # a domain
            return answer(command)
        if kind not in self.loaded:
            return answer(command, 113, "Could not find service in domain")
        if verb == "bootout":
            del self.loaded[kind]
            self.runs, self.unloading = False, 2
        elif verb == "kickstart":
            self.runs = BROKEN not in str(self.loaded[kind])
        elif verb == "kill":
            code, self.runs = (0 if self.runs else 3), False
            return answer(command, code, "No process to signal.")
        return answer(command, 0, f"state = {'running' if self.runs else 'not running'}")

    def _bootstrap(self, command: tuple[str, ...], kind: str, path: pathlib.Path) -> subprocess.CompletedProcess[str]:
        if self.unloading:
            self.unloading -= 1
            return answer(command, 37, "Bootstrap failed: 37: Operation already in progress")
        value = plistlib.loads(path.read_bytes())
        fits = value["LimitLoadToSessionType"] == {"gui": "Aqua", "user": "Background"}[kind]
        if kind in self.loaded or self.disabled or not fits:
            return answer(command, 5, "Bootstrap failed: 5: Input/output error")
        self.loaded[kind] = value
        self.runs = BROKEN not in str(value)
        return answer(command)
