"""Stored files on a real disk: whole or not there, a piece in each turn, and what fails is told and costs nothing else."""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.storage import BatchResults, Load, Upload
from relayd.runtime import store as stores
from relayd.runtime.files import PIECE_BYTES
from relayd.runtime.loop import Loop
from relayd.runtime.store import Store
from relayd.runtime.stored_file import StoredFile

MIB = 1024 * 1024


class Room:
    """A store in a directory of its own; `facts` are what it has told."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        (root / "files").mkdir()
        self.facts: list[Any] = []
        self.errors: list[Exception] = []
        self.loop = Loop(lambda key, now: None, lambda number, now: None, lambda what, error: self.errors.append(error))
        self.store = Store(str(root), self.loop, self.facts.append)

    def perform(self, *orders: Any) -> None:
        for order in orders:
            self.store.perform(order, 1.0)

    def turns(self) -> int:
        """How many turns of the loop it still takes."""
        count = 0
        while self.store._jobs:
            self.store.timer(1.0)
            count += 1
        return count

    def there(self) -> list[str]:
        return sorted(os.listdir(self.root / "files"))


@pytest.fixture
def room(tmp_path: pathlib.Path) -> Iterator[Room]:
    found = Room(tmp_path)
    yield found
    found.store.close()
    found.loop.close()


def test_a_small_file_is_written_and_read_at_once(room: Room) -> None:
    room.perform(do.WriteFile(Upload("a"), "files/a", b"hello"), do.ReadFile(Load(1, "a"), "files/a", 1, 3))
    assert room.facts == [ev.Stored(Upload("a")), ev.StoredRead(Load(1, "a"), b"ell")]
    assert room.turns() == 0
    assert stat.S_IMODE(os.stat(room.root / "files" / "a").st_mode) == 0o600
    assert room.there() == ["a"]


def test_large_files_take_a_turn_for_each_piece_and_take_turns(room: Room) -> None:
    """A file of 32 MB at once would hold everybody else."""
    data = os.urandom(3 * PIECE_BYTES + 1)
    room.perform(do.WriteFile(Upload("a"), "files/a", data))
    assert (room.facts, room.there()) == ([], ["a.new"])
    room.perform(do.WriteFile(Upload("b"), "files/b", b"small"))
    assert room.facts == [ev.Stored(Upload("b"))]
    assert room.turns() == 3
    assert room.facts[1:] == [ev.Stored(Upload("a"))]
    room.perform(do.ReadFile(Load(1, "a"), "files/a", 0, len(data)))
    assert len(room.facts) == 2
    assert room.turns() == 3
    assert room.facts[2] == ev.StoredRead(Load(1, "a"), data)
    assert room.there() == ["a", "b"]


def test_lines_are_appended_and_a_file_that_is_not_there_is_erased_silently(room: Room) -> None:
    for line in (b"one\n", b"two\n"):
        room.perform(do.AppendFile(BatchResults("x"), "files/x", line))
    assert (room.root / "files" / "x").read_bytes() == b"one\ntwo\n"
    room.perform(do.EraseFile("files/x"), do.EraseFile("files/x"))
    assert (room.there(), room.errors) == ([], [])
    assert room.facts == [ev.Stored(BatchResults("x"))] * 2


def test_what_cannot_be_done_is_told(room: Room) -> None:
    orders = (
        do.WriteFile(Upload("a"), "none/a", b"x"),
        do.AppendFile(BatchResults("a"), "none/a", b"x"),
        do.ReadFile(Load(1, "a"), "files/a", 0, 1),
    )
    room.perform(*orders)
    assert room.facts == [ev.StoreFailed(order.ticket, "No such file or directory") for order in orders]
    room.perform(do.WriteFile(Upload("a"), "files/a", b"short"), do.ReadFile(Load(1, "a"), "files/a", 3, 5))
    assert room.facts[-1] == ev.StoreFailed(Load(1, "a"), "EOFError")


def test_a_file_that_cannot_take_its_place_leaves_nothing(room: Room) -> None:
    (room.root / "files" / "a").mkdir()
    room.perform(do.WriteFile(Upload("a"), "files/a", b"x"))
    assert isinstance(room.facts[0], ev.StoreFailed)
    assert room.there() == ["a"]


@pytest.mark.parametrize(
    ("owner", "method"), [(Store, "_step"), (Store, "_begin"), (stores._Write, "go_on"), (stores._Write, "close")]
)
@pytest.mark.parametrize("turn", [0, 1])
def test_a_bug_is_told_once_and_the_next_file_is_written(
    room: Room, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, turn: int
) -> None:
    """A bug at an order's beginning was told to nobody, so that its call hung; one in a later turn left the fd open."""
    fds = len(os.listdir("/proc/self/fd"))
    real = getattr(owner, method)
    left = [turn if method in ("_step", "go_on") else 0]

    def throwing(*args: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            raise RuntimeError
        return real(*args)

    monkeypatch.setattr(owner, method, throwing)
    room.perform(do.WriteFile(Upload("a"), "files/a", b"x" * 2 * PIECE_BYTES))
    for _ in range(3):
        room.store.timer(1.0)
    room.perform(do.WriteFile(Upload("b"), "files/b", b"small"))
    assert [fact.ticket for fact in room.facts] == [Upload("a"), Upload("b")]
    assert isinstance(room.facts[1], ev.Stored)
    assert len(os.listdir("/proc/self/fd")) == fds


def test_half_a_line_is_taken_back(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes the beginning of a result: the next one would stand in the same line."""
    room.perform(do.AppendFile(BatchResults("x"), "files/x", b"one\n"))

    class Full:
        """A file of a disk with room for three bytes."""

        def __init__(self, file: Any) -> None:
            self._file, self._room = file, 3

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *exc: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: memoryview) -> int:
            if not self._room:
                raise OSError(28, "No space left on device")
            taken, self._room = self._room, 0
            return int(self._file.write(data[:taken]))

    opened = os.fdopen
    monkeypatch.setattr(stores.os, "fdopen", lambda *args, **kwargs: Full(opened(*args, **kwargs)))
    room.perform(do.AppendFile(BatchResults("x"), "files/x", b"two\n"))
    monkeypatch.undo()
    assert room.facts[-1] == ev.StoreFailed(BatchResults("x"), "No space left on device")
    assert (room.root / "files" / "x").read_bytes() == b"one\n"


def test_the_end_leaves_no_file_that_is_not_whole(room: Room) -> None:
    room.perform(do.WriteFile(Upload("a"), "files/a", bytes(3 * MIB)))
    room.store.close()
    assert room.there() == []


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(10))
    source = StoredFile(str(path))
    assert (source.read(4), source.left) == (bytes(4), 6)
    path.write_bytes(b"")
    with pytest.raises(EOFError):
        source.read(4)
    source.close()
    source.close()
