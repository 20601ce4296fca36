"""Under service managers: what is rendered is valid, what is installed is removed, and the daemon tells systemd how it is."""

from __future__ import annotations

import os
import pathlib
import plistlib
import shutil
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from relayd.cli import main
from relayd.commands import service as services
from relayd.doctor.harness import Harness
from relayd.service import launchd, manager, systemd, windows
from relayd.service.spec import Spec
from tests.helpers import ask, post, text_of, until

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = ("/opt/with space/python", "-m", "relayd", "serve", "--config", '/etc/a "quoted" $HOME %h.toml')
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "ODD": 'a b"c', "MONEY": "$5%", "LINES": "a\nUser=root"}
SPEC = Spec(COMMAND, ENVIRONMENT, "/tmp/relayd.log", user="somebody & co")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine: the units cannot be verified")
def test_systemd_itself_finds_nothing_wrong_with_the_units(tmp_path: pathlib.Path) -> None:
    spec = Spec((sys.executable, "-m", "relayd", "serve", "%h $HOME x"), {"PATH": "/usr/bin:/bin", "ODD": 'a b"c'})
    (tmp_path / systemd.UNIT).write_text(systemd.service(spec))
    (tmp_path / systemd.SOCKET).write_text(systemd.socket("127.0.0.1:7421"))
    units = [str(tmp_path / name) for name in (systemd.UNIT, systemd.SOCKET)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "MANPATH": "/nonexistent"}
    done = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify", *units], capture_output=True, text=True, check=False, env=environ
    )
    complaints = [line for line in done.stderr.splitlines() if "relayd" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_words_of_a_unit_are_taken_as_they_are() -> None:
    text = systemd.service(SPEC)
    assert 'ExecStart="/opt/with space/python" -m relayd serve --config "/etc/a \\"quoted\\" $$HOME %%h.toml"\n' in text
    assert 'Environment="ODD=a b\\"c"\n' in text
    assert "Environment=MONEY=$5%%\n" in text  # no variables there, so none is to be escaped
    assert 'Environment="LINES=a\\nUser=root"\n' in text
    for line in ("Type=notify", "WatchdogSec=30", "UMask=0077", "LimitCORE=0", "NoNewPrivileges=yes"):
        assert f"{line}\n" in text


def test_the_launchd_agent_is_a_property_list() -> None:
    value = plistlib.loads(launchd.agent(SPEC).encode())
    assert value["ProgramArguments"] == list(COMMAND)
    assert value["KeepAlive"] == {"SuccessfulExit": False}
    assert value["EnvironmentVariables"]["ODD"] == 'a b"c'
    assert value["Umask"] == 0o077
    assert value["LimitLoadToSessionType"] == "Aqua"  # a gui domain's; a login over ssh has another
    assert value["SoftResourceLimits"]["NumberOfFiles"] == 10_240  # launchd gives 256


# The order of elements that the Task Scheduler's schema prescribes ([MS-TSCH], task definition).
SCHEMA = {
    "Task": ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"],
    "LogonTrigger": ["Enabled", "UserId"],
    "Principal": ["UserId", "LogonType", "RunLevel"],
    "Exec": ["Command", "Arguments"],
}


def test_the_windows_task_is_well_formed_and_in_order() -> None:
    root = ElementTree.fromstring(windows.task(SPEC).partition("?>")[2])
    for element in root.iter():
        name = element.tag.removeprefix(f"{{{windows.NAMESPACE}}}")
        assert name != element.tag
        if name in SCHEMA:
            assert [child.tag.rpartition("}")[2] for child in element] == SCHEMA[name]
    texts = {e.tag.rpartition("}")[2]: e.text for e in root.iter()}
    assert texts["Command"] == COMMAND[0]
    assert texts["Arguments"] == subprocess.list2cmdline([*COMMAND[1:], "--log-file", SPEC.log])
    assert texts["UserId"] == "somebody & co"


def test_the_windows_task_shows_no_window_and_has_a_log_that_can_be_read(tmp_path: pathlib.Path) -> None:
    """It ran python.exe: a console at each log-on, whose end was the daemon's. `service logs` read a file of macOS."""
    spec = Spec((r"C:\Program Files\Python\python.exe", *COMMAND[1:]), {}, r"C:\x\relayd.log", user="somebody")
    assert r"<Command>C:\Program Files\Python\pythonw.exe</Command>" in windows.task(spec)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LOCALAPPDATA": r"C:\local"}
    command = [sys.executable, "-m", "relayd", "service", "print", "--platform", "win32"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd=ROOT)
    log = manager.for_platform("win32", spec, environ).logs[-1]
    assert log == spec.log
    assert "--log-file" in done.stdout
    assert "relayd.log" in done.stdout
    assert "Library" not in done.stdout


@pytest.fixture
def tools(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Service managers that write down what they are told, and fail at what a file `fail` names."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("systemctl", "launchctl", "schtasks"):
        tool = place / name
        tool.write_text(
            f'#!/bin/sh\necho "{name} $*" >>{place}/told\n'
            f'[ -e {place}/fail ] && echo "$*" | grep -qf {place}/fail && {{ echo "said no" >&2; exit 3; }}\nexit 0\n'
        )
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    return place


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_what_is_installed_is_removed(platform: str, tmp_path: pathlib.Path, tools: pathlib.Path) -> None:
    home = {"HOME": str(tmp_path / "home"), "LOCALAPPDATA": str(tmp_path / "home")}
    made = manager.for_platform(platform, SPEC, home, "127.0.0.1:7421" if platform == "linux" else "")
    assert manager.is_there(made)
    paths = [pathlib.Path(p) for p in manager.install(made)]
    assert len(paths) == (2 if platform == "linux" else 1)
    assert all(p.read_text(encoding=made.encoding) == made.files[str(p)] for p in paths)
    manager.run(made.start)
    assert sorted(manager.uninstall(made)) == sorted(map(str, paths))
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []
    assert manager.uninstall(made) == []
    told = (tools / "told").read_text()
    assert {"linux": "enable --now relayd.socket", "darwin": "bootstrap gui/", "win32": "/Create /F /TN relayd"}[platform] in told


def test_a_manager_that_says_no_leaves_nothing_behind(tmp_path: pathlib.Path, tools: pathlib.Path) -> None:
    made = manager.for_platform("linux", SPEC, {"HOME": str(tmp_path / "home")})
    (tools / "fail").write_text("show-environment\nenable\n")
    assert not manager.is_there(made)
    with pytest.raises(manager.ServiceError, match="said no"):
        manager.install(made)
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []


HOME_FILES = ("relayd.service", "relayd.socket", "dev.relayd.relayd.plist", "task.xml")


def files_below(home: pathlib.Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in home.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("platform", "refused", "revived"),
    [
        ("linux", "enable --now relayd.socket", "systemctl --user start relayd.service"),
        ("darwin", "bootstrap", "launchctl bootstrap"),
        ("win32", "/Create", "schtasks /Create"),
    ],
)
def test_a_second_installation_that_fails_leaves_the_first_at_work(
    platform: str, refused: str, revived: str, tmp_path: pathlib.Path, tools: pathlib.Path
) -> None:
    """The clean-up deleted the files of the service that was installed before: a daemon ran whose unit was gone."""
    home = {"HOME": str(tmp_path / "home"), "LOCALAPPDATA": str(tmp_path / "home")}
    manager.install(manager.for_platform(platform, SPEC, home))
    before = files_below(tmp_path / "home")
    assert set(before) < set(HOME_FILES)
    (tools / "fail").write_text(refused)
    (tools / "told").unlink()
    other = Spec(("/other", *COMMAND), {}, "/tmp/relayd.log", user="somebody")
    with pytest.raises(manager.ServiceError, match="said no"):
        manager.install(manager.for_platform(platform, other, home, "127.0.0.1:7421"))
    assert files_below(tmp_path / "home") == before
    assert (tools / "told").read_text().splitlines()[-1].startswith(revived)


def test_launchd_unloads_before_it_loads_again(tmp_path: pathlib.Path, tools: pathlib.Path) -> None:
    """`bootstrap` refuses a service that is loaded."""
    made = manager.for_platform("darwin", SPEC, {"HOME": str(tmp_path)})
    (tools / "fail").write_text("bootout")  # none is loaded yet: no error
    manager.install(made)
    verbs = [line.split()[1] for line in (tools / "told").read_text().splitlines()]
    assert verbs[-4:] == ["bootout", "bootout", "enable", "bootstrap"]


@pytest.mark.parametrize("address", ["", "127.0.0.1:7421"])
def test_the_socket_is_removed_whatever_is_asked_for(address: str, tmp_path: pathlib.Path, tools: pathlib.Path) -> None:
    """`relayd service uninstall` left relayd.socket enabled and listening: every client was accepted and reset."""
    home = {"HOME": str(tmp_path / "home")}
    manager.install(manager.for_platform("linux", SPEC, home, "127.0.0.1:7421"))
    assert set(files_below(tmp_path / "home")) == {"relayd.service", "relayd.socket"}
    (tools / "told").unlink()
    made = manager.for_platform("linux", SPEC, home, address)
    assert made.stop[-2:] == ("relayd.socket", "relayd.service")  # or the next call starts it again
    assert len(manager.uninstall(made)) == 2
    assert files_below(tmp_path / "home") == {}
    assert (tools / "told").read_text().splitlines() == [
        "systemctl --user disable --now relayd.socket",
        "systemctl --user disable --now relayd.service",
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed relayd.socket",
        "systemctl --user reset-failed relayd.service",
    ]


def test_an_installation_without_the_socket_takes_the_socket_away(tmp_path: pathlib.Path, tools: pathlib.Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    manager.install(manager.for_platform("linux", SPEC, home, "127.0.0.1:7421"))
    (tools / "told").unlink()
    manager.install(manager.for_platform("linux", SPEC, home))
    assert set(files_below(tmp_path / "home")) == {"relayd.service"}
    assert "systemctl --user disable --now relayd.socket" in (tools / "told").read_text()
    assert manager.for_platform("linux", SPEC, home).stop[2:] == ("stop", "relayd.service")


@pytest.mark.skipif(sys.platform != "linux", reason="the tools of the test are systemd's")
def test_a_broken_configuration_is_refused_where_it_is_used_and_named(tmp_path: pathlib.Path, tools: pathlib.Path) -> None:
    """All refused with exit 100, just when logs were wanted, and the message did not name the file; the status of a
    stopped service looked like an error of ours."""
    config = tmp_path / ".config/relayd/relayd.toml"
    config.parent.mkdir(parents=True)
    config.write_text("nonsense = 1")
    (tools / "fail").write_text(" status ")
    env = {"HOME": str(tmp_path), "PATH": f"{tools}:/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}

    def service(action: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "relayd", "service", action]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    assert service("status") == (3, "said no\n", "")
    for action in ("stop", "logs", "uninstall"):
        assert service(action)[0] == 0, action
    for action in ("install", "start", "print"):
        assert service(action) == (100, "", f"relayd: {config}: unknown key nonsense\n")


def test_a_wrong_configuration_ends_an_agent_of_launchd_for_good(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """launchd has no list of exit codes: it started the daemon again every five seconds, for ever."""
    config = tmp_path / "relayd.toml"
    config.write_text("nonsense = 1")
    assert main(["serve", "--config", str(config)]) == 100
    monkeypatch.setenv("XPC_SERVICE_NAME", launchd.LABEL)
    assert main(["serve", "--config", str(config)]) == 0
    assert main(["status", "--config", str(config)]) == 100
    assert capsys.readouterr().err.count("unknown key nonsense") == 3


def test_a_long_log_of_launchd_is_put_aside_at_a_start(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """launchd appends for ever, and nobody rotated it. What a terminal or another file gets is left alone."""
    monkeypatch.setattr(services, "LOG_MAX_BYTES", 10)
    path = tmp_path / "Library" / "Logs" / "relayd.log"
    path.parent.mkdir(parents=True)
    path.write_text("more than ten bytes\n")
    agent = {"HOME": str(tmp_path), "XPC_SERVICE_NAME": launchd.LABEL}
    for environ, left in ((agent | {"XPC_SERVICE_NAME": "0"}, 20), (agent, 0), (agent, 4)):
        with path.open("a") as file:
            monkeypatch.setattr(services.sys, "stderr", file)
            services.shorten_log(environ)
            assert path.stat().st_size == left
            file.write("new\n")
    assert path.with_suffix(".log.1").read_text() == "more than ten bytes\nnew\n"


def test_the_service_gets_the_login_of_the_shell_and_none_of_its_secrets(
    tmp_path: pathlib.Path, tools: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ran on another login or configuration than the shell that had installed it: only eight variables went along."""
    given = {
        "CLAUDE_CONFIG_DIR": "/c",
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "AWS_PROFILE": "work",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/t",
        "GOOGLE_APPLICATION_CREDENTIALS": "/g.json",
        "https_proxy": "http://proxy:3128",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "RELAYD_IDLE": "1",
        "TZ": "Asia/Tokyo",
    }
    secret = {
        "ANTHROPIC_API_KEY": "s3",
        "AWS_SECRET_ACCESS_KEY": "s3",
        "ANTHROPIC_CUSTOM_HEADERS": "x: s3",
        "AWS_REGION": "a\nb=s3",
    }
    other = {
        "XDG_RUNTIME_DIR": "/run/user/1",
        "XDG_SESSION_ID": "1",
        "EDITOR": "vi",
        "ANTHROPIC_BASE_URL": "http://localhost:7421",
    }
    for name in [n for n in os.environ if n.startswith(("ANTHROPIC_", "CLAUDE", "AWS_", "XDG_", "RELAYD_", "LC_", "TEST_"))]:
        monkeypatch.delenv(name)
    for name, value in (given | secret | other | {"HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    assert main(["service", "install", "--platform", "linux"]) == 0
    unit = (tmp_path / ".config/systemd/user/relayd.service").read_text()
    for name, value in given.items():
        assert f"Environment={name}={value}\n" in unit
    assert "s3" not in unit
    assert not any(f"{name}=" in unit for name in other)
    said = capsys.readouterr().out
    assert f"not given to the service, as they may be secrets: {', '.join(sorted(secret))}\n" in said


def test_systemd_hears_when_the_daemon_is_ready_alive_and_ending(tmp_path: pathlib.Path, fake_claude: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(20)
        listener.bind(str(tmp_path / "notify"))
        root = tmp_path / "root"
        root.mkdir()
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with Harness(str(root), fake_claude, {"idle": 0}, environ) as harness:
            said = [listener.recv(100) for _ in range(4)]
            assert said == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            harness.stop()
            listener.settimeout(0.1)
            last = b""
            while last != b"STOPPING=1":
                last = listener.recv(100)


STARTER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "relayd", "serve"])
"""


def test_a_socket_that_systemd_has_opened_is_taken_over(tmp_path: pathlib.Path, fake_claude: str) -> None:
    """The call waits in the socket's backlog before there is any daemon."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        harness = Harness(str(tmp_path), fake_claude)
        harness.isolation.prepare()
        environ = harness.isolation.environment() | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        environ |= {"RELAYD_STATE_DIR": harness.state_dir, "RELAYD_CLAUDE": fake_claude, "RELAYD_PORT": "1", "RELAYD_IDLE": "0"}
        command = [sys.executable, "-c", STARTER, str(listener.fileno())]
        with subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL) as process:
            assert text_of(post(f"http://127.0.0.1:{port}", ask("echo woken"))[2]) == "woken"
            process.terminate()
    assert process.returncode == 0


def test_a_hang_up_takes_up_the_configuration_anew(tmp_path: pathlib.Path, fake_claude: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    config = root / "home" / ".config" / "relayd" / "relayd.toml"
    config.parent.mkdir(parents=True)
    config.write_text("strict = false\nidle = 0\n")
    with Harness(str(root), fake_claude) as harness:
        odd = ask("echo x", service_tier="auto")
        assert post(harness.url, odd)[0] == 200
        config.write_text("strict = true\nidle = 0\nlog_format = 'json'\n")
        os.kill(harness.pid, signal.SIGHUP)
        until(lambda: any("read anew" in line for line in harness.log))
        assert post(harness.url, odd)[0] == 400
        assert any("needs a restart: log_format" in line for line in harness.log)
        config.write_text("strictt = true\n")
        os.kill(harness.pid, signal.SIGHUP)
        until(
            lambda: any(
                "stays as it was: " in line and "unknown key strictt; did you mean strict?" in line for line in harness.log
            )
        )
        assert post(harness.url, ask("echo x"))[0] == 200


def test_logs_are_on_standard_error_alone(daemon: Callable[..., Harness]) -> None:
    harness = daemon()
    post(harness.url, ask("echo x"))
    assert any(line.startswith("info: call id=req_") for line in until(lambda: [x for x in harness.log if "info: call" in x]))
