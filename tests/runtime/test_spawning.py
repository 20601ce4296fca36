"""Starting a process: whatever goes wrong, the error is the daemon's to handle and no copy of the daemon lives on."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from relayd.runtime import command

ROOT = pathlib.Path(__file__).parents[2]
# Tries to start a process in a daemon of its own, and writes down each process that comes back from trying.
SPAWNER = """
import json, os, pathlib, sys
import psutil
from relayd.runtime import pty_posix
from relayd.runtime.loop import Loop

case, back = sys.argv[1], pathlib.Path(sys.argv[2])
argv, env, cwd = ["/bin/true"], {"PATH": "/usr/bin:/bin"}, str(back)
program = back / "program"
program.touch(0o755)
if case == "a NUL in argv": argv.append("model\\0name")
if case == "a NUL in the environment": env["MODEL"] = "model\\0name"
if case == "a NUL in a name": env["MO\\0DEL"] = "x"
if case == "a name with =": env["MO=DEL"] = "x"
if case == "a lone surrogate": argv.append("\\ud800")
if case == "one argument too big": argv.append("x" * 200_000)
if case == "all too big": argv += ["x" * 100_000] * 200
if case == "one variable too big": env["X"] = "x" * 200_000
if case == "no such program": argv = ["/nonexistent/claude"]
if case == "a directory": argv = ["/etc"]
if case == "not executable": argv = ["/etc/passwd"]
if case == "not executable, seen late": argv, pty_posix.ptyprocess.ptyprocess.which = ["/etc/passwd"], lambda command: command
if case == "gone, seen late": argv, pty_posix.ptyprocess.ptyprocess.which = ["/nonexistent"], lambda command: command
if case == "no program yet": argv = [str(program)]
if case == "an interpreter that is not there": program.write_text("#!/nowhere\\n"); argv = [str(program)]
if case == "directory gone": cwd = "/nonexistent"
if case == "the last steps fail": pty_posix._leave_the_daemon = lambda: 1 / 0
if case == "the last steps are interrupted": pty_posix._leave_the_daemon = lambda: sys.exit(0)
if case == "stopped before its exec":
    pty_posix.EXEC_LIMIT_S, pty_posix._leave_the_daemon = 0.2, lambda: os.kill(os.getpid(), 19)
if case == "a step before fails in the child":
    here, close = os.getpid(), os.closerange
    def broken(low, high):
        if os.getpid() != here: raise MemoryError
        close(low, high)
    pty_posix.ptyprocess.ptyprocess.os.closerange = broken
fds = os.listdir("/proc/self/fd")
loop = Loop(lambda key, now: None, lambda number, now: None)
fds = os.listdir("/proc/self/fd")
try:
    pty_posix.Pty(loop, 4096, lambda data: None, lambda: None).spawn(argv, env, cwd, 24, 80)
    error = ""
except BaseException as caught:
    error = type(caught).__name__
(back / f"back-{os.getpid()}").touch()
children = [c.pid for c in psutil.Process().children()]
print(json.dumps([error, children, os.listdir("/proc/self/fd") == fds]), flush=True)
"""
REFUSED = ("a NUL in argv", "a NUL in the environment", "a NUL in a name", "a name with =", "a lone surrogate")
FAILS = (
    *("one argument too big", "all too big", "one variable too big", "no such program", "a directory", "not executable"),
    *("not executable, seen late", "gone, seen late", "no program yet", "an interpreter that is not there", "directory gone"),
    *("the last steps fail", "the last steps are interrupted"),
)


def spawned(case: str, place: pathlib.Path) -> tuple[str, list[int], bool, int]:
    """The error, the children left, whether all fds are back, and how many processes came back from the start."""
    env = {"PYTHONPATH": os.pathsep.join(p for p in [str(ROOT), *sys.path] if p), "PATH": "/usr/bin:/bin"}
    run = [sys.executable, "-c", SPAWNER, case, str(place)]
    done = subprocess.run(run, env=env, capture_output=True, text=True, check=True, timeout=60)
    error, children, same_fds = json.loads(done.stdout)
    return error, children, same_fds, len(list(place.glob("back-*")))


@pytest.mark.parametrize("case", [*REFUSED, *FAILS])
def test_a_start_that_fails_is_an_error_here_and_leaves_nothing(case: str, tmp_path: pathlib.Path) -> None:
    """A NUL in `model` became argv: `exec` raised ValueError in the forked child, which ptyprocess does not report, so the
    child went on as a second daemon and removed the directories of live processes."""
    error, children, same_fds, came_back = spawned(case, tmp_path)
    assert came_back == 1, "a copy of the daemon lives on"
    assert error, "nobody was told"
    assert (error == "ValueError") == (case in REFUSED)
    assert children == []
    assert same_fds


def test_a_child_that_fails_before_its_last_steps_ends_and_is_no_daemon(tmp_path: pathlib.Path) -> None:
    """ptyprocess reports nothing of what fails before `preexec_fn`: the process then looks started, and ends at once."""
    error, children, _, came_back = spawned("a step before fails in the child", tmp_path)
    assert (error, len(children), came_back) == ("", 1, 1)


def test_a_child_that_is_stopped_before_its_exec_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    """A signal stopped it between fork and exec, by chance, in a run of faults: ptyprocess waited for it, and the whole daemon
    with it, for as long as it was stopped. A disk that does not answer would do the same.
    """
    assert spawned("stopped before its exec", tmp_path) == ("TimeoutError", [], True, 1)


def test_what_a_program_can_be_given_passes() -> None:
    command.check(["/bin/true", "ü", "", "x" * 100_000], {"A": "", "B": "=\n"})
