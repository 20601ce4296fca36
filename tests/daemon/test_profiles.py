"""Several logins in one daemon: each call's process has the directory of its profile, and a limit of one is not another's."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable

import pytest

from relayd.cli import main
from relayd.daemon import key_file
from relayd.doctor.harness import Harness
from tests.helpers import ask, post, text_of

Make = Callable[..., Harness]


def directories(root: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    made = root / "claude-work", root / "claude-lab"
    for path in made:
        path.mkdir()
    return made


def has_been_used(directory: pathlib.Path) -> bool:
    """Claude Code keeps its transcripts there, and the daemon made a place for one."""
    return (directory / "projects").is_dir()


def test_each_profile_has_its_directory_and_its_limits(daemon: Make, tmp_path: pathlib.Path) -> None:
    work, lab = directories(tmp_path)
    token = tmp_path / "token"
    token.write_text("plain")
    token.chmod(0o600)
    key = key_file.add(str(tmp_path / "keys.json"), "batch", [], 0, 0, "lab")
    harness = daemon(profiles=f"work={work}, lab={lab}", token_file=token, failure_lag_s=0.05)
    assert text_of(post(harness.url, ask("echo default"), x_api_key="plain")[2]) == "default"
    assert not has_been_used(work)
    assert not has_been_used(lab)
    assert text_of(post(harness.url, ask("echo work"), x_api_key="plain", x_relayd_profile="work")[2]) == "work"
    assert has_been_used(work)
    assert not has_been_used(lab)
    limit = ask("fail rate_limit API Error: Request rejected (429) · try again in 100 seconds")
    assert post(harness.url, limit, x_api_key="plain", x_relayd_profile="work")[0] == 429
    status, _, body = post(harness.url, ask("echo again"), x_api_key="plain", x_relayd_profile="work")
    assert (status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
    assert text_of(post(harness.url, ask("echo free"), x_api_key="plain")[2]) == "free"
    assert text_of(post(harness.url, ask("echo lab"), x_api_key=key)[2]) == "lab"
    assert has_been_used(lab)
    status, _, body = post(harness.url, ask("echo x"), x_api_key=key, x_relayd_profile="work")
    assert (status, json.loads(body)["error"]["message"]) == (403, "the key batch is for the profile lab")
    status, _, body = post(harness.url, ask("echo x"), x_api_key="plain", x_relayd_profile="home")
    assert status == 400
    assert "known: work, lab" in json.loads(body)["error"]["message"]
    assert harness.stop() == 0
    left = [name for path in (work, lab) for _, _, names in os.walk(path) for name in names]
    assert left == []


def test_a_directory_that_is_not_there_is_told_at_the_start(
    daemon: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="the profile work: there is no directory"):
        daemon(profiles=f"work={tmp_path / 'nowhere'}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("RELAYD_PROFILES", "work=~/.claude-work")
    assert main(["config", "check"]) == 111
    assert "log in there first" in capsys.readouterr().err
    (tmp_path / ".claude-work").mkdir()
    assert main(["config", "check"]) == 0
    capsys.readouterr()
    assert main(["token", "new", "batch", "--profile", "home"]) == 100
    assert "there is no profile home; known: work" in capsys.readouterr().err
    assert main(["token", "new", "batch", "--profile", "work"]) == 0
    assert main(["token", "list"]) == 0
    assert "work" in capsys.readouterr().out
