"""relayd's Windows side, on a system that lacks what Windows lacks (`as_windows.py`).

The real Windows Claude Code is run by `scripts/wine-test`.
"""

from __future__ import annotations

import contextlib
import json
import ntpath
import os
import pathlib
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from relayd.claude import prompt_history
from relayd.claude.environment import behind_shim
from relayd.daemon.state import places_in
from relayd.doctor.checks import health
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from relayd.doctor.isolation import Isolation
from tests.daemon.test_http import children
from tests.helpers import ask, connect, events_of, files_holding, post, request_bytes, text_of, until

# Without -P, `tests/http` would be the library `http` of a program that lies in tests/.
PROGRAM = ("-P", str(pathlib.Path(__file__).parents[1] / "as_windows.py"))


@pytest.fixture
def windows(daemon: Callable[..., Harness]) -> Callable[..., Harness]:
    return lambda **flags: daemon(program=PROGRAM, **flags)


def nothing_left(harness: Harness) -> None:
    until(lambda: not children(harness))
    until(lambda: not list(pathlib.Path(harness.state_dir, "slots").glob("*")))


def test_calls_are_answered_by_processes_that_start_with_their_conversation(windows: Callable[..., Harness]) -> None:
    harness = windows()
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda n: post(harness.url, ask(f"echo answer {n}")), range(6)))
    assert [(a[0], text_of(a[2])) for a in answers] == [(200, f"answer {n}") for n in range(6)]
    assert all('desc="cold"' in a[1]["server-timing"] for a in answers)
    nothing_left(harness)
    assert harness.stop() == 0


def test_a_stream_and_an_error_and_an_early_death(windows: Callable[..., Harness]) -> None:
    harness = windows()
    events = events_of(post(harness.url, ask("echo one two", stream=True))[2])
    assert events[-1]["type"] == "message_stop"
    status, _, body = post(harness.url, ask("crash running"))
    assert status == 500, body
    assert "status 3" in json.loads(body)["error"]["message"]
    nothing_left(harness)


def test_on_a_fresh_machine_the_trust_dialog_is_answered(windows: Callable[..., Harness]) -> None:
    """The terminal's title is the program's name before anything is painted: see `screens.has_begun`."""
    harness = windows(environment={"ANTHROPIC_BOOT": "trust"}, dialog_settle_s=0.05)
    status, _, body = post(harness.url, ask("echo trusted"))
    assert (status, text_of(body)) == (200, "trusted")


def test_what_a_process_writes_last_is_read_though_its_console_does_not_tell_its_end(windows: Callable[..., Harness]) -> None:
    """microsoft/terminal#4564: the end of a process by itself was seen only when it had been silent for a minute."""
    harness = windows()
    begun = time.monotonic()
    status, _, body = post(harness.url, ask("crash starting"))
    assert (status, "status 3" in json.loads(body)["error"]["message"]) == (500, True)
    assert time.monotonic() - begun < 10
    nothing_left(harness)


def test_more_clients_than_select_takes_cost_some_of_them_and_not_the_daemon(windows: Callable[..., Harness]) -> None:
    """With 586 connections `select` refused all of them, every turn, and the daemon ended."""
    harness = windows(idle_limit_s=60, header_limit_s=60)
    begin = request_bytes(harness.url, ask("echo x"))[:-1]
    with contextlib.ExitStack() as held:
        for number in range(600):
            sock = held.enter_context(connect(harness.url))
            if number % 2:
                sock.sendall(begin)  # all but the last byte
        status, _, body = post(harness.url, ask("echo still here"))
        assert (status, text_of(body)) == (200, "still here")
    assert [line for line in harness.log if line.startswith("error")] == []


def test_an_unknown_screen_costs_one_call_its_patience(windows: Callable[..., Harness]) -> None:
    """The fake has no prompt. Without gates each call was given to a process that never reached one."""
    harness = windows(typing=True, idle=1, spawn_limit_s=2, warm_model="claude-sonnet-4-6")
    begun = time.monotonic()
    for number in range(3):
        status, headers, body = post(harness.url, ask(f"echo {number}"))
        assert (status, text_of(body), 'desc="cold"' in headers["server-timing"]) == (200, str(number), True)
    assert time.monotonic() - begun < 7
    (told,) = (line for line in harness.log if "all calls are replayed" in line)
    assert "no prompt is seen" in told


def test_the_workspace_has_the_name_that_the_system_gives_it(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was `C:\\…\\relayd/workspace`: neither the trust dialog nor the list of prompts has it so, and what was typed stayed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "path", ntpath)
    workspace = places_in("relayd").workspace
    monkeypatch.undo()
    assert workspace == "relayd\\workspace"
    line = json.dumps({"display": "secret", "project": workspace}, separators=(",", ":")).encode() + b"\n"
    assert prompt_history.without(line, workspace) == b""


def test_an_isolated_home_has_what_windows_programs_need(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had a Unix PATH and nothing else: without SYSTEMROOT there is no network, without USERPROFILE the user's own home."""
    for name in ("SYSTEMROOT", "COMSPEC", "PATH", "ANTHROPIC_AUTH_TOKEN", "APPDATA"):
        monkeypatch.setenv(name, rf"C:\of-this-machine\{name}")
    monkeypatch.setattr(sys, "platform", "win32")
    found = Isolation(str(tmp_path), "http://127.0.0.1:1").environment()
    monkeypatch.undo()
    assert {name for name, value in found.items() if "of-this-machine" in value} == {"SYSTEMROOT", "COMSPEC", "PATH"}
    for name in ("USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP"):
        assert found[name].startswith(str(tmp_path))


SHIM = r"""@ECHO off
GOTO start
:find_dp0
SET dp0=%~dp0
EXIT /b
:start
SETLOCAL
CALL :find_dp0
"%dp0%\node_modules\@anthropic-ai\claude-code\bin\claude.exe"   %*
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SHIM, r"C:\npm\node_modules\@anthropic-ai\claude-code\bin\claude.exe"),
        (SHIM.replace("%dp0%", "%~dp0"), r"C:\npm\node_modules\@anthropic-ai\claude-code\bin\claude.exe"),
        (SHIM.replace(r"\node_modules", r"\..\x"), r"C:\x\@anthropic-ai\claude-code\bin\claude.exe"),
        ('IF EXIST "%dp0%\\node.exe" (\n"%_prog%" "%dp0%\\cli.js" %*', r"C:\npm\claude.cmd"),
        ("", r"C:\npm\claude.cmd"),
    ],
)
def test_behind_npms_shim_is_the_program(text: str, expected: str) -> None:
    """The shim's process was taken for Claude Code's: ending that ended `cmd.exe`, and Claude Code worked on."""
    assert behind_shim(r"C:\npm\claude.cmd", text) == expected


def test_a_client_that_leaves_ends_its_process(windows: Callable[..., Harness]) -> None:
    harness = windows()
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("hang")))
        until(lambda: children(harness))
    nothing_left(harness)


def test_a_claude_that_cannot_be_started_is_an_error_and_not_a_loop(
    windows: Callable[..., Harness], tmp_path: pathlib.Path
) -> None:
    broken = tmp_path / "claude"
    broken.write_text("#!/nowhere\n")
    broken.chmod(0o700)
    harness = windows(claude=broken)
    status, _, body = post(harness.url, ask("x"))
    assert status == 500
    assert "could not be started" in json.loads(body)["error"]["message"]


def test_two_daemons_cannot_share_a_state_directory(windows: Callable[..., Harness], fake_claude: str) -> None:
    harness = windows()
    other = Harness(harness.root, fake_claude, program=PROGRAM, api=harness.api)
    with pytest.raises(RuntimeError, match="another daemon uses"):
        other.start()


@pytest.mark.real
def test_the_real_claude_answers_without_a_gate(tmp_path: pathlib.Path, claude: str) -> None:
    body = {"messages": [{"role": "user", "content": "\ta\r\n[[say done]]"}], "system": "Be\r\nshort. "}
    with Harness(str(tmp_path), claude, {"typing": False, "kept": 0}, program=PROGRAM) as harness:
        status, headers, answer = post(harness.url, {"model": "claude-sonnet-4-6", "max_tokens": 1024, **body})
        assert (status, text_of(answer)) == (200, "done")
        assert 'desc="cold"' in headers["server-timing"]
        assert differences(body, harness.api.messages()[-1].body) == []
        nothing_left(harness)
        assert harness.stop() == 0


@pytest.mark.real
def test_the_real_claude_waits_at_its_prompt(tmp_path: pathlib.Path, claude: str) -> None:
    with Harness(str(tmp_path), claude, {"warm_model": "claude-sonnet-4-6", "submit_limit_s": 30}, program=PROGRAM) as harness:
        until(lambda: health(harness)["pool"]["processes"].get("ready") == 2)
        status, headers, answer = post(harness.url, ask("[[say done]] now", system="Be short."))
        assert (status, text_of(answer), 'desc="ready"' in headers["server-timing"]) == (200, "done", True)
        # It is kept, with its transcript open; here no open file can be deleted.
        until(lambda: not files_holding(tmp_path, b"[[say done]]"))
        assert harness.stop() == 0
