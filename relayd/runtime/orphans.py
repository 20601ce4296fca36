"""After a crash: end the processes of the run before, and delete what it has left. Runs once, before the loop.

A process is ours only if its recorded birth fits, because pids are used again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time

GRACE_S = 2.0
STEP_S = 0.02


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
    with contextlib.suppress(OSError):  # Windows has no `ps`: there nothing is swept
        return subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return ""


def sweep(slots_dir: str, project_dir: str, record_name: str) -> int:
    """End recorded processes that still run and delete all slot files. Returns how many processes were ended."""
    pids = []
    with contextlib.suppress(OSError):
        for name in os.listdir(slots_dir):
            pid = _running(f"{slots_dir}/{name}/{record_name}")
            if pid:
                pids.append(pid)
    _end(pids)
    shutil.rmtree(slots_dir, ignore_errors=True)
    shutil.rmtree(project_dir, ignore_errors=True)
    return len(pids)


def _running(record: str) -> int:
    try:
        with open(record, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return 0
    digits, _, born = text.partition(" ")
    if not digits.isdecimal() or not born or birth(int(digits)) != born:
        return 0
    return int(digits)


def _end(pids: list[int]) -> None:
    """TERM, a short grace, KILL. They are not our children, so there is nothing to reap."""
    for pid in pids:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while any(birth(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(STEP_S)
    for pid in pids:
        _send(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        (os.killpg if hasattr(os, "killpg") else os.kill)(pid, number)
