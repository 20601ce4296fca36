"""After a crash: end the processes of the run before, and delete what it has left. Runs once, before the loop.

A process is ours only if its recorded birth fits, because pids are used again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relayd.runtime.files import remove_in_order
from relayd.runtime.system import HAS_OWNERS

GRACE_S = 2.0  # between TERM and KILL, for all together
STEP_S = 0.02
LOOK_LIMIT_S = 5.0  # for `ps`, where there is no /proc
RECORD_MAX_BYTES = 4096
# struct proc_bsdinfo of libproc.h: its last two fields are the start in seconds and microseconds.
PROC_PIDTBSDINFO, BSDINFO_BYTES, BSDINFO_BORN_OFFSET = 3, 136, 120
SENDERS = (*([os.killpg] if hasattr(os, "killpg") else []), os.kill)  # the whole process group where there is one
SESSION_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def send(pid: int, number: int) -> None:
    """Signal the process group of a session's first process; that process alone where the group is refused.

    macOS says EPERM for a group in which a process is dead and not yet reaped.
    """
    for sender in SENDERS:
        try:
            sender(pid, number)
            return
        except OSError:
            continue


@dataclass(frozen=True)
class Orphan:
    """A process that an earlier daemon has left: its pid, and its birth, since pids are used again."""

    pid: int
    born: str

    @property
    def lives(self) -> bool:
        """True if that very process still runs."""
        return birth(self.pid) == self.born

    def send(self, number: int) -> None:
        """Signal its group, if the process is still the one that was recorded. It is not our child: nothing to reap."""
        if self.lives:
            send(self.pid, number)


def identity(pid: int) -> str:
    """A text that names this very process: its pid and its birth. Empty birth if it does not run."""
    return f"{pid} {birth(pid)}"


def birth(pid: int) -> str:
    """When a process was born, in the system's own terms; empty if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        if os.path.isdir("/proc/self"):
            return ""
    if not HAS_OWNERS:  # Windows has no `ps`, or one that does not know this: there no process is swept
        return ""
    found = _birth_macos(pid) if sys.platform == "darwin" else None
    return _birth_by_ps(pid) if found is None else found


def _birth_macos(pid: int) -> str | None:
    """By libproc, as `ps` has it, without a process of its own; None where libproc does not say."""
    ask = getattr(ctypes.CDLL(None), "proc_pidinfo", None)
    info = ctypes.create_string_buffer(BSDINFO_BYTES)
    size = ask(pid, PROC_PIDTBSDINFO, ctypes.c_uint64(0), info, BSDINFO_BYTES) if ask else -1
    if size not in (0, BSDINFO_BYTES):  # 0: there is no such process
        return None
    seconds, microseconds = struct.unpack_from("=QQ", info.raw, BSDINFO_BORN_OFFSET)
    return f"{seconds}.{microseconds:06}" if size else ""


def _birth_by_ps(pid: int) -> str:
    """Its words depend on language and time zone, which a service and a terminal may have different: both are fixed."""
    look = ["ps", "-o", "lstart=", "-p", str(pid)]
    environ = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(look, env=environ, capture_output=True, text=True, check=False, timeout=LOOK_LIMIT_S)
        return done.stdout.strip()
    return ""


def sweep(slots_dir: str, record_name: str, sessions_name: str, owned: Callable[[str], Sequence[str]]) -> int:
    """End recorded processes that still run; delete what they and their sessions have left. Returns how many were ended.

    `owned` gives the files of a session. Files of sessions that no slot has recorded are somebody else's.
    """
    try:
        slots = [f"{slots_dir}/{name}" for name in os.listdir(slots_dir)]
    except OSError:
        return 0
    orphans = [found for slot in slots if (found := _orphan(f"{slot}/{record_name}"))]
    _end(orphans)
    for slot in slots:
        sessions = [os.path.basename(slot), *_text(f"{slot}/{sessions_name}").split()]
        ours = [path for each in sessions if SESSION_ID.fullmatch(each) for path in owned(each)]
        remove_in_order([*ours, slot])
    with contextlib.suppress(OSError):
        os.rmdir(slots_dir)
    return len(orphans)


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(RECORD_MAX_BYTES).decode("ascii", "replace")
    except OSError:
        return ""


def _orphan(record: str) -> Orphan | None:
    digits, _, born = _text(record).partition(" ")
    if not (digits.isascii() and digits.isdecimal() and born):
        return None
    found = Orphan(int(digits), born)
    return found if found.lives else None


def _end(orphans: list[Orphan]) -> None:
    """TERM, a short grace, KILL for those that are still there."""
    for orphan in orphans:
        orphan.send(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while any(orphan.lives for orphan in orphans) and time.monotonic() < deadline:
        time.sleep(STEP_S)
    for orphan in orphans:
        orphan.send(getattr(signal, "SIGKILL", signal.SIGTERM))
