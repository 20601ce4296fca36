"""One process's files and fds on the real system: what a slot makes, reports and leaves."""

from __future__ import annotations

import os
import pathlib
import threading
import uuid

import pytest

from relayd.claude import launch
from relayd.claude.launch import Launch
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Mode
from relayd.runtime.children import Children
from relayd.runtime.files import PIECE_BYTES, remove_in_order
from relayd.runtime.loop import Loop
from relayd.runtime.pty_posix import Pty
from relayd.runtime.slot import SESSIONS_NAME, Slot
from relayd.runtime.timers import Poll
from tests.helpers import until


class Bench:
    """A slot that runs a shell script, with a loop of its own."""

    def __init__(self, root: pathlib.Path, mode: Mode, script: str = "exec sleep 60") -> None:
        self.facts: list[object] = []
        self.loop = Loop(lambda key, now: self.slot.timer(key.what, now), lambda number, now: None)
        self.children = Children()
        name = str(uuid.uuid4())
        conversation = str(uuid.uuid4()) if mode is Mode.PROMPT else name
        self.paths = launch.slot_paths(f"{root}/state", f"{root}/claude", "/some/workspace", name, conversation)
        told = do.BodyFiles(self.paths.bodies, ".request.json", ".response.json", 1000)
        order = do.SpawnSlot(name, Launch(("/bin/sh", "-c", script), {}, "/", {}), self.paths, b"{}\n", told, mode)
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
    bench.slot.hand_over(do.HandOver(bench.slot.name, b"old line\n", b""), 0.0)
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


def test_a_long_conversation_is_written_a_piece_a_turn_and_given_when_it_is_whole(tmp_path: pathlib.Path) -> None:
    """32 MB were written at once, and all streams stood still meanwhile."""
    bench = Bench(tmp_path, Mode.GATE, "exec sleep 60")
    size = 5 * PIECE_BYTES + 1
    reader = threading.Thread(target=lambda: read.append(pathlib.Path(bench.paths.prompt).read_bytes()))
    read: list[bytes] = []
    reader.start()
    until(lambda: bench.seen(ev.GateOpened))
    bench.slot.hand_over(do.HandOver(bench.slot.name, b"x" * size, b"the prompt"), 0.0)
    path = pathlib.Path(bench.paths.transcript)
    sizes = [path.stat().st_size]
    while sizes[-1] < size:
        assert bench.slot._gate._out.size == 0, "the gate was written to before the conversation was whole"
        bench.loop.turn(0.01)
        sizes.append(path.stat().st_size)
    assert max(b - a for a, b in zip(sizes, sizes[1:], strict=False)) <= PIECE_BYTES
    assert len(sizes) == 6
    until(lambda: bench.seen(ev.GateOpened) and not reader.is_alive())
    assert read == [b"the prompt"]
    assert path.read_bytes() == b"x" * size
    bench.end()


def test_a_process_that_takes_up_another_conversation_leaves_no_file_of_the_one_before(tmp_path: pathlib.Path) -> None:
    """Its id is written down first. The file of the one before goes in a moment: Claude Code would write it anew."""
    bench = Bench(tmp_path, Mode.PROMPT)
    project = pathlib.Path(bench.paths.transcript).parent
    bench.slot.hand_over(do.HandOver(bench.slot.name, b"first\n", b""), 0.0)
    for number in range(3):
        name = str(uuid.uuid4())
        files = do.ConversationFiles(name, str(project / f"{name}.jsonl"), str(project / name))
        bench.slot.hand_over(do.HandOver(bench.slot.name, b"later\n", b"", files), 0.0)
        assert name in pathlib.Path(bench.paths.directory, SESSIONS_NAME).read_text().split()
        assert pathlib.Path(files.transcript).read_bytes() == b"later\n"
        bench.slot.timer(Poll.EARLIER, 1.0)
        assert [path.name for path in project.iterdir()] == [f"{name}.jsonl"]
        with open(files.transcript, "ab") as file:
            file.write(b"grown %d\n" % number)
        bench.slot.timer(Poll.TAIL, 1.0)
        assert ev.TranscriptGrew(bench.slot.name, name, b"grown %d\n" % number) in bench.facts
    left = bench.slot.remove()
    assert sum(path.startswith(str(project)) for path in left) == 2 * 5  # the placeholder's, the first one's, three later ones
    bench.end()


def test_a_disk_that_fills_in_the_middle_fails_the_hand_over_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, Mode.PROMPT)
    fds = len(os.listdir("/proc/self/fd"))
    bench.slot.hand_over(do.HandOver(bench.slot.name, b"x" * 3 * PIECE_BYTES, b""), 0.0)

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        bench.slot.timer(Poll.WRITE, 0.0)
    bench.slot.timer(Poll.WRITE, 0.0)
    assert [fact.reason for fact in bench.facts if isinstance(fact, ev.HandOverFailed)] == ["No space left on device"]
    assert len(os.listdir("/proc/self/fd")) == fds
    bench.end()


def test_a_slot_that_is_removed_in_the_middle_writes_no_more(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path, Mode.PROMPT)
    fds = len(os.listdir("/proc/self/fd"))
    bench.slot.hand_over(do.HandOver(bench.slot.name, b"x" * 3 * PIECE_BYTES, b""), 0.0)
    assert len(os.listdir("/proc/self/fd")) == fds + 1
    remove_in_order(bench.slot.remove())
    bench.slot.timer(Poll.WRITE, 0.0)
    assert not os.path.exists(bench.paths.transcript)
    bench.end()


def test_keys_wait_for_the_conversation_that_they_load(tmp_path: pathlib.Path) -> None:
    """A process at its prompt gets the keys in the same breath: it must not load half a conversation."""
    seen = tmp_path / "seen"
    bench = Bench(
        tmp_path, Mode.PROMPT, f'stty -echo; read path; wc -c <"$path" >{seen}.new; mv {seen}.new {seen}; exec sleep 60'
    )
    bench.slot.hand_over(do.HandOver(bench.slot.name, b"x" * 3 * PIECE_BYTES, b""), 0.0)
    bench.slot.write(bench.paths.transcript.encode())
    bench.slot.write(b"\r")
    until(lambda: bench.loop.turn(0.01) or seen.exists())
    assert seen.read_text().split() == [str(3 * PIECE_BYTES)]
    assert not bench.seen(ev.HandOverFailed)
    assert not bench.seen(ev.TranscriptGrew)
    with open(bench.paths.transcript, "ab") as file:
        file.write(b"the answer\n")
    (fact,) = until(lambda: bench.seen(ev.TranscriptGrew))
    assert isinstance(fact, ev.TranscriptGrew)
    assert fact.data == b"the answer\n"
    bench.end()


def test_what_a_failed_start_says_quotes_no_command_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason goes to the client and into the log; the texts of exceptions may hold anything."""

    def fail(*_: object) -> None:
        raise RuntimeError("SECRET-WORDS")

    monkeypatch.setattr(Pty, "spawn", fail)
    bench = Bench(tmp_path, Mode.PROMPT)
    (fact,) = bench.seen(ev.SpawnFailed)
    assert isinstance(fact, ev.SpawnFailed)
    assert fact.reason.startswith("RuntimeError at runtime/slot.py:")
    remove_in_order(bench.slot.remove())
    bench.loop.close()


@pytest.mark.parametrize("script", ["echo \0", "\ud800", "x" * 200_000])
def test_what_cannot_be_executed_is_a_start_that_failed_and_no_second_daemon(tmp_path: pathlib.Path, script: str) -> None:
    """A NUL in `model` reached argv: a forked copy of the daemon went on, and ran its clean-up (`test_spawning.py`)."""
    bench = Bench(tmp_path, Mode.PROMPT, script)
    assert len(bench.seen(ev.SpawnFailed)) == 1
    assert not bench.seen(ev.SlotSpawned)
    assert bench.children.reap() == []
    remove_in_order(bench.slot.remove())
    bench.loop.close()
