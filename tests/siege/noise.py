"""What an operator's machine does to a daemon: signals, processes killed from outside, a file that cannot be read or written."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal

from relayd.doctor import client
from tests.siege.tally import Tally

RECORDS = "recent-calls.jsonl"


class Noise:
    """`pid` is the daemon's. Processes that are killed wait at their gate: nobody's call is lost by that."""

    def __init__(self, url: str, pid: int, state: str, chance: random.Random, tally: Tally) -> None:
        self._url, self._pid, self._chance, self._tally = url, pid, chance, tally
        self._records = pathlib.Path(state, RECORDS)

    def __repr__(self) -> str:
        return f"<Noise {self._pid}>"

    def once(self) -> None:
        """One disturbance."""
        kind = self._chance.choice((self._hang_up, self._kill, self._kill, self._spoil_records))
        with contextlib.suppress(OSError, ValueError, KeyError, RuntimeError):
            kind()
            self._tally.count("operator noise", kind.__name__.strip("_"))

    def end(self) -> None:
        """Leave the files as they should be."""
        if self._records.is_dir():
            shutil.rmtree(self._records)

    def _hang_up(self) -> None:
        os.kill(self._pid, signal.SIGHUP)

    def _kill(self) -> None:
        slots = json.loads(client.get(self._url, "/v1/status", 5.0).body)["slots"]
        waiting = [int(s["pid"]) for s in slots if s["state"] == "waiting" and s["pid"]]
        if waiting:
            os.kill(self._chance.choice(waiting), self._chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)))

    def _spoil_records(self) -> None:
        """A directory where the file was (root may read and write everything else), or a torn file; then back."""
        if self._records.is_dir():
            self.end()
        elif self._chance.random() < 0.5:
            self._records.unlink(missing_ok=True)
            self._records.mkdir()
        else:
            self._records.write_bytes(b'{"torn": ')
