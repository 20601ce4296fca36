"""Claude Code's list of typed prompts is the user's: relayd's lines go, nothing else changes, and the loop hardly waits."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable

import pytest

from relayd.claude import prompt_history
from relayd.runtime import prompt_history as runtime_history
from relayd.runtime.prompt_history import PIECE_BYTES, PromptHistory
from tests.core.test_typing import entry

THEIRS, OURS = entry("mine", "/home/x"), entry("typed by relayd", "/w")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "history.jsonl"


class Counted:
    """`without`, with the bytes that it was given."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, data: bytes) -> bytes:
        self.bytes += len(data)
        return prompt_history.without(data, "/w")


def without_ours(data: bytes) -> bytes:
    return prompt_history.without(data, "/w")


def list_of(path: pathlib.Path, without: Callable[[bytes], bytes] = without_ours) -> PromptHistory:
    return PromptHistory(str(path), prompt_history.LOCK_SUFFIX, without)


def test_lines_at_the_end_are_cut_off_and_only_the_end_is_read(path: pathlib.Path) -> None:
    """The whole list, 20 MB, was read and written anew in the loop, twice for each typed turn."""
    path.write_bytes(THEIRS * 50_000)
    counted = Counted()
    prompts = list_of(path, counted)
    assert prompts.forget_all()
    before, inode = counted.bytes, path.stat().st_ino
    for _ in range(5):
        with path.open("ab") as file:
            file.write(THEIRS + OURS * 2)
        assert prompts.forget()
    assert counted.bytes - before == 5 * len(THEIRS + OURS * 2)
    assert path.read_bytes() == THEIRS * 50_005
    assert path.stat().st_ino == inode
    assert os.listdir(path.parent) == [path.name]


def test_a_list_that_was_replaced_is_looked_at_anew_in_bounded_pieces(path: pathlib.Path) -> None:
    path.write_bytes(THEIRS)
    prompts = list_of(path)
    assert prompts.forget_all()
    lines = PIECE_BYTES * 3 // len(THEIRS)
    other = path.with_name("other")
    other.write_bytes(THEIRS * lines + OURS)
    other.replace(path)
    looks = 1
    while not prompts.forget():
        looks += 1
    assert looks == 4
    assert path.read_bytes() == THEIRS * lines
    path.write_bytes(OURS)  # cut by somebody: shorter than before
    assert prompts.forget()
    assert path.read_bytes() == b""


def test_a_line_longer_than_a_piece_is_passed(path: pathlib.Path) -> None:
    long = entry("x" * 2 * PIECE_BYTES, "/home/x")
    path.write_bytes(long + OURS)
    prompts = list_of(path)
    assert [prompts.forget(), prompts.forget()] == [False, True]
    assert path.read_bytes() == long


def test_lines_among_others_are_taken_out_with_mode_and_owner_kept(path: pathlib.Path) -> None:
    path.write_bytes(THEIRS + OURS + THEIRS + OURS + b"no newline")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 4242, 4243)
    owner = (path.stat().st_uid, path.stat().st_gid)
    assert list_of(path).forget()
    assert path.read_bytes() == THEIRS * 2 + b"no newline"
    assert (path.stat().st_mode & 0o777, (path.stat().st_uid, path.stat().st_gid)) == (0o640, owner)
    assert os.listdir(path.parent) == [path.name]


def test_the_new_list_is_on_the_disk_before_it_takes_the_place(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sync before the rename a power cut may leave an empty list."""
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (done.append(name), real(*a))[1])
    path.write_bytes(OURS + THEIRS)
    assert list_of(path).forget()
    assert done == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("step", ["chown", "chmod", "fsync", "replace"])
def test_a_step_that_fails_leaves_the_old_list_alone(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A full disk left `history.jsonl.relayd`."""
    path.write_bytes(OURS + THEIRS)
    if step == "chown":
        if os.geteuid() != 0:
            pytest.skip("only root can have a list of somebody else's")
        os.chown(path, 4242, 4242)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, refuse)
        assert not list_of(path).forget()
    assert path.read_bytes() == OURS + THEIRS
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("data", [THEIRS + OURS, OURS + THEIRS], ids=["at the end", "among others"])
def test_a_line_that_somebody_adds_meanwhile_is_not_lost(path: pathlib.Path, data: bytes) -> None:
    """A writer that does not heed the lock came between reading and renaming."""
    path.write_bytes(data)
    late = entry("late", "/home/x")

    def without(given: bytes) -> bytes:
        with path.open("ab") as file:
            file.write(late)
        return prompt_history.without(given, "/w")

    assert not list_of(path, without).forget()
    assert late in path.read_bytes()
    assert list_of(path).forget()
    assert path.read_bytes().replace(late, b"") == THEIRS


def test_a_long_list_is_replaced_less_often(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(runtime_history, "REPLACED_BYTES_PER_S", 1024)
    path.write_bytes(OURS + THEIRS * 1000)
    prompts = list_of(path)
    assert prompts.forget()
    with path.open("ab") as file:
        file.write(OURS + THEIRS)
    assert not prompts.forget()
    assert OURS in path.read_bytes()
    now[0] += len(THEIRS) * 1001 / 1024 + 1
    assert prompts.forget()
    with path.open("ab") as file:
        file.write(OURS + THEIRS)
    assert prompts.forget_all()  # the end does not wait
    assert path.read_bytes() == THEIRS * 1002


def test_a_lock_whose_owner_has_died_is_taken_over(path: pathlib.Path) -> None:
    path.write_bytes(OURS)
    lock = pathlib.Path(str(path) + prompt_history.LOCK_SUFFIX)
    lock.mkdir()
    assert not list_of(path).forget()
    os.utime(lock, (time.time() - 100, time.time() - 100))
    assert list_of(path).forget()
    assert os.listdir(path.parent) == [path.name]
