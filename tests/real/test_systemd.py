"""A service's whole life under a real systemd, with the real Claude Code: what its manual says is seen, not believed.

Each test begins with an installation as a user makes it, in a box that has a systemd of its own (`tests/systemd_box.py`). Times
are systemd's (a restart after 2 s, the watchdog) or limits for hung tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests import systemd_box
from tests.helpers import ask, read_answer, request_bytes, text_of, until
from tests.systemd_box import HOME, Box

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(systemd_box.missing()), reason=systemd_box.missing() or "-")]
ROOT = pathlib.Path(__file__).parents[2]
PYTHON = f"{systemd_box.CHECKOUT}/.venv/bin/python"
PORT = 7421
API_PORT = 7999
UNITS = f"{HOME}/.config/systemd/user"
DROP_IN = f"{UNITS}/relayd.service.d/test.conf"
CONFIG = f"""{HOME}/a "quoted" $HOME %h/relayd.toml"""
ODD = "$HOME%h 'a' \\\"b\\\""  # in a variable of the shell
WATCHDOG_S = 5
HUNG_S = 60.0
STAND_IN = f"""
import threading
from relayd.doctor.standin import StandIn
StandIn(port={API_PORT}).start()
threading.Event().wait()
"""
PREPARE = f"""
import json
from relayd.doctor.isolation import Isolation
print(json.dumps(Isolation("{HOME}/account", "http://127.0.0.1:{API_PORT}").prepare().environment()))
"""


class Anna:
    """The user of the box: her commands, her daemon, her calls."""

    def __init__(self, box: Box) -> None:
        self.box = box
        account = json.loads(self._said(PYTHON, "-c", PREPARE))
        self.secret = account.pop("ANTHROPIC_API_KEY")
        self.shell = {name: account[name] for name in ("CLAUDE_CONFIG_DIR", "ANTHROPIC_BASE_URL")}
        self.shell |= {"RELAYD_CLAUDE": systemd_box.CLAUDE, "AWS_PROFILE": ODD, "ANTHROPIC_API_KEY": self.secret}
        self._said(
            "systemd-run", "--user", "--unit=standin", f"--setenv=PYTHONPATH={systemd_box.CHECKOUT}", PYTHON, "-c", STAND_IN
        )
        self.write(CONFIG, "idle = 0\n")
        self.write(DROP_IN, f"[Service]\nEnvironment=ANTHROPIC_API_KEY={self.secret}\nWatchdogSec={WATCHDOG_S}\n")

    def write(self, path: str, text: str) -> None:
        self._said("mkdir", "-p", os.path.dirname(path))
        self.box.path(path).write_text(text)

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.box.user(*command, PYTHONPATH=systemd_box.CHECKOUT, **environ)

    def _said(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def relayd(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.run(PYTHON, "-m", "relayd", *arguments, **(self.shell | environ))

    def install(self, *flags: str) -> str:
        done = self.relayd("service", "install", "--config", CONFIG, *flags)
        assert done.returncode == 0, (done.stderr, self.relayd("service", "logs").stdout)
        return done.stdout

    def systemctl(self, *words: str) -> str:
        return self.run("systemctl", "--user", *words).stdout.strip()

    @property
    def daemon(self) -> int:
        """The daemon's pid in the box, 0 if it does not run."""
        return int(self.systemctl("show", "--property=MainPID", "--value", "relayd.service"))

    def kill(self, name: str, pid: int) -> None:
        assert self.box.root("kill", f"-{name}", str(pid)).returncode == 0

    def processes(self) -> dict[str, str]:
        """The user's processes of relayd and Claude Code: command lines by pid."""
        lines = self.box.root("ps", "-u", systemd_box.USER, "-o", "pid=,args=").stdout.splitlines()
        found = dict(line.split(maxsplit=1) for line in lines)
        return {pid: args for pid, args in found.items() if "relayd serve" in args or args.startswith(systemd_box.CLAUDE)}

    def begin(self, text: str, **fields: object) -> socket.socket:
        sock = self.box.connect(PORT)
        sock.sendall(request_bytes(f"http://127.0.0.1:{PORT}", ask(text, **fields)))
        return sock

    def call(self, text: str) -> str:
        """The answer's text."""
        with self.begin(f"[[say {text}]]") as sock:
            status, _, body = read_answer(sock)
        assert status == 200, (body, self.relayd("service", "logs").stdout)
        return text_of(body)

    def slots(self) -> list[dict[str, str]]:
        return list(json.loads(self.relayd("status", "--json").stdout)["slots"])

    def is_up(self) -> bool:
        """Ask what costs no process of Claude Code's."""
        with self.box.connect(PORT) as sock:
            sock.sendall(f"GET /v1/health HTTP/1.1\r\nhost: 127.0.0.1:{PORT}\r\n\r\n".encode())
            return read_answer(sock)[0] == 200

    def logs(self) -> str:
        return self.relayd("service", "logs").stdout

    def assert_nothing_left(self) -> None:
        found = self.run("find", f"{HOME}/.config", f"{HOME}/.local", "-name", "relayd.*", "!", "-name", "*.d").stdout
        assert found == ""
        assert self.systemctl("list-units", "--all", "--plain", "--no-legend", "relayd*") == ""
        assert self.processes() == {}
        assert self.run("find", f"{HOME}/.local/state/relayd/slots", "-mindepth", "1").stdout == ""
        with pytest.raises(ConnectionRefusedError):
            self.begin("hello")


@pytest.fixture(scope="module")
def anna(claude: str) -> Iterator[Anna]:
    with Box(ROOT, claude) as box:
        yield Anna(box)


@pytest.fixture
def installed(anna: Anna) -> Iterator[Anna]:
    """The service, installed and running; removed at the end, with nothing left."""
    anna.install()
    yield anna
    assert anna.relayd("service", "uninstall").returncode == 0
    anna.assert_nothing_left()


def test_what_the_service_is_given_and_what_reaches_claude(installed: Anna) -> None:
    """Paths and variables with blanks, quotes, `$` and `%` as they are; the manager's own variables stay with the daemon."""
    assert installed.call("hello") == "hello"
    unit = installed.box.path(f"{UNITS}/relayd.service")
    assert unit.stat().st_mode & 0o777 == 0o600
    assert installed.secret not in unit.read_text()
    pid = installed.daemon
    arguments = installed.box.path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert CONFIG.encode() in arguments
    environ = installed.box.path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert f"AWS_PROFILE={ODD}".encode() in environ
    assert "NoNewPrivs:\t1" in installed.box.path(f"/proc/{pid}/status").read_text()
    claudes = [pid for pid, args in installed.processes().items() if args.startswith(systemd_box.CLAUDE)]
    assert claudes
    names = {v.partition(b"=")[0] for v in installed.box.path(f"/proc/{claudes[0]}/environ").read_bytes().split(b"\0")}
    assert b"AWS_PROFILE" in names
    assert not names & {b"NOTIFY_SOCKET", b"WATCHDOG_USEC", b"LISTEN_FDS", b"JOURNAL_STREAM", b"INVOCATION_ID", b"PYTHONPATH"}


def test_reload_takes_what_is_right_and_keeps_what_was_where_it_is_wrong(installed: Anna) -> None:
    anna, pid = installed, installed.daemon
    before = anna.box.path(CONFIG).read_text()
    anna.write(CONFIG, before + "strict = true\n")
    assert anna.run("systemctl", "--user", "reload", "relayd.service").returncode == 0
    until(lambda: "the configuration was read anew" in anna.logs())
    with anna.begin("[[say x]]", service_tier="auto") as sock:
        assert read_answer(sock)[0] == 400
    anna.write(CONFIG, "nonsense = 1\n")
    anna.systemctl("reload", "relayd.service")
    until(lambda: f"the configuration stays as it was: {CONFIG}: unknown key nonsense" in anna.logs())
    assert anna.daemon == pid
    assert anna.relayd("service", "status", "--config", CONFIG).returncode == 0
    assert anna.relayd("service", "stop", "--config", CONFIG).returncode == 0
    assert anna.relayd("service", "status").returncode == 3
    assert anna.relayd("service", "start", "--config", CONFIG).returncode == 100
    assert anna.relayd("service", "start").returncode == 111  # the unit names the file
    assert "status=100" in anna.systemctl("status", "--no-pager", "relayd.service")
    assert anna.systemctl("show", "--property=NRestarts", "--value", "relayd.service") == "0"
    anna.write(CONFIG, before)
    assert anna.relayd("service", "start").returncode == 0


@pytest.mark.parametrize("socket_activated", [False, True])
def test_a_daemon_that_is_killed_under_a_call_comes_back_and_leaves_no_process(anna: Anna, socket_activated: bool) -> None:
    """With a socket of systemd's, the next call waits for the new daemon; without one it is refused until that is there."""
    anna.install(*(["--socket"] if socket_activated else []))
    assert bool(anna.daemon) != socket_activated, "the first call starts it"
    assert anna.call("one") == "one"
    pid, claudes = anna.daemon, set(anna.processes())
    with anna.begin("[[slow 1]][[pieces 1]][[say a long answer]]", stream=True) as sock:
        assert sock.recv(1)
        anna.kill("KILL", pid)
        while sock.recv(65536):
            pass
        assert b"message_stop" not in sock.recv(1), "the call ends with its connection"
        if socket_activated:
            assert anna.call("two") == "two"
        else:
            until(lambda: anna.daemon not in (0, pid) and anna.systemctl("is-active", "relayd.service") == "active", HUNG_S)
            assert anna.call("two") == "two"
    assert not claudes & set(anna.processes())
    assert anna.relayd("service", "stop").returncode == 0
    with pytest.raises(ConnectionRefusedError):
        anna.begin("hello")
    assert anna.relayd("service", "uninstall").returncode == 0
    anna.assert_nothing_left()


def test_a_daemon_that_stands_still_is_ended_by_the_watchdog(installed: Anna) -> None:
    pid = installed.daemon
    installed.kill("STOP", pid)
    until(lambda: installed.daemon not in (0, pid) and installed.systemctl("is-active", "relayd.service") == "active", HUNG_S)
    assert "Watchdog timeout" in installed.logs()
    assert installed.is_up()


def test_a_stop_lets_a_running_call_end_and_a_second_installation_takes_over(installed: Anna) -> None:
    """`install --socket` over a running service deleted the service; so did each installation that failed."""
    with installed.begin("[[wait 2]][[say to the end]]") as sock:
        until(lambda: {"starting", "running"} & {slot["state"] for slot in installed.slots()})
        assert installed.relayd("service", "stop").returncode == 0
        status, _, body = read_answer(sock)
    assert (status, text_of(body)) == (200, "to the end")
    assert installed.systemctl("show", "--property=Result", "--value", "relayd.service") == "success"
    installed.install()
    installed.install("--socket")
    assert installed.systemctl("is-active", "relayd.socket", "relayd.service").split() == ["active", "inactive"]
    assert installed.is_up(), "the first connection starts it"
    installed.install()
    assert installed.systemctl("is-active", "relayd.socket", "relayd.service").split() == ["inactive", "active"]
    assert installed.is_up()


def test_a_socket_whose_daemon_cannot_start_gives_up_and_comes_back_with_the_mend(anna: Anna) -> None:
    """systemd starts the daemon again for the call that waits, five times; then it refused the start after the mend, too."""
    anna.install("--socket")
    good = anna.box.path(CONFIG).read_text()
    anna.write(CONFIG, "nonsense = 1\n")
    with contextlib.suppress(ConnectionResetError), anna.begin("hello") as sock:
        assert sock.recv(1) == b""
    assert anna.systemctl("is-active", "relayd.socket", "relayd.service").split() == ["failed", "failed"]
    anna.write(CONFIG, good)
    assert anna.relayd("service", "start").returncode == 0
    assert anna.is_up()
    assert anna.relayd("service", "uninstall").returncode == 0
    anna.assert_nothing_left()


def test_an_installation_that_fails_leaves_what_was_there(anna: Anna) -> None:
    """A port that somebody has: the first leaves nothing, the second leaves the first at work."""
    with anna.box.listen(PORT):
        done = anna.relayd("service", "install", "--config", CONFIG)
        assert done.returncode == 111
        assert "relayd service logs" in done.stderr
        assert "Address already in use" in anna.logs()
    anna.assert_nothing_left()
    anna.install()
    unit = anna.box.path(f"{UNITS}/relayd.service").read_text()
    done = anna.relayd("service", "install", "--config", f"{HOME}/other.toml")  # there is no such file
    assert (done.returncode, anna.daemon > 0) == (100, True)
    broken = anna.relayd("service", "install", "--config", CONFIG, RELAYD_CLAUDE="/nonexistent")
    assert broken.returncode == 111
    assert anna.box.path(f"{UNITS}/relayd.service").read_text() == unit
    assert anna.is_up()
    assert anna.relayd("service", "uninstall", XDG_CONFIG_HOME=f"{HOME}/elsewhere").returncode == 0
    anna.assert_nothing_left()


def test_the_demo_says_that_it_is_ready(anna: Anna) -> None:
    """Its daemon's environment is built from nothing, and had no NOTIFY_SOCKET: systemd ended it after 90 seconds."""
    words = [
        "systemd-run",
        "--user",
        "--unit=demo",
        "--collect",
        "--property=Type=notify",
        f"--setenv=PYTHONPATH={systemd_box.CHECKOUT}",
    ]
    done = anna.run(*words, PYTHON, "-m", "relayd", "serve", "--demo", "--claude", systemd_box.CLAUDE)
    assert done.returncode == 0, done.stderr
    assert anna.is_up()
    assert anna.run("systemctl", "--user", "kill", "--signal=KILL", "demo").returncode == 0
    until(lambda: not anna.systemctl("list-units", "--all", "--plain", "--no-legend", "demo*"))
    anna.assert_nothing_left()


def test_linger_is_told_of_where_it_is_wanted(anna: Anna) -> None:
    """Nothing said that the service ends with the last session. The last test: without linger again, logind ends her systemd."""
    hint = "loginctl enable-linger anna"
    assert hint in anna.install()
    assert anna.box.root("loginctl", "enable-linger", systemd_box.USER).returncode == 0
    assert hint not in anna.install()
    assert anna.relayd("service", "uninstall").returncode == 0
    anna.assert_nothing_left()
