"""The log: one line a record, whatever it holds; written without waiting, whoever reads it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from relayd.doctor.harness import Harness
from relayd.runtime import logs
from relayd.runtime.logs import HumanFormatter, JsonFormatter, Log, StderrHandler, open_log
from tests.helpers import ask, post, text_of, until


class Pipe:
    """A pipe in the place of standard error."""

    def __init__(self) -> None:
        self.out, self.fd = os.pipe()

    def fill(self) -> None:
        """Leave no room in it."""
        os.set_blocking(self.fd, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.fd, b"." * 4096)
        os.set_blocking(self.fd, True)

    def read(self) -> str:
        """All that is in it."""
        os.set_blocking(self.out, False)
        data = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.out, 65536):
                data += piece
        return data.decode()

    def close(self) -> None:
        for fd in (self.out, self.fd):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def log_to(pipe: Pipe, form: str = "human", has_priorities: bool = False) -> Log:
    handler = StderrHandler(pipe.fd, has_priorities)
    handler.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    return Log("info", handler)


HOSTILE = "m\nerror: forged\x1b]0;pwned\x07\u202e\ud800"


def test_a_record_is_one_line_for_people(pipe: Pipe) -> None:
    """`"model": "x\\nerror: forged…"` wrote a line of its own into the log, and escapes to the terminal."""
    log = log_to(pipe)
    log("info", f"call of {HOSTILE}", {"model": HOSTILE, "status": 200})
    log("debug", "below the level")
    log("error", "x" * 1_000_000)
    first, second, end = pipe.read().split("\n")
    shown = "m\\nerror: forged\\x1b]0;pwned\\x07\\u202e\\ud800"
    assert first == f"info: call of {shown} model={shown} status=200"
    assert (second[:10], len(second) < 2 * logs.TEXT_MAX_CHARS, end) == ("error: xxx", True, "")


def test_a_record_is_one_object_for_programs(pipe: Pipe) -> None:
    log = log_to(pipe, "json")
    log("warning", HOSTILE, {"model": HOSTILE, "number": 1 << 70, "odd": {1, 2}.__class__})
    (line,) = pipe.read().splitlines()
    assert line.isprintable()
    value = json.loads(line)
    assert set(value) == {"at", "level", "message", "model", "number", "odd"}
    assert (value["level"], value["message"], value["number"]) == ("warning", HOSTILE, 1 << 70)


def test_the_journal_is_told_priorities(pipe: Pipe) -> None:
    info = os.fstat(pipe.fd)
    assert logs.is_journal(pipe.fd, {"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"})
    assert not logs.is_journal(pipe.fd, {"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino + 1}"})
    assert not logs.is_journal(pipe.fd, {})
    log = log_to(pipe, has_priorities=True)
    for level in ("error", "warning", "info"):
        log(level, "text")
    assert pipe.read() == "<3>error: text\n<4>warning: text\n<6>info: text\n"


def test_a_full_pipe_is_not_waited_for_and_what_is_lost_is_told(pipe: Pipe) -> None:
    log = log_to(pipe)
    pipe.fill()
    begun = time.monotonic()
    for number in range(30_000):
        log("info", f"line {number:09} " + "." * 80)
    assert time.monotonic() - begun < 10
    assert log.drain() == logs.RETRY_S
    assert log._handler._size <= logs.QUEUE_MAX_BYTES
    seen = ""
    while log.drain() is not None or not seen.endswith("\n"):
        seen += pipe.read()
    lines = (seen + pipe.read()).lstrip(".").splitlines()
    assert [int(line.split()[2]) for line in lines[:-1]] == list(range(len(lines) - 1))
    assert lines[-1] == f"warning: {logs.LOST} lines={30_000 - len(lines) + 1}"
    log("info", "after")
    assert pipe.read() == "info: after\n"


def test_a_terminal_that_was_stopped_is_not_waited_for_and_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made non-blocking itself, it would be so for the shell, too."""
    out, given = os.openpty()
    with open(given, "w", encoding="ascii") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        fd = logs.standard_error()
        assert (os.get_blocking(given), os.get_blocking(fd)) == (True, False)
        handler = StderrHandler(fd, False)
        handler.setFormatter(HumanFormatter())
        log = Log("info", handler)
        for _ in range(2000):
            log("info", "x" * 100)
        assert log.drain() == logs.RETRY_S
        while log.drain() is not None:
            os.read(out, 65536)
        os.close(out)
        log("info", "nobody is there any more")
        assert log.drain() is None
        os.close(fd)


def test_the_end_waits_for_a_slow_reader_but_not_for_ever(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FLUSH_LIMIT_S", 0.2)
    log = log_to(pipe)
    pipe.fill()
    log("info", "last words")
    begun = time.monotonic()
    log.close()
    assert 0.2 <= time.monotonic() - begun < 2


def test_a_reader_that_is_gone_costs_nothing(pipe: Pipe) -> None:
    log = log_to(pipe)
    os.close(pipe.out)
    for _ in range(3):
        log("info", "to nobody")
    assert log.drain() is None
    closed = StderrHandler(-1, False)
    closed.setFormatter(HumanFormatter())
    Log("info", closed)("info", "to nothing")


def test_a_log_that_nobody_reads_does_not_stop_the_daemon(tmp_path: pathlib.Path, fake_claude: str, pipe: Pipe) -> None:
    """`print` to a pipe that was full stopped the loop, and with it every call."""
    harness = Harness(str(tmp_path), fake_claude, {"idle": 0, "typing": False, "kept": 0})
    harness.isolation.prepare()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = harness.isolation.environment() | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    environ |= {"RELAYD_STATE_DIR": harness.state_dir, "RELAYD_CLAUDE": fake_claude, "RELAYD_PORT": str(port)}
    environ |= {"RELAYD_LOG_LEVEL": "debug", "RELAYD_IDLE": "0", "RELAYD_TYPING": "false", "RELAYD_KEPT": "0"}
    pipe.fill()
    with subprocess.Popen([sys.executable, "-m", "relayd", "serve"], env=environ, cwd=tmp_path, stderr=pipe.fd) as process:
        try:
            until(lambda: _listens(port))
            for _ in range(3):
                assert text_of(post(f"http://127.0.0.1:{port}", ask("echo on"))[2]) == "on"
            assert set(pipe.read()) == {"."}
            until(lambda: "info: call" in pipe.read())  # it comes as soon as somebody reads, without another line
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def test_what_a_call_says_forges_no_line(daemon: Callable[..., Harness]) -> None:
    harness = daemon()
    post(harness.url, ask("echo x", model="m\nerror: forged\x1b[31m"))
    post(harness.url, ask("echo x"))
    until(lambda: any(line.startswith("info: call") for line in harness.log))
    assert not [line for line in harness.log if line.startswith("error: forged") or not line.isprintable()]


def test_a_file_takes_the_log_and_stays_within_its_size(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Task Scheduler gives a program no standard error: its log went nowhere."""
    monkeypatch.setattr(logs, "FILE_MAX_BYTES", 1000)
    file, aside = tmp_path / "relayd.log", tmp_path / "relayd.log.1"
    file.write_text("of an earlier run\n")
    log = open_log("info", "human", {}, str(file))
    for number in range(100):
        log("info", f"line {number:03} {'x' * 20}")
    log.close()
    assert file.stat().st_mode & 0o777 in (0o600, 0o644)  # the second: as it was
    assert max(file.stat().st_size, aside.stat().st_size) <= 1000
    lines = (aside.read_text() + file.read_text()).splitlines()
    assert lines[-1].startswith("info: line 099")
    assert [int(line.split()[2]) for line in lines] == list(range(100 - len(lines), 100))


def test_a_log_that_cannot_be_set_aside_goes_on_in_its_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows nobody can rename a file that somebody reads."""
    monkeypatch.setattr(logs, "FILE_MAX_BYTES", 1000)
    (tmp_path / "relayd.log.1").mkdir()  # as good as any other refusal
    log = open_log("info", "human", {}, str(tmp_path / "relayd.log"))
    for number in range(100):
        log("info", f"line {number:03} {'x' * 20}")
    log.close()
    assert len((tmp_path / "relayd.log").read_text().splitlines()) == 100


def test_a_daemon_that_cannot_start_says_so_in_its_log(tmp_path: pathlib.Path, fake_claude: str) -> None:
    file = tmp_path / "relayd.log"
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "relayd", "serve", "--claude", fake_claude, "--port", port, "--log-file", str(file)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "cannot listen on" in file.read_text()) == (111, True)
    command[-1] = str(tmp_path / "none" / "relayd.log")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "relayd.log: No such file" in done.stderr) == (111, True)
