"""The thin shell on real fds: loop, timers, byte queue, tail, gate, children, orphans."""

from __future__ import annotations

import gc
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.faults import describe
from relayd.runtime.children import Children
from relayd.runtime.fifo import ByteQueue
from relayd.runtime.gate import Gate
from relayd.runtime.listener import Listener, bind
from relayd.runtime.loop import READ, SPIN_LIMIT, WRITE, Loop
from relayd.runtime.pty_posix import Pty
from relayd.runtime.tail import Tail
from tests.helpers import until


class Spy:
    """A handler on one end of a socket pair that writes down what happens to it."""

    def __init__(self, sock: socket.socket, wanted: int = READ) -> None:
        self.sock = sock
        self.sock.setblocking(False)
        self.wanted = wanted
        self.seen: list[int] = []
        self.moves = True
        self.closed = False
        self.failures = 0
        self.loop: Loop | None = None

    def fileno(self) -> int:
        return self.sock.fileno()

    def wants(self) -> int:
        return self.wanted

    def ready(self, mask: int, now: float) -> bool:
        self.seen.append(mask)
        return self.moves

    def flush(self, now: float) -> None:
        pass

    def failed(self) -> None:
        self.failures += 1
        if self.loop is not None:
            self.loop.forget(self)

    def close(self) -> None:
        self.closed = True
        self.sock.close()


@pytest.fixture
def fired() -> list[tuple[str, ...]]:
    return []


@pytest.fixture
def loop(fired: list[tuple[str, ...]]):  # type: ignore[no-untyped-def]
    made = Loop(lambda key, now: fired.append(key), lambda number, now: fired.append(("signal", str(number))))
    yield made
    made.close()


def test_timers_fire_once_in_order_and_not_when_cancelled_or_reset(loop: Loop, fired: list[tuple[str, ...]]) -> None:
    now = time.monotonic()
    for name, at in (("c", now - 1), ("a", now - 3), ("b", now - 2), ("gone", now - 9), ("later", now - 9)):
        loop.set_timer((name,), at)
    loop.cancel_timer(("gone",))
    loop.set_timer(("later",), now + 1000)
    loop.turn(0)
    loop.turn(0)
    assert fired == [("a",), ("b",), ("c",)]


def test_cancelled_timers_do_not_pile_up(loop: Loop) -> None:
    for number in range(10_000):
        loop.set_timer(("same",), time.monotonic() + 100 + number)
    assert len(loop._timers) < 200


def test_a_registration_that_is_not_theirs_any_more_is_not_dispatched(loop: Loop) -> None:
    """Two fds ready in one batch: the first handler's work forgets the second, whose number may be reused at once."""
    a, a_peer = socket.socketpair()
    b, b_peer = socket.socketpair()
    first, second = Spy(a), Spy(b)
    order: list[Spy] = []

    def forget_other(own: Spy, other: Spy) -> bool:
        order.append(own)
        loop.forget(other)
        return True

    first.ready = lambda mask, now: forget_other(first, second)  # type: ignore[method-assign]
    second.ready = lambda mask, now: forget_other(second, first)  # type: ignore[method-assign]
    loop.touch(first)
    loop.touch(second)
    loop.turn(0)
    a_peer.send(b"x")
    b_peer.send(b"x")
    loop.turn(1)
    assert len(order) == 1
    assert (second if order[0] is first else first).closed
    a_peer.close()
    b_peer.close()


def test_a_handler_that_never_moves_a_byte_is_ended(loop: Loop) -> None:
    a, peer = socket.socketpair()
    spy = Spy(a, READ)
    spy.moves, spy.loop = False, loop
    loop.touch(spy)
    peer.send(b"unread")
    for _ in range(SPIN_LIMIT + 5):
        loop.turn(0)
    assert spy.failures == 1  # it ends in its own way: its fd was closed behind its back, and nobody heard of it
    assert spy.closed
    assert loop.spins_ended == 1
    peer.close()


METHODS = ["ready", "flush", "wants"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fails_twice", [False, True])
def test_an_error_in_a_handler_costs_that_handler(method: str, fails_twice: bool) -> None:
    """Every call of a handler was bare: one exception ended the loop, and the daemon, with all calls."""
    errors: list[tuple[object, Exception]] = []
    loop = Loop(lambda key, now: None, lambda number, now: None, lambda what, error: errors.append((what, error)))
    pairs = [socket.socketpair() for _ in range(2)]
    bad, good = (Spy(pair[0]) for pair in pairs)
    for spy in (bad, good):
        spy.loop = loop
        loop.touch(spy)
    loop.turn(0)
    setattr(bad, method, broken)
    if fails_twice:
        bad.failed = broken  # type: ignore[method-assign]
    loop.touch(bad)
    for _, peer in pairs:
        peer.send(b"x")
    loop.turn(1)
    loop.turn(0)
    assert bad.closed  # also if it cannot end by itself
    assert good.seen == [READ] * len(good.seen) != []
    assert {what for what, _ in errors} == {bad}
    assert loop.errors == len(errors) == 1 + fails_twice
    loop.close()
    for _, peer in pairs:
        peer.close()


def broken(*args: object) -> bool:
    raise KeyError("PRIVATE WORDS")


def test_an_error_while_an_fd_is_closed_or_asked_for_ends_nothing(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    first, second = (Spy(pair[0]) for pair in pairs)
    for spy in (first, second):
        loop.touch(spy)
    loop.turn(0)
    first.close = broken  # type: ignore[method-assign, assignment]
    loop.forget(first)
    second.sock.close()  # behind the loop's back: its number is gone
    loop.forget(second)
    loop.turn(0)
    assert second.closed
    assert not loop._registered
    for near, far in pairs:
        near.close()
        far.close()


def test_a_bug_of_the_moment_while_an_fd_is_closed_leaves_no_fd(loop: Loop) -> None:
    """A terminal whose close had met a bug stayed open until Python found the circle that it was in."""
    near, far = socket.socketpair()
    spy, real = Spy(near), Spy.close
    tries: list[int] = []

    def close() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise KeyError("PRIVATE WORDS")
        real(spy)

    spy.close = close  # type: ignore[method-assign]
    loop.forget(spy)
    loop.turn(0)
    assert spy.closed
    assert loop.errors == 1
    far.close()


def test_an_error_in_a_timer_or_a_signal_ends_nothing() -> None:
    fired: list[object] = []

    def on_timer(key: object, now: float) -> None:
        fired.append(key)
        broken()

    def on_signal(number: int, now: float) -> None:
        fired.append(number)
        broken()

    loop = Loop(on_timer, on_signal)
    for name in ("a", "b"):
        loop.set_timer(name, 0.0)
    loop._wake_out.send(bytes([signal.SIGUSR1, signal.SIGUSR2]))
    loop.turn(0)
    assert fired == [signal.SIGUSR1, signal.SIGUSR2, "a", "b"]
    assert loop.errors == 4
    loop.close()


def test_a_report_that_fails_ends_nothing() -> None:
    loop = Loop(broken, broken, broken)
    loop.set_timer("a", 0.0)
    loop.turn(0)
    assert loop.errors == 1
    loop.close()


def test_a_timer_that_is_set_for_now_waits_for_the_next_turn() -> None:
    """Set by a handler or by another timer: it could hold the loop, or give its owner two turns in one."""
    fired: list[object] = []

    def again(key: object, now: float) -> None:
        fired.append(key)
        loop.set_timer(key, 0.0)

    loop = Loop(again, lambda number, now: None)
    near, far = socket.socketpair()
    spy = Spy(near)
    spy.ready = lambda mask, now: loop.set_timer("from a handler", now) or bool(near.recv(9))  # type: ignore[method-assign, func-returns-value]
    loop.touch(spy)
    loop.set_timer("a", 0.0)
    far.send(b"x")
    loop.turn(1)
    assert fired == ["a"]
    loop.turn(1)
    assert sorted(map(str, fired)) == ["a", "a", "from a handler"]
    loop.close()
    far.close()


def test_a_stall_moves_deadlines_and_no_other_timers(loop: Loop, fired: list[tuple[str, ...]]) -> None:
    """The ping for the service manager was moved by the very stall that it had to show."""
    now = time.monotonic()
    loop.set_timer(("deadline",), now - 1.0)
    loop.set_timer(("ping",), now - 1.0, forgiven=False)
    loop._woke = now - 60.0
    loop.turn(0)
    assert fired == [("ping",)]


def test_the_place_of_an_error_is_told_and_not_its_text() -> None:
    try:
        int("PRIVATE WORDS")
    except ValueError as error:
        text = describe(error)
    assert text.startswith("ValueError at ")
    assert "test_runtime.py:" in text
    assert "PRIVATE" not in text


def test_no_interest_means_no_registration(loop: Loop) -> None:
    """An interest of 0 is accepted by epoll and spins when the peer hangs up."""
    a, peer = socket.socketpair()
    spy = Spy(a, WRITE)
    loop.touch(spy)
    loop.turn(0)
    assert spy.seen
    spy.wanted = 0
    loop.touch(spy)
    loop.turn(0)
    peer.close()
    spy.seen.clear()
    loop.turn(0)
    assert not spy.seen
    loop.forget(spy)


def test_signals_wake_the_loop(loop: Loop, fired: list[tuple[str, ...]]) -> None:
    old = signal.getsignal(signal.SIGUSR1)
    loop.catch((signal.SIGUSR1,))
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.turn(5)
    assert fired == [("signal", str(int(signal.SIGUSR1)))]
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGUSR1, old)


@given(st.lists(st.binary(max_size=6000) | st.integers(1, 9000), max_size=30))
def test_a_byte_queue_gives_back_what_it_was_given(steps: list[bytes | int]) -> None:
    queue, model = ByteQueue(), b""
    for step in steps:
        if isinstance(step, bytes):
            queue.append(step)
            model += step
        else:
            head = bytes(queue.head(step))
            assert model.startswith(head)
            assert bool(head) == bool(model)
            queue.drop(len(head))
            model = model[len(head) :]
        assert queue.size == len(model)


def test_a_tail_reads_what_is_appended_and_survives_what_is_not_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "t"
    tail = Tail(str(path), 3, 4)
    assert tail.read() == b""
    path.write_bytes(b"oldnewer")
    assert [tail.read(), tail.read(), tail.read()] == [b"newe", b"r", b""]
    with path.open("ab") as file:
        file.write(b"!")
    assert tail.read() == b"!"
    path.write_bytes(b"")
    assert tail.read() == b""
    tail.close()


def test_a_gate_opens_when_somebody_reads_and_carries_more_than_a_pipe_holds(loop: Loop, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    failures: list[str] = []
    gate = Gate(path, loop, failures.append)
    assert not gate.try_open()
    program = "import sys; sys.stdout.write(str(len(open(sys.argv[1]).read())))"
    reader = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
    until(gate.try_open)
    gate.send(b"x" * 300_000)
    until(lambda: loop.turn(0.01) or reader.poll() is not None)
    out, _ = reader.communicate()
    assert out == b"300000"
    assert not failures


def test_a_gate_whose_reader_dies_says_so(loop: Loop, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    failures: list[str] = []
    gate = Gate(path, loop, failures.append)
    reader = subprocess.Popen([sys.executable, "-c", "import sys, time; f = open(sys.argv[1]); time.sleep(60)", path])
    until(gate.try_open)
    reader.kill()
    reader.wait()
    gate.send(b"x")
    assert len(failures) == 1
    loop.turn(0)


def test_a_gate_that_failed_says_so_once(loop: Loop, tmp_path: pathlib.Path) -> None:
    """The loop's guard tells a handler that it met an error while it drove it. Two branches had two answers: the one that was
    merged reported each time, also of a gate that only waits. The fd stays open until the process has ended."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    failures: list[str] = []
    gate = Gate(path, loop, failures.append)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert gate.try_open()
    gate.failed()  # nothing was being written
    assert failures == []
    gate.send(b"x" * 300_000)
    gate.failed()
    gate.failed()
    assert failures == ["relayd met an error while it wrote the system prompt"]
    loop.turn(0)
    os.set_blocking(gate.fileno(), False)  # it is still open
    assert gate.wants() == 0
    gate.shut()
    loop.turn(0)
    assert gate.fileno() < 0
    os.close(reader)


def test_time_in_which_the_daemon_stood_still_is_nobodys() -> None:
    """Stopped for longer than a deadline, it gave up processes whose signs of life it had not read yet."""
    fired: list[tuple[str, ...]] = []
    loop = Loop(lambda key, now: fired.append(key), lambda number, now: None)
    loop.turn(0)
    now = time.monotonic()
    loop.set_timer(("due",), now - 0.1)
    loop.set_timer(("deadline",), now + 0.5)
    time.sleep(1.2)  # the stop itself, longer than STALL_S
    loop.turn(0)
    assert fired == [("due",)]
    until(lambda: loop.turn(0.01) or fired == [("due",), ("deadline",)])
    assert time.monotonic() - now > 1.6
    loop.close()


def test_a_terminal_reports_output_end_and_exit(loop: Loop) -> None:
    output: list[bytes] = []
    closed: list[bool] = []
    children = Children()
    pty = Pty(loop, 4096, output.append, lambda: closed.append(True))
    pid = pty.spawn(["/bin/sh", "-c", "stty -echo; read line; echo got $line; exit 7"], {"PATH": "/usr/bin:/bin"}, "/", 24, 80)
    children.add("s", pid, os.devnull)
    pty.write(b"keys\r")
    until(lambda: loop.turn(0.01) or closed)
    ended = until(children.reap)
    assert ended == [("s", 7)]
    assert b"got keys" in b"".join(output)
    assert closed == [True]
    assert children.reap() == []


def test_a_program_that_cannot_be_started_is_an_error(loop: Loop) -> None:
    pty = Pty(loop, 4096, lambda data: None, lambda: None)
    with pytest.raises(Exception, match="not found|No such file"):
        pty.spawn(["/nonexistent/claude"], {}, "/", 24, 80)


def test_a_file_that_is_no_program_yet_leaves_no_process_and_no_terminal(loop: Loop, tmp_path: pathlib.Path) -> None:
    """`claude` was just being written when a process was started: the dead child and its terminal stayed until Python
    looked for reference cycles, which can be never."""
    program = tmp_path / "claude"
    program.touch(0o755)
    before, children = os.listdir("/proc/self/fd"), psutil.Process().children()
    gc.disable()
    try:
        with pytest.raises(OSError, match="Exec format error"):
            Pty(loop, 4096, lambda data: None, lambda: None).spawn([str(program)], {}, "/", 24, 80)
        assert os.listdir("/proc/self/fd") == before
        assert psutil.Process().children() == children
    finally:
        gc.enable()


def test_a_start_that_fails_for_want_of_fds_leaves_none_open(loop: Loop) -> None:
    """Each left two, so a daemon that was short of fds for a while never recovered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]  # no gaps below them
    before = os.listdir("/proc/self/fd")
    for room in (2, 3):
        pty = Pty(loop, 4096, lambda data: None, lambda: None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1 + room, hard))
        try:
            with pytest.raises(OSError, match="out of pty|Too many open files"):
                pty.spawn(["/bin/true"], {}, "/", 24, 80)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir("/proc/self/fd") == before
    for fd in held:
        os.close(fd)


def test_a_listener_that_is_full_leaves_clients_in_the_backlog(loop: Loop) -> None:
    accepted: list[socket.socket] = []
    sock = bind("127.0.0.1", 0)
    listener = Listener(sock, loop, 2, lambda s, now: accepted.append(s), lambda: len(accepted) >= 3)
    loop.touch(listener)
    clients = [socket.create_connection(sock.getsockname()) for _ in range(5)]
    for _ in range(5):
        loop.turn(0.05)
    assert len(accepted) == 3
    for each in [*clients, *accepted]:
        each.close()
    loop.forget(listener)
