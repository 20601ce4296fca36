"""A daemon in a process of its own, against a stand-in, in an isolated home: for tests, benchmarks and the doctor.

The daemon's environment is built from nothing. `with Harness(root, claude) as h: h.url`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from relayd.config import FIXED
from relayd.doctor import under_test
from relayd.doctor.isolation import Isolation
from relayd.doctor.standin import StandIn

READY = re.compile(r"listens on (http://\S+),")
START_LIMIT_S = 20.0
STOP_LIMIT_S = 30.0


@dataclass
class Harness:
    """`root` is an empty directory. `flags` are keys and fixed limits for the daemon, which no user can set in this way."""

    root: str
    claude: str
    flags: dict[str, object] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    onboarded: bool = True
    program: tuple[str, ...] = ("-m", under_test.__name__)
    api: StandIn = field(default_factory=StandIn)
    url: str = ""
    log: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    started_in_s: float = 0.0

    def __repr__(self) -> str:
        return f"<Harness {self.url} pid={self.pid}>"

    @property
    def pid(self) -> int:
        """The daemon's pid, 0 if it does not run."""
        return self.process.pid if self.process else 0

    @property
    def isolation(self) -> Isolation:
        """The isolated home of the daemon and its children."""
        return Isolation(self.root, self.api.url)

    @property
    def state_dir(self) -> str:
        """The daemon's state directory."""
        return f"{self.root}/state"

    def __enter__(self) -> Harness:
        self.api.start()
        self.isolation.prepare(self.onboarded)
        return self.start()

    def start(self) -> Harness:
        """Start the daemon and wait for its ready line."""
        environ = self.isolation.environment() | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        environ |= {"RELAYD_PORT": "0", "RELAYD_STATE_DIR": self.state_dir, "RELAYD_CLAUDE": self.claude}
        environ |= {f"RELAYD_{k.upper()}": str(v) for k, v in self.flags.items() if k not in FIXED} | self.environment
        environ[under_test.VARIABLE] = json.dumps({k: v for k, v in self.flags.items() if k in FIXED})
        command = [sys.executable, *self.program, "serve"]
        begun = time.monotonic()
        ready = threading.Event()
        self.process = subprocess.Popen(command, env=environ, cwd=self.root, stderr=subprocess.PIPE, text=True, errors="replace")
        threading.Thread(target=self._read, args=(self.process, ready), daemon=True).start()
        if not ready.wait(START_LIMIT_S) or not self.url:
            self.kill()
            raise RuntimeError("the daemon did not start:\n" + "\n".join(self.log))
        self.started_in_s = time.monotonic() - begun
        return self

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.log.append(line.rstrip())
                found = READY.search(line)
                if found:
                    self.url = found[1]
                    ready.set()
        ready.set()

    def stop(self) -> int:
        """Ask the daemon to end; its exit code."""
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_LIMIT_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the daemon at once, without a chance to tidy up."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()
            self.process = None

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self.api.stop()
