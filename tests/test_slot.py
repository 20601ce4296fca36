"""One process's files and fds on the real system: what a slot makes, reports and leaves."""

from __future__ import annotations

import os
import pathlib
import uuid

import pytest

from relayd.claude import launch
from relayd.claude.launch import Launch
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Mode
from relayd.runtime.children import Children
from relayd.runtime.loop import Loop
from relayd.runtime.slot import SESSIONS_NAME, Slot
from tests.helpers import until


class Bench:
    """A slot that runs a shell script, with a loop of its own."""

    def __init__(self, root: pathlib.Path, mode: Mode, script: str = "exec sleep 60") -> None:
        self.facts: list[object] = []
        self.loop = Loop(lambda key, now: self.slot.timer(key[2], now), lambda number, now: None)
        self.children = Children()
        name = str(uuid.uuid4())
        conversation = str(uuid.uuid4()) if mode is Mode.PROMPT else name
        self.paths = launch.slot_paths(f"{root}/state", f"{root}/claude", "/some/workspace", name, conversation)
        order = do.SpawnSlot(name, Launch(("/bin/sh", "-c", script), {}, "/", {}), self.paths, b"{}\n", mode)
        self.slot = Slot(order, Config(), self.loop, self.children, self.facts.append)
        self.slot.spawn(0.0)

    def seen(self, kind: type) -> list[object]:
        self.loop.turn(0.01)
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def end(self) -> None:
        self.slot.signal("KILL")
        until(self.children.reap)
        self.slot.remove()
        self.loop.close()


def test_a_gate_that_is_gone_breaks_a_slot_that_runs(tmp_path: pathlib.Path) -> None:
    """It was told as "could not be started", though the process ran: the core took it for dead and sent it no signal."""
    bench = Bench(tmp_path, Mode.GATE)
    os.unlink(bench.paths.prompt)
    (fact,) = until(lambda: bench.seen(ev.SlotBroke))
    assert isinstance(fact, ev.SlotBroke)
    assert fact.reason == "the gate is gone: No such file or directory"
    assert bench.seen(ev.SpawnFailed) == []
    assert len(bench.seen(ev.SlotSpawned)) == 1
    bench.end()


@pytest.mark.parametrize("mode", [Mode.GATE, Mode.PROMPT])
def test_a_terminal_that_failed_is_closed_once(tmp_path: pathlib.Path, mode: Mode) -> None:
    """The loop's guard tells a handler that it met an error while it drove it."""
    bench = Bench(tmp_path, mode)
    bench.slot._pty.failed()
    bench.slot._pty.failed()
    assert len(bench.seen(ev.PtyClosed)) == 1
    bench.end()


def test_a_transcript_that_cannot_be_deleted_is_not_read_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on Windows, which deletes no open file: the tail began anew at the old file's start, and told its lines twice."""
    bench = Bench(tmp_path, Mode.PROMPT)
    bench.slot.hand_over(b"old line\n", b"", 0.0)
    until(lambda: bench.seen(ev.SlotSpawned))

    def refuse(path: str) -> None:
        assert bench.slot._tail is not None
        assert bench.slot._tail._fd < 0, "it is still open"
        raise PermissionError

    monkeypatch.setattr(os, "unlink", refuse)
    bench.slot._read_tail()
    bench.slot.forget_transcript()
    monkeypatch.undo()
    with open(bench.paths.transcript, "ab") as file:
        file.write(b"new line\n")
    bench.slot._read_tail()
    assert [fact.data for fact in bench.facts if isinstance(fact, ev.TranscriptGrew)] == [b"new line\n"]
    bench.slot.forget_transcript()
    assert not os.path.exists(bench.paths.transcript)
    pathlib.Path(bench.paths.transcript).write_bytes(b"anew\n")
    bench.slot._read_tail()
    assert [fact.data for fact in bench.facts if isinstance(fact, ev.TranscriptGrew)] == [b"new line\n", b"anew\n"]
    bench.end()


def test_a_slot_records_its_sessions_before_it_makes_their_files(tmp_path: pathlib.Path) -> None:
    """A process at its prompt has two sessions; after a crash nobody would know the second one's files for ours."""
    bench = Bench(tmp_path, Mode.PROMPT)
    record = pathlib.Path(bench.paths.directory, SESSIONS_NAME)
    assert record.read_text().split() == [bench.slot.name, pathlib.Path(bench.paths.transcript).stem]
    assert len(set(record.read_text().split())) == 2
    left = bench.slot.remove()
    assert left[-1] == bench.paths.directory
    assert {bench.paths.placeholder, bench.paths.transcript, *bench.paths.beside} == set(left[:-1])
    bench.end()
