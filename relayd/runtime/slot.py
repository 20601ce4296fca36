"""The fds and files of one Claude Code process: terminal, gate, transcript. Performs what the core orders.

Everything it makes is 0600 or 0700 and is removed by `remove`. It decides nothing: facts go to
`emit`. The process is in `Children` too, which reaps it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import assert_never

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.actions import Mode
from relayd.faults import describe
from relayd.runtime.bodies import Bodies, Kind
from relayd.runtime.children import Children, end
from relayd.runtime.files import PiecewiseFile, remove_in_order, write_private
from relayd.runtime.gate import Gate
from relayd.runtime.loop import Loop
from relayd.runtime.system import terminal
from relayd.runtime.tail import Tail
from relayd.runtime.timers import Poll, PollTimer

LAST_WORDS_READS = 64  # a grandchild may hold the terminal and write for ever
EARLIER_MAX = 4  # transcripts that are looked for when one conversation is forgotten; at the end all are
# For the sweep after a crash: pid and birth of the process, and the ids of the sessions whose files are ours.
RECORD_NAME, SESSIONS_NAME = "process", "sessions"


class Slot:
    """See the module's text."""

    def __init__(
        self, order: do.SpawnSlot, config: Config, loop: Loop, children: Children, emit: Callable[[ev.Event], None]
    ) -> None:
        self.name = order.slot
        self._order = order
        self._config = config
        self._loop = loop
        self._children = children
        self._emit = emit
        self._pty = terminal()(loop, config.read_chunk_bytes, self._output, self._hung_up)
        self._gate = Gate(order.paths.prompt, loop, self._gate_failed)
        self._gate_interval_s = config.gate_interval_s
        # Those of the conversation that it holds.
        self._conversation, self._transcript = order.paths.sessions[-1], order.paths.transcript
        self._later: list[do.ConversationFiles] = []  # of those that came after its first, all of them: a file may come back
        self._tail: Tail | None = None
        self._writing: PiecewiseFile | None = None  # the conversation, as long as it is not whole
        self._next_tail: Tail | None = None  # what is written after it
        self._bodies = Bodies(order.bodies)
        self._prompt, self._keys = b"", b""  # what goes through the gate and to the terminal after it

    def __repr__(self) -> str:
        return f"<Slot {self.name[:8]} {self._pty!r} {self._gate!r} {self._tail!r}>"

    def spawn(self, now: float) -> None:
        """Make the files, and start the process if it can wait for its conversation."""
        try:
            self._make_files()
        except OSError as error:
            self._emit(ev.SpawnFailed(self.name, f"{type(error).__name__}: {error}"))
            return
        if self._order.mode is Mode.LATE:
            self._emit(ev.GateOpened(self.name))
        elif self._start() and self._order.mode is Mode.GATE:
            self._loop.set_timer(self._timer(Poll.GATE), now + self._gate_interval_s)

    def _start(self) -> bool:
        """Start the process; True if it runs."""
        try:
            launch = self._order.launch
            pid = self._pty.spawn(list(launch.argv), launch.env, launch.cwd, self._config.rows, self._config.columns)
        except (OSError, ValueError) as error:  # these name a file at most
            self._emit(ev.SpawnFailed(self.name, f"{type(error).__name__}: {error}"))
            return False
        except Exception as error:  # pywinpty's own, or a bug: its text may quote the command line
            self._emit(ev.SpawnFailed(self.name, describe(error)))
            return False
        try:
            self._children.add(self.name, pid, f"{self._order.paths.directory}/{RECORD_NAME}")
        except Exception as error:  # costs this process: nobody would count it, signal it or reap it
            end(pid)
            self._emit(ev.SpawnFailed(self.name, describe(error)))
            return False
        self._emit(ev.SlotSpawned(self.name, pid))
        return True

    def _make_files(self) -> None:
        paths = self._order.paths
        os.makedirs(os.path.dirname(paths.transcript), mode=0o700, exist_ok=True)
        os.makedirs(paths.directory, mode=0o700, exist_ok=True)
        # Before there is any file of theirs.
        write_private(f"{paths.directory}/{SESSIONS_NAME}", "\n".join(paths.sessions).encode())
        if self._order.mode is Mode.GATE:
            Gate.make(paths.prompt)
        for path, data in self._order.launch.files.items():
            write_private(path, data)
        write_private(paths.placeholder, self._order.placeholder)

    def hurry(self, now: float) -> None:
        """A call waits: ask the gate more often."""
        self._gate_interval_s = self._config.gate_hurry_s
        if self._order.mode is Mode.GATE and self._gate.fileno() < 0:
            self._loop.set_timer(self._timer(Poll.GATE), now)

    def timer(self, what: Poll, now: float) -> None:
        """One of the slot's own timers."""
        match what:
            case Poll.TAIL:
                self.read_bodies()
                self._read_tail()
                self._loop.set_timer(self._timer(Poll.TAIL), now + self._config.tail_interval_s)
            case Poll.EARLIER:
                self._forget_earlier()
            case Poll.WRITE:
                self._write_on(now)
            case Poll.GATE:
                self._look_at_gate(now)
            case _:
                assert_never(what)

    def _look_at_gate(self, now: float) -> None:
        try:
            opened = self._gate.try_open()
        except OSError as error:
            self._emit(ev.SlotBroke(self.name, f"the gate is gone: {error.strerror}"))
            return
        if opened:
            self._emit(ev.GateOpened(self.name))
        else:
            self._loop.set_timer(self._timer(Poll.GATE), now + self._gate_interval_s)

    def hand_over(self, order: do.HandOver, now: float) -> None:
        """The conversation first, then the gate: the process reads them in the other order."""
        self._stop_writing()
        try:
            if order.files:
                self._take_up(order.files, now)
            if self._order.mode is Mode.LATE and not self._later:
                write_private(self._order.paths.prompt, order.system_prompt)
            self._writing = PiecewiseFile(self._transcript, order.transcript)
        except OSError as error:
            self._emit(ev.HandOverFailed(self.name, f"{error.strerror}"))
            return
        self._prompt = order.system_prompt
        if self._tail:
            self._tail.close()
        self._tail, self._next_tail = None, Tail(self._transcript, len(order.transcript), self._config.read_chunk_bytes)
        self._write_on(now)

    def _take_up(self, files: do.ConversationFiles, now: float) -> None:
        """Another conversation begins. Its id is written down before there is any file of it; those of the earlier ones are
        deleted in a moment: Claude Code writes such a file anew if it goes at once.
        """
        self._later.append(files)
        ids = (*self._order.paths.sessions, *(each.session_id for each in self._later))
        write_private(f"{self._order.paths.directory}/{SESSIONS_NAME}", "\n".join(ids).encode())
        self._conversation, self._transcript = files.session_id, files.transcript
        self._loop.set_timer(self._timer(Poll.EARLIER), now + self._config.forget_after_s)

    def _forget_earlier(self) -> None:
        remove_in_order([path for path in self._transcripts()[-EARLIER_MAX:] if path != self._transcript])

    def _write_on(self, now: float) -> None:
        """A piece of the conversation a turn of the loop; after the last one the process may have it."""
        if self._writing is None:
            return
        try:
            is_whole = self._writing.write_on()
        except OSError as error:
            self._writing, self._keys = None, b""
            self._emit(ev.HandOverFailed(self.name, f"{error.strerror}"))
            return
        if not is_whole:
            self._loop.set_timer(self._timer(Poll.WRITE), now)
            return
        self._writing = None
        self._give(now)

    def _give(self, now: float) -> None:
        """The conversation is there: let the process go on to it, or start it, or have the keys that load it."""
        self._tail, self._next_tail = self._next_tail, None
        prompt, self._prompt = self._prompt, b""
        keys, self._keys = self._keys, b""
        if not self._later and self._order.mode is Mode.GATE:
            self._gate.send(prompt)
        elif not self._later and self._order.mode is Mode.LATE and not self._start():
            return
        self._loop.set_timer(self._timer(Poll.TAIL), now + self._config.tail_interval_s)
        if keys:
            self.write(keys)

    def _stop_writing(self) -> None:
        self._keys = b""
        if self._writing is not None:
            self._writing.close()
            self._writing = None
            self._loop.cancel_timer(self._timer(Poll.WRITE))

    def read_bodies(self, then: ev.HookArrived | None = None) -> None:
        """What Claude Code tells of the requests that it sends, and of their answers; then what it has told after them."""
        found = self._bodies.read()
        for kind, body in found:
            self._emit(ev.RequestTold(self.name, body) if kind is Kind.REQUEST else ev.AnswerTold(self.name, body))
        if found:
            self._emit(ev.BodiesRead(self.name))
        if then is not None:
            self._emit(then)

    @property
    def pid(self) -> int:
        """The process's; 0 if it was never started."""
        pid: int = self._pty.pid
        return pid

    def tell_memory(self, size_bytes: int | None) -> None:
        """How much the process holds, if the system says."""
        if size_bytes is not None:
            self._emit(ev.MemoryMeasured(self.name, size_bytes))

    def forget_transcript(self) -> None:
        """Delete the files of its conversation, and follow what is written next, which is not before keys are pressed."""
        self.read_bodies()
        self._read_tail()
        if not self._tail:
            remove_in_order(self._transcripts()[-EARLIER_MAX:])
            return
        self._tail.close()  # Windows deletes no file that is open
        if not remove_in_order(self._transcripts()[-EARLIER_MAX:]):
            self._tail.start_anew()
        self._loop.cancel_timer(self._timer(Poll.TAIL))

    def write(self, data: bytes) -> None:
        """Keys, or answers to terminal queries; they wait for a conversation that is still being written."""
        if self._writing is not None:
            self._keys += data
            return
        self._pty.write(data)
        if self._tail:
            self._loop.set_timer(self._timer(Poll.TAIL), 0.0)

    def edit(self, text: str, key: bytes) -> None:
        """Have the process open its editor, which brings this text."""
        try:
            write_private(self._order.paths.message, text.encode())
        except OSError as error:
            self._emit(ev.HandOverFailed(self.name, f"{error.strerror}"))
            return
        self.write(key)

    def signal(self, name: str) -> None:
        """End the process. One that was never started has ended."""
        if not self._pty.pid:
            self._emit(ev.PtyClosed(self.name))
            self._emit(ev.ChildExited(self.name, 0))
            return
        self._children.signal(self.name, name)

    def exited(self) -> None:
        """The process was reaped: take its last words before the core hears of it."""
        for _ in range(LAST_WORDS_READS):
            if not self._pty.drain():
                break
        self.read_bodies()
        while self._read_tail():
            pass
        self._loop.cancel_timer(self._timer(Poll.GATE))
        self._loop.cancel_timer(self._timer(Poll.TAIL))

    def _read_tail(self) -> bool:
        data = self._tail.read() if self._tail else b""
        if data:
            self._emit(ev.TranscriptGrew(self.name, self._conversation, data))
        elif self._tail and self._tail.was_cut:
            self._emit(ev.HandOverFailed(self.name, "somebody has cut its transcript"))
        return bool(data)

    def remove(self) -> tuple[str, ...]:
        """Close everything; what must be deleted, in this order: the directory says whose the rest is."""
        self._stop_writing()
        self._pty.hang_up()
        self._gate.shut()
        if self._tail:
            self._tail.close()
        for what in Poll:
            self._loop.cancel_timer(self._timer(what))
        beside = (*self._order.paths.beside, *(each.beside for each in self._later))
        return (*self._transcripts(), *beside, self._order.paths.directory)

    def _transcripts(self) -> tuple[str, ...]:
        return self._order.paths.placeholder, self._order.paths.transcript, *(each.transcript for each in self._later)

    def _output(self, data: bytes) -> None:
        self._emit(ev.PtyOutput(self.name, data))

    def _hung_up(self) -> None:
        status = self._pty.status
        self._emit(ev.PtyClosed(self.name))
        if status is not None:
            self._children.forget(self.name)
            self.exited()
            self._emit(ev.ChildExited(self.name, status))

    def _gate_failed(self, reason: str) -> None:
        self._emit(ev.HandOverFailed(self.name, reason))

    def _timer(self, what: Poll) -> PollTimer:
        return PollTimer(self.name, what)
