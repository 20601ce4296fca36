"""A daemon on the siege's `claude`, in a process of its own, with a hook in it that records what is used, or throws.

The hook is driven by a file and SIGUSR1: `Agent` is the daemon's side, `Daemon` the test's.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import sys
import time
from collections import Counter
from types import FrameType
from typing import Any

from relayd.doctor.harness import Harness
from tests.siege.methods import Method, Recorder, Thrower

ROOT = pathlib.Path(__file__).parent.parent.parent
CLAUDE = pathlib.Path(__file__).with_name("claude.py")
PROGRAM = """
import runpy
from tests.siege.daemon import Agent
Agent({path!r}).install()
runpy.run_module("relayd.doctor.under_test", run_name="__main__", alter_sys=True)
"""
ACK_LIMIT_S = 5.0


class Agent:
    """In the daemon: does what the file says, and answers in another one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._hook: Recorder | Thrower | None = None

    def __repr__(self) -> str:
        return f"<Agent {self._hook!r}>"

    def install(self) -> None:
        """Wait for SIGUSR1."""
        signal.signal(signal.SIGUSR1, self._told)

    def _told(self, number: int, frame: FrameType | None) -> None:
        sys.setprofile(None)
        with open(self._path, encoding="utf-8") as file:
            order = json.load(file)
        answer: Any = None
        if order["do"] == "record":
            self._hook = Recorder()
        elif order["do"] == "throw":
            self._hook = Thrower(Method(*order["method"]), order["use"])
        elif isinstance(self._hook, Recorder):
            answer = [(m.file, m.name, m.line, count) for m, count in self._hook.uses.items()]
            self._hook = None
        elif isinstance(self._hook, Thrower):
            answer, self._hook = self._hook.has_thrown, None
        with open(f"{self._path}.new", "w", encoding="utf-8") as file:
            json.dump(answer, file)
        os.rename(f"{self._path}.new", f"{self._path}.{order['number']}")
        sys.setprofile(self._hook)


def claude_at(directory: pathlib.Path) -> str:
    """The siege's `claude` as a program there."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "claude"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {CLAUDE} "$@"\n')
    path.chmod(0o755)
    return str(path)


class Daemon:
    """The test's side: a harness whose daemon has the hook."""

    def __init__(self, root: pathlib.Path, **flags: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._orders = root / "orders"
        self._numbers = 0
        defaults = {"kept": 0, "typing": False, "refill_delay_s": 0, "term_limit_s": 0.3}
        program = ("-c", PROGRAM.format(path=str(self._orders)))
        self.harness = Harness(str(root), claude_at(root / "bin"), defaults | flags, program=program)
        self.harness.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])

    def __repr__(self) -> str:
        return f"<Daemon {self.harness!r}>"

    def __enter__(self) -> Daemon:
        self.harness.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.harness.__exit__()

    @property
    def lives(self) -> bool:
        """True while its process runs."""
        return self.harness.process is not None and self.harness.process.poll() is None

    def record(self) -> None:
        """Begin to count the uses of methods."""
        self._order(do="record")

    def throw(self, method: Method, use: int) -> None:
        """Throw from there at that use from now on."""
        self._order(do="throw", method=[method.file, method.name, method.line], use=use)

    def uses(self) -> Counter[Method]:
        """What was used since `record`."""
        return Counter({Method(*where): count for *where, count in self._order(do="report")})

    def has_thrown(self) -> bool:
        """True if the exception of `throw` has been thrown; the hook is off then."""
        return bool(self._order(do="report"))

    def _order(self, **order: Any) -> Any:
        self._numbers += 1
        answer = pathlib.Path(f"{self._orders}.{self._numbers}")
        self._orders.write_text(json.dumps(order | {"number": self._numbers}))
        os.kill(self.harness.pid, signal.SIGUSR1)
        deadline = time.monotonic() + ACK_LIMIT_S
        while time.monotonic() < deadline and self.lives:
            with contextlib.suppress(FileNotFoundError):
                value = json.loads(answer.read_text())
                answer.unlink()
                return value
            time.sleep(0.001)
        raise RuntimeError("the daemon does not take orders")

    # What it holds

    def fds(self) -> int:
        """How many fds the daemon has."""
        return len(os.listdir(f"/proc/{self.harness.pid}/fd"))

    def children(self) -> list[int]:
        """Pids of the daemon's processes, zombies too."""
        with open(f"/proc/{self.harness.pid}/task/{self.harness.pid}/children") as file:
            return [int(p) for p in file.read().split()]
