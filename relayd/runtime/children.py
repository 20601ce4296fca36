"""The one reaper: `waitpid` per known pid, never for any child. Owns no terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from relayd.runtime.files import write_private
from relayd.runtime.orphans import identity, send

SIGNALS = {"TERM": signal.SIGTERM, "KILL": getattr(signal, "SIGKILL", signal.SIGTERM)}
END_LIMIT_S = 0.5  # a child that is killed ends within a millisecond, if the kernel does not hold it
LOOK_AGAIN_S = 0.001


def end(pid: int) -> None:
    """Kill and reap a child that no slot has, at once. It could not become a program, and is exiting, or hangs in its exec."""
    with contextlib.suppress(OSError):
        os.kill(pid, SIGNALS["KILL"])
        for _ in range(round(END_LIMIT_S / LOOK_AGAIN_S)):
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(LOOK_AGAIN_S)


class Children:
    """Pids that run, by slot."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Children {len(self._pids)}>"

    def add(self, slot: str, pid: int, record: str) -> None:
        """A child was started. `record` is the file that says who it is, for the sweep after a crash."""
        self._pids[slot] = pid
        with contextlib.suppress(OSError):
            write_private(record, identity(pid).encode())

    def reap(self) -> list[tuple[str, int]]:
        """(slot, status) of those that have ended since; the status is an exit code or minus a signal.

        Called for SIGCHLD, so never on Windows, where the terminal tells of a process's end.
        """
        ended = []
        for slot, pid in list(self._pids.items()):
            try:
                found, raw = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                found, raw = pid, 0
            if found:
                del self._pids[slot]
                ended.append((slot, os.waitstatus_to_exitcode(raw)))
        return ended

    def forget(self, slot: str) -> None:
        """Its end was seen in another way."""
        self._pids.pop(slot, None)

    def signal(self, slot: str, name: str) -> None:
        """Send a signal to the child's process group; its pid is ours until it is reaped."""
        pid = self._pids.get(slot)
        if pid is not None:
            send(pid, SIGNALS[name])
