"""The `relayd` command as people and scripts use it, each run as a process of its own."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from relayd import __version__, verdict
from relayd.claude.capabilities import Capabilities
from relayd.cli import parser
from relayd.commands import completion
from relayd.commands.doctor import verdict_of
from relayd.config import KEYS
from relayd.daemon.binary import examined
from relayd.doctor import checks, under_test
from relayd.doctor.checks import Result
from relayd.doctor.harness import Harness
from relayd.runtime.files import fingerprint, write_whole
from tests.daemon.test_http import children
from tests.helpers import ask, post, until

ROOT = pathlib.Path(__file__).parents[2]


def relayd(home: pathlib.Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relayd", *arguments]
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"} | environ
    return subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=False, timeout=120)


def at(harness: Harness) -> dict[str, str]:
    """Variables that lead a command to this daemon."""
    return {"RELAYD_PORT": harness.url.rpartition(":")[2], "RELAYD_STATE_DIR": harness.state_dir}


def test_status_sessions_and_calls_of_a_daemon(daemon: Callable[..., Harness], tmp_path: pathlib.Path) -> None:
    harness = daemon()
    post(harness.url, ask("echo one"), x_relayd_session="talk 1")
    post(harness.url, ask("crash running"))
    status = relayd(tmp_path, "status", **at(harness))
    assert status.returncode == 0, status.stderr
    assert f"relayd {__version__} ok" in status.stdout
    assert "\x1b" not in status.stdout
    found = json.loads(relayd(tmp_path, "status", "--json", **at(harness)).stdout)
    assert (found["served"], found["pool"]["queued"]) == (2, 0)
    assert "talk 1" in relayd(tmp_path, "sessions", **at(harness)).stdout
    assert json.loads(relayd(tmp_path, "sessions", "--json", **at(harness)).stdout)["data"][0]["messages"] == 2
    assert "forgotten" in relayd(tmp_path, "sessions", "--delete", "talk 1", **at(harness)).stdout
    missing = relayd(tmp_path, "sessions", "--delete", "talk 1", **at(harness))
    assert (missing.returncode, missing.stderr) == (111, "relayd: session: talk 1\n")
    harness.stop()
    calls = json.loads(relayd(tmp_path, "calls", "--json", **at(harness)).stdout)
    assert [(c["status"], c["error"]) for c in calls] == [(200, ""), (500, "api_error")]
    assert "api_error" in relayd(tmp_path, "calls", "-n", "1", **at(harness)).stdout.splitlines()[-1]
    gone = relayd(tmp_path, "status", **at(harness))
    assert (gone.returncode, "start one: relayd serve" in gone.stderr) == (111, True)


def test_a_token_is_made_used_and_removed(daemon: Callable[..., Harness], tmp_path: pathlib.Path) -> None:
    made = relayd(tmp_path, "token", "new")
    token = made.stdout.strip()
    path = tmp_path / ".config/relayd/token"
    assert (made.returncode, path.read_text().strip(), path.stat().st_mode & 0o777) == (0, token, 0o600)
    assert len(token) > 40
    assert relayd(tmp_path, "token", "new").stdout.strip() != token
    token = relayd(tmp_path, "token", "show").stdout.strip()
    harness = daemon(token_file=str(path))
    assert post(harness.url, ask("echo x"))[0] == 401
    assert post(harness.url, ask("echo x"), x_api_key=token)[0] == 200
    assert relayd(tmp_path, "status", **at(harness)).returncode == 0
    assert relayd(tmp_path, "token", "remove").returncode == 0
    assert not path.exists()
    assert relayd(tmp_path, "token", "show").returncode == 111


def test_what_the_harness_sets_is_not_read_by_the_command_that_users_run(tmp_path: pathlib.Path) -> None:
    done = relayd(tmp_path, "config", "show", "--json", **{under_test.VARIABLE: "no JSON"})
    assert done.returncode == 0
    assert set(json.loads(done.stdout)) == set(KEYS)


def test_the_configuration_is_shown_and_checked(tmp_path: pathlib.Path) -> None:
    file = tmp_path / ".config/relayd/relayd.toml"
    assert relayd(tmp_path, "config", "path").stdout.strip() == str(file)
    assert "does not exist" in relayd(tmp_path, "config", "check").stdout
    file.parent.mkdir(parents=True)
    file.write_text("idle = 3\n")
    shown = json.loads(relayd(tmp_path, "config", "show", "--json", RELAYD_MAX="9").stdout)
    assert (shown["idle"], shown["max"]) == (3, 9)
    lines = [line.split(maxsplit=4) for line in relayd(tmp_path, "config", "show").stdout.splitlines()]
    assert ["idle", "3", "not", "2", "whole number from 0 to 100"] in lines
    file.write_text("idel = 3\n")
    wrong = relayd(tmp_path, "config", "check")
    assert (wrong.returncode, wrong.stderr) == (100, f"relayd: {file}: unknown key idel; did you mean idle?\n")


def test_a_program_has_a_key_of_its_own(daemon: Callable[..., Harness], tmp_path: pathlib.Path) -> None:
    """Every program shared one token: whose calls they were nobody could say, and one could not be shut out alone."""
    made = relayd(tmp_path, "token", "new", "batch", "--model", "claude-sonnet-*", "--calls-per-minute", "1")
    key, directory = made.stdout.strip(), tmp_path / ".config/relayd"
    assert (made.returncode, "plain token" in made.stderr, len(key) > 40) == (0, True, True)
    assert (directory / "keys.json").stat().st_mode & 0o777 == 0o600
    assert key not in (directory / "keys.json").read_text(), "only a digest is kept"
    assert relayd(tmp_path, "token", "new", "batch").returncode == 100
    assert relayd(tmp_path, "token", "new", "a b").returncode == 100
    assert relayd(tmp_path, "token", "remove").returncode == 100, "relayd's own commands need it"
    (listed,) = json.loads(relayd(tmp_path, "token", "list", "--json").stdout)
    assert (listed["name"], listed["models"], listed["calls_per_minute"]) == ("batch", ["claude-sonnet-*"], 1)
    assert "sha256" not in listed

    harness = daemon(token_file=str(directory / "token"), binary_check_s=0.05)
    token = relayd(tmp_path, "token", "show").stdout.strip()
    assert [post(harness.url, ask("echo x"), x_api_key=given)[0] for given in (key, key, token, "wrong")] == [200, 429, 200, 401]
    assert post(harness.url, ask("echo x", model="claude-opus-4-1"), authorization=f"Bearer {key}")[0] == 403
    usage = relayd_usage(harness, token)["keys"]
    assert (usage["batch"]["calls"], usage[""]["calls"]) == (3, 2)
    lines = (pathlib.Path(harness.state_dir) / "recent-calls.jsonl").read_text().splitlines()
    records = {found["id"]: found for found in map(json.loads, lines)}.values()  # written again if its cost comes late
    assert [(r["key"], r["status"]) for r in records] == [("batch", 200), ("batch", 429), ("", 200), ("", 401), ("batch", 403)]

    assert relayd(tmp_path, "token", "revoke", "batch").returncode == 0
    until(lambda: post(harness.url, ask("echo x"), x_api_key=key)[0] == 401)
    (directory / "keys.json").write_text("{nonsense")
    until(lambda: any("the keys stay as they were" in line for line in harness.log))
    assert post(harness.url, ask("echo x"), x_api_key=token)[0] == 200
    assert relayd(tmp_path, "token", "revoke", "nobody").returncode == 111, "it is not read anew, so that nothing is lost"


def relayd_usage(harness: Harness, token: str) -> dict[str, Any]:
    """What `/v1/usage` says to who has the token."""
    asked = urllib.request.Request(harness.url + "/v1/usage", headers={"x-api-key": token})
    with urllib.request.urlopen(asked) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_every_command_and_option(shell: str, tmp_path: pathlib.Path) -> None:
    script = relayd(tmp_path, "completion", shell).stdout
    for name, words in completion.words(parser()).items():
        for word in (name, *words):
            assert word.lstrip("-") in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


def test_completion_in_bash_completes(tmp_path: pathlib.Path) -> None:
    script = relayd(tmp_path, "completion", "bash").stdout
    ask_it = 'COMP_WORDS=(relayd service un); COMP_CWORD=2; _relayd; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script + ask_it], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "uninstall"


def test_setup_without_a_service_manager_prepares_everything_and_says_how_to_go_on(
    tmp_path: pathlib.Path, fake_claude: str
) -> None:
    """The fake claude cannot pass the checks of a version: they are left out here, and run with the real one elsewhere."""
    first = relayd(tmp_path, "setup", "--yes", "--no-doctor", "--claude", fake_claude, "--port", "7999")
    assert first.returncode == 0, first.stderr
    assert "version 2.1.330" in first.stdout
    assert "start the daemon with: relayd serve" in first.stdout
    file = tmp_path / ".config/relayd/relayd.toml"
    assert file.read_text().splitlines()[1:] == [f'claude = "{fake_claude}"', "port = 7999"]
    assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / ".local/state/relayd/workspace").is_dir()
    again = relayd(tmp_path, "setup", "--yes", "--no-doctor")
    assert (again.returncode, f"{file}, as it is" in again.stdout) == (0, True)
    nothing = relayd(tmp_path / "none", "setup", "--yes", HOME="/nonexistent") if (tmp_path / "none").mkdir() is None else None
    assert nothing is not None
    assert (nothing.returncode, "npm install -g" in nothing.stderr) == (111, True)


@pytest.mark.parametrize(("lacks", "status"), [({"tools"}, 400), ({"parking"}, 200), ({"gate"}, 200)])
def test_the_daemon_heeds_the_doctor(
    daemon: Callable[..., Harness], fake_claude: str, tmp_path: pathlib.Path, lacks: set[str], status: int
) -> None:
    state = tmp_path / "0" / "state"
    state.mkdir(parents=True)
    found = verdict.Verdict(fingerprint(fake_claude), "2.1.257", frozenset(lacks))
    (state / verdict.FILE_NAME).write_bytes(found.dump())
    (tmp_path / "0").rename(tmp_path / "kept")
    harness = daemon(state_dir=str(tmp_path / "kept" / "state"))
    tool = {"name": "get", "input_schema": {"type": "object"}}
    answer = post(harness.url, ask("echo x", tools=[tool]))
    assert answer[0] == status
    answered = post(harness.url, ask("echo x"))
    assert answered[0] == 200
    if "gate" in lacks:  # nothing was kept warm
        assert 'desc="cold"' in answered[1]["server-timing"]
        until(lambda: not children(harness))
    if status == 400:
        assert "2.1.280 and newer do" in json.loads(answer[2])["error"]["message"]


def test_a_version_that_takes_no_conversations_is_refused_at_the_start(tmp_path: pathlib.Path, fake_claude: str) -> None:
    found = verdict.Verdict(fingerprint(fake_claude), "2.1.140", frozenset({"replay"}))
    path = tmp_path / "doctor.json"
    path.write_bytes(found.dump())
    done = relayd(tmp_path, "serve", "--claude", fake_claude, "--state-dir", str(tmp_path), "--port", "0")
    assert (done.returncode, "2.1.162 and newer take them" in done.stderr) == (111, True)
    path.write_bytes(verdict.Verdict("another", "1", frozenset({"replay"})).dump())
    assert verdict.read(path.read_bytes(), fingerprint(fake_claude)) is None
    assert verdict.read(b"{nonsense", "x") is None


def test_not_one_call_answered_is_no_verdict(tmp_path: pathlib.Path, fake_claude: str) -> None:
    """A terminal that could not be read made the doctor say that this version takes no conversations, and `serve` would not
    start from then on.
    """
    lost = [Result("replay", False, "504: Claude Code did not start the turn in time", 30.0, is_sure=False)]
    other = [Result("replay", False, "1 messages instead of 3", 3.0)]
    kept = {
        (v, r[0].is_sure): verdict_of(fake_claude, v, r)
        for v in ("2.1.140", "2.1.330", "of unknown version")
        for r in (lost, other)
    }
    assert {key for key, found in kept.items() if found.is_kept} == {
        ("2.1.140", False),
        ("2.1.140", True),
        ("2.1.330", True),
        ("of unknown version", True),
    }
    assert {key for key, found in kept.items() if found.refusal} == {key for key, found in kept.items() if found.is_kept}


def test_the_doctor_names_a_screen_that_it_cannot_read(daemon: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake has no prompt. The doctor said that all calls are replayed, and not why."""
    monkeypatch.setattr(checks, "TYPING_LIMIT_S", 3.0)
    harness = daemon(typing=True, idle=1, spawn_limit_s=1, warm_model=checks.MODEL)
    with pytest.raises(checks.Missing, match="no prompt is seen on Claude Code's screen, which says: nothing"):
        checks.typing(harness)


def test_every_command_has_help(tmp_path: pathlib.Path) -> None:
    for name in completion.subcommands(parser()):
        done = relayd(tmp_path, name, "--help")
        assert done.returncode == 0
        assert "usage: relayd" in done.stdout


def test_an_update_of_claude_and_a_new_verdict_are_both_found(tmp_path: pathlib.Path) -> None:
    """The verdict was read once: tools stayed refused after an update, in the old version's name, until a restart."""
    claude, file = tmp_path / "claude", tmp_path / verdict.FILE_NAME
    claude.write_text("old")
    old = verdict.Verdict(fingerprint(str(claude)), "2.1.257", frozenset({"tools", "gate", "typing"}))
    write_whole(str(file), old.dump())
    found = examined(str(claude), str(file))
    assert "2.1.257" in found.capabilities.no_tools
    assert (found.capabilities.gated, found.capabilities.typing, found.capabilities.refusal) == (False, False, "")
    assert examined(str(claude), str(file)) == found
    claude.write_text("a newer one")
    updated = examined(str(claude), str(file))
    assert updated.capabilities == Capabilities()
    write_whole(str(file), verdict.Verdict(updated.fingerprint, "2.1.400", frozenset({"replay"})).dump())
    later = examined(str(claude), str(file))
    assert (later.fingerprint, later != updated, "2.1.400" in later.capabilities.refusal) == (updated.fingerprint, True, True)


def test_a_running_daemon_takes_up_a_new_verdict(daemon: Callable[..., Harness], fake_claude: str) -> None:
    harness = daemon(binary_check_s=0.05, log_level="debug")
    found = verdict.Verdict(fingerprint(fake_claude), "2.1.257", frozenset({"tools"}))
    write_whole(f"{harness.state_dir}/{verdict.FILE_NAME}", found.dump())
    until(lambda: any("has changed" in line for line in harness.log))
    write_whole(f"{harness.state_dir}/{verdict.FILE_NAME}", found.dump())
    assert post(harness.url, ask("echo x"))[0] == 200
    assert sum("has changed" in line for line in harness.log) == 1


def test_output_that_a_pipe_cannot_encode_is_escaped(daemon: Callable[..., Harness], tmp_path: pathlib.Path) -> None:
    """Seen on Windows, whose pipes are cp1252: a traceback at the first character that it does not know."""
    harness = daemon(silence_limit_s=1, term_limit_s=0.3)
    post(harness.url, ask("echo x"), x_relayd_session="talk")
    shown = relayd(tmp_path, "config", "show", PYTHONIOENCODING="ascii", RELAYD_TOKEN_FILE="/grün", **at(harness))
    assert (shown.returncode, "gr\\xfcn" in shown.stdout) == (0, True), shown.stderr


def test_what_a_daemon_says_paints_nothing_on_the_terminal(daemon: Callable[..., Harness], tmp_path: pathlib.Path) -> None:
    """Raw escapes of a model's name reached the terminal of whoever ran `relayd calls` or `relayd status`."""
    harness = daemon(idle=1)
    post(harness.url, ask("echo x", model="m\x1b]0;pwned\x07\u202e"))
    records = pathlib.Path(harness.state_dir, "recent-calls.jsonl")
    line = until(lambda: records.exists() and records.read_bytes().endswith(b"\n") and records.read_bytes())
    with records.open("ab") as file:
        file.write(json.dumps(json.loads(line.splitlines()[0]) | {"model": "a\x1b[31mb\nc"}).encode() + b"\n" + b'{"at": 1')
    for command in ("status", "calls", "sessions"):
        shown = relayd(tmp_path, command, **at(harness))
        assert shown.returncode == 0, shown.stderr
        assert all(row.isprintable() for row in shown.stdout.split("\n"))
    shown = relayd(tmp_path, "calls", **at(harness))
    assert "a\\x1b[31mb\\nc" in shown.stdout
    assert shown.stderr.startswith("relayd: 1 line(s) of ")
    assert json.loads(relayd(tmp_path, "calls", "--json", **at(harness)).stdout)[-1]["model"] == "a\x1b[31mb\nc"


def test_no_calls_are_no_rows_and_fewer_than_none_is_wrong_usage(daemon: Callable[..., Harness], tmp_path: pathlib.Path) -> None:
    """`-n 0` printed all of them."""
    harness = daemon(idle=0)
    post(harness.url, ask("echo x"))
    records = pathlib.Path(harness.state_dir, "recent-calls.jsonl")
    until(lambda: records.exists() and records.read_bytes().endswith(b"\n"))
    assert json.loads(relayd(tmp_path, "calls", "--json", "-n", "0", **at(harness)).stdout) == []
    assert len(relayd(tmp_path, "calls", "-n", "0", **at(harness)).stdout.splitlines()) == 1
    assert len(json.loads(relayd(tmp_path, "calls", "--json", "-n", "5", **at(harness)).stdout)) == 1
    for wrong in ("-1", "x", "9" * 30):
        done = relayd(tmp_path, "calls", "-n", wrong)
        assert (done.returncode, "argument -n" in done.stderr) == (100, True)
