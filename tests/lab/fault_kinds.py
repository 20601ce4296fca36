"""The faults, each at a random moment of a call: to processes, files, connections, limits, the daemon. Called by `faults.py`.

Each returns the outcome of its call: `ok`, the type of a well-formed error, `gone` where the client or the daemon
had left, `BAD: …` for anything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import resource
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

from relayd.doctor.checks import TOOL
from tests.lab.fault_world import GONE, World, clock_of, dial, read_outcome, request_bytes

PIDFD_GETFD = 438  # Linux's system call; the number is the same on all its architectures


def _signal_one(world: World, number: int) -> None:
    pids = world.pids()
    if pids:
        os.kill(world.chance.choice(pids), number)


def killed(world: World) -> str:
    """kill -9 of any process, in whatever state it is."""
    return world.during(lambda: _signal_one(world, signal.SIGKILL))


def stopped(world: World) -> str:
    """kill -STOP of any process."""
    return world.during(lambda: _signal_one(world, signal.SIGSTOP))


def terminated(world: World) -> str:
    """A polite signal from elsewhere."""
    return world.during(lambda: _signal_one(world, signal.SIGTERM))


def truncated(world: World) -> str:
    """A transcript cut short, at any point."""

    def cut() -> None:
        for path in world.transcripts():
            os.truncate(path, world.chance.randrange(path.stat().st_size + 1))

    return world.during(cut)


def replaced(world: World) -> str:
    """Links to themselves where the transcripts were: they cannot be read, nor written."""

    def replace() -> None:
        for path in world.transcripts():
            path.unlink()
            path.symlink_to(path)

    return world.during(replace)


def removed(world: World) -> str:
    """Transcripts deleted."""

    def remove() -> None:
        for path in world.transcripts():
            path.unlink()

    return world.during(remove)


def garbled(world: World) -> str:
    """Half lines and nonsense in the transcripts."""

    def add() -> None:
        for path in world.transcripts():
            with path.open("ab") as file:
                file.write(world.chance.randbytes(300) + b'\n{"type":"assistant","message":{"id":"x"\n')

    return world.during(add)


def upstream(world: World) -> str:
    """The API fails in every way it can."""
    errors = [f"[[error {status} x]]" for status in (400, 401, 403, 404, 413, 429, 500, 529)]
    breaks = ("[[reset]]", "[[hang]]", "[[cut]] [[long 500]]", "[[midway 529]] [[long 500]]", "[[stop refusal]]")
    return world.during(lambda: None, world.chance.choice((*errors, *breaks)))


def vanished(world: World) -> str:
    """A client that leaves at some moment."""
    with dial(world) as sock:
        sock.sendall(request_bytes(world, world.body()))
        world.moment()
    return GONE


def stalled(world: World) -> str:
    """A client that does not read a long answer, and leaves."""
    with dial(world) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(request_bytes(world, world.body("[[long 200000]]")))
        world.moment(2.0)
    return GONE


def dripped(world: World) -> str:
    """A client that half-closes after a request that came byte by byte, in pieces."""
    with dial(world) as sock:
        body = world.body("[[say fine]]")
        data = request_bytes(world, body)
        while data:
            size = world.chance.choice((1, 1, 3, 40))
            sock.sendall(data[:size])
            data = data[size:]
            time.sleep(0.001)
        sock.shutdown(socket.SHUT_WR)
        return read_outcome(sock, body)


def pipelined(world: World) -> str:
    """Two requests at once on one connection."""
    with dial(world) as sock:
        body = world.body("[[say fine]]")
        sock.sendall(request_bytes(world, body) + request_bytes(world, body, "connection: close\r\n"))
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    whole = data.count(b'"end_turn"')
    return "ok" if data.count(b"HTTP/1.1 200") == whole == 2 else f"BAD: {whole} answers"


def full(world: World) -> str:
    """No file can be written any more, by the daemon or by its processes, as on a full disk; later it can."""

    def fill() -> None:
        limited = [(pid, limit_of(pid, resource.RLIMIT_FSIZE, 0)) for pid in (world.harness.pid, *world.pids())]
        world.moment(2.0)
        for pid, before in limited:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return world.during(fill)


def exhausted(world: World) -> str:
    """The daemon has no fds left, for a while."""

    def exhaust() -> None:
        used = max(int(name) for name in os.listdir(f"/proc/{world.harness.pid}/fd")) + 1
        before = limit_of(world.harness.pid, resource.RLIMIT_NOFILE, used - world.chance.randrange(3))
        world.moment(2.0)
        resource.prlimit(world.harness.pid, resource.RLIMIT_NOFILE, before)

    return world.during(exhaust)


def limit_of(pid: int, kind: int, soft: int) -> tuple[int, int]:
    """Set a soft limit of a process; what the limits were."""
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (soft, before[1]))
    return before


def paused(world: World) -> str:
    """The daemon stands still for a while, and all its clocks jump."""

    def pause() -> None:
        os.kill(world.harness.pid, signal.SIGSTOP)
        world.moment(4.0)
        os.kill(world.harness.pid, signal.SIGCONT)

    return world.during(pause)


def jumped(world: World) -> str:
    """The daemon's wall clock is set, by up to twelve days in either direction."""
    return world.during(lambda: clock_of(world.harness).write_text(str(world.chance.uniform(-1e6, 1e6))))


def clogged(world: World) -> str:
    """A process stops reading just when it is handed a long system prompt, and may go on later."""

    def clog() -> None:
        pids = world.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        world.moment(4.0)
        for pid in world.chance.choice((pids, [])):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return world.during(clog, "[[say fine]]", system="a long system prompt " * 20_000)


def dropped(world: World) -> str:
    """Connections break in a round of tools: hooks, telemetry, the MCP call that waits for the client; sometimes the client's."""
    value: dict[str, Any] = world.value('[[tool get {"k": 1}]] [[final done]]') | {"tools": [TOOL], "stream": False}
    outcome = world.during(lambda: drop(world), value=value)
    content = world.last.get("content")
    if outcome != "ok" or not content or content[-1]["type"] != "tool_use":
        return _or_gone(outcome)
    drop(world)
    result = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "it"}
    value["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    return _or_gone(world.during(lambda: drop(world), value=value))


def _or_gone(outcome: str) -> str:
    """Where the client's own connection may have been broken."""
    return GONE if outcome.startswith("BAD: ") and "within" not in outcome and "in b'" not in outcome else outcome


def drop(world: World) -> None:
    """Break the connections that the daemon has accepted, one in two."""
    pidfd = os.pidfd_open(world.harness.pid)
    for name in os.listdir(f"/proc/{world.harness.pid}/fd"):
        fd = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, int(name), 0)
        if fd >= 0 and stat.S_ISSOCK(os.fstat(fd).st_mode):
            with contextlib.suppress(OSError), socket.socket(fileno=fd) as sock:
                accepted = sock.family == socket.AF_INET and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if accepted and world.chance.random() < 0.5:
                    sock.shutdown(socket.SHUT_RDWR)
        elif fd >= 0:
            os.close(fd)
    os.close(pidfd)


def updated(world: World) -> str:
    """`claude` replaced on disk while it runs."""
    link = pathlib.Path(world.harness.claude)

    def swap() -> None:
        new = link.with_name("claude.new")
        new.write_bytes(link.read_bytes() + b"# another version\n")
        new.chmod(0o700)
        new.replace(link)

    return world.during(swap)


def crashed(world: World) -> str:
    """kill -9 of the daemon under load; the next daemon finds nothing but what it sweeps."""

    def crash() -> None:
        world.harness.kill()

    crowd = [threading.Thread(target=world.call, args=(world.body(),)) for _ in range(2)]
    for thread in crowd:
        thread.start()
    outcome = world.during(crash)
    for thread in crowd:
        thread.join()
    left = _running(world)
    world.harness.start()
    if any(_runs(pid) for pid in left):
        return "BAD: a process of the daemon before still runs"
    return _or_gone(outcome)


def _running(world: World) -> list[int]:
    records = pathlib.Path(world.harness.state_dir, "slots").glob("*/process")
    return [int(record.read_text().split()[0]) for record in records]


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


KINDS = (
    *(killed, stopped, terminated, clogged, truncated, removed, replaced, garbled, full, exhausted, upstream),
    *(dropped, vanished, stalled, dripped, pipelined, updated, paused, jumped, crashed),
)
FAULTS: dict[str, Callable[[World], str]] = {fault.__name__: fault for fault in KINDS}
