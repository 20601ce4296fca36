"""What a daemon deletes and ends of what an earlier one has left: its own, and nothing else."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import partial

import pytest

from relayd.claude import launch
from relayd.doctor.harness import Harness
from relayd.runtime import orphans
from relayd.runtime.files import PendingRemovals
from relayd.runtime.slot import RECORD_NAME, SESSIONS_NAME
from tests.helpers import ask, connect, files_holding, post, request_bytes, text_of, until


def sweep(slots: pathlib.Path, project: pathlib.Path) -> int:
    return orphans.sweep(str(slots), RECORD_NAME, SESSIONS_NAME, partial(launch.session_paths, str(project)))


def slot_of(slots: pathlib.Path, record: str, sessions: tuple[str, ...] = ()) -> str:
    """A slot's directory as a crash leaves it; its name."""
    name = str(uuid.uuid4())
    (slots / name).mkdir(parents=True)
    (slots / name / RECORD_NAME).write_text(record)
    (slots / name / SESSIONS_NAME).write_text("\n".join((name, *sessions)))
    return name


def test_orphans_are_ended_only_if_their_birth_fits(tmp_path: pathlib.Path) -> None:
    """A pid that was used again by somebody else's process must not be touched."""
    slots = tmp_path / "slots"
    sleepers = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2)]
    for record in (orphans.identity(sleepers[0].pid), f"{sleepers[1].pid} 12345", "nonsense", "", "\xff", "0 0"):
        slot_of(slots, record)
    assert sweep(slots, tmp_path / "project") == 1
    assert sleepers[0].wait(5) == -signal.SIGTERM
    assert sleepers[1].poll() is None
    assert not slots.exists()
    sleepers[1].kill()
    sleepers[1].wait()


def test_a_pid_that_is_used_again_within_the_grace_is_not_killed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KILL was sent after the grace to whatever had the pid by then."""
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    births = iter(["1", "1"])  # when it is looked up, and for TERM; then it is another process
    monkeypatch.setattr(orphans, "birth", lambda pid: next(births, "2"))
    slot_of(tmp_path / "slots", f"{other.pid} 1")
    sweep(tmp_path / "slots", tmp_path / "project")
    assert other.poll() is None
    other.kill()
    other.communicate()


def test_only_files_of_recorded_sessions_are_deleted(tmp_path: pathlib.Path) -> None:
    """`~/code/relayd/workspace` and a user's own `~/code/relayd-workspace` are one directory to Claude Code. All that was in
    it was deleted at each start."""
    slots, project = tmp_path / "slots", tmp_path / "project"
    project.mkdir()
    conversation, users = str(uuid.uuid4()), str(uuid.uuid4())
    slot = slot_of(slots, "", (conversation, "../../escape", ""))
    for name in (slot, conversation, users):
        (project / name).mkdir()
        (project / name / "inside").touch()
        (project / f"{name}.jsonl").touch()
    (tmp_path / "escape.jsonl").touch()
    (project / "notes").touch()
    sweep(slots, project)
    assert sorted(p.name for p in project.iterdir()) == sorted([users, f"{users}.jsonl", "notes"])
    assert (project / users / "inside").exists()
    assert (tmp_path / "escape.jsonl").exists()
    assert not slots.exists()


def test_a_users_own_transcripts_live_through_calls_crash_and_restart(daemon: Callable[..., Harness]) -> None:
    harness = daemon(idle=1)
    project = pathlib.Path(
        launch.project_directory(os.path.realpath(harness.isolation.config_dir), f"{harness.state_dir}/workspace")
    )
    project.mkdir(parents=True, exist_ok=True)
    users = project / f"{uuid.uuid4()}.jsonl"
    beside = project / str(uuid.uuid4()) / "notes"
    beside.parent.mkdir()
    for path in (users, beside):
        path.write_text("mine")
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("hang SECRET-WORDS")))
        until(lambda: files_holding(project, b"SECRET-WORDS"))
        harness.kill()
    harness.start()
    assert files_holding(pathlib.Path(harness.root), b"SECRET-WORDS") == []
    assert text_of(post(harness.url, ask("echo again"))[2]) == "again"
    assert harness.stop() == 0
    assert (users.read_text(), beside.read_text()) == ("mine", "mine")
    assert sorted(p.name for p in project.iterdir()) == sorted([users.name, beside.parent.name])


def test_the_directory_that_says_whose_files_they_are_goes_last(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With it gone and a transcript left (no fds, a process that still wrote), a crash made the transcript nobody's."""
    transcript, slot, other = tmp_path / "t.jsonl", tmp_path / "slot", tmp_path / "other"
    transcript.touch()
    slot.mkdir()
    other.mkdir()
    removals = PendingRemovals()
    removals.add((str(transcript), str(slot)))
    removals.add((str(other),))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda path: (_ for _ in ()).throw(PermissionError))
        assert not removals.remove()
    assert (transcript.exists(), slot.exists(), other.exists()) == (True, True, False)
    assert removals.remove()
    assert list(tmp_path.iterdir()) == []
