"""relayd's macOS side: on a system that shows itself as macOS does (`as_macos.py`), and against its structures by hand."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pathlib
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest

from relayd.doctor import client
from relayd.doctor.harness import Harness
from relayd.runtime import orphans, peer, peer_macos, system
from relayd.runtime.notify import Notifier
from tests.daemon.test_http import children
from tests.helpers import ask, connect, connected, events_of, post, request_bytes, text_of, until

PROGRAM = ("-P", str(pathlib.Path(__file__).parents[1] / "as_macos.py"))


@pytest.fixture
def macos(daemon: Callable[..., Harness]) -> Callable[..., Harness]:
    return lambda **flags: daemon(program=PROGRAM, **flags)


def is_in_a_turn(harness: Harness) -> bool:
    states = {slot["state"] for slot in client.get(harness.url, "/v1/status").value["slots"]}
    return bool(states & {"starting", "running"})


def nothing_left(harness: Harness) -> None:
    until(lambda: not children(harness))
    until(lambda: not list(pathlib.Path(harness.state_dir, "slots").glob("*")))


def test_calls_streams_and_deaths(macos: Callable[..., Harness]) -> None:
    harness = macos(idle=0, interrupt_limit_s=0.2, term_limit_s=0.2)
    assert text_of(post(harness.url, ask("echo one"))[2]) == "one"
    assert events_of(post(harness.url, ask("flood 200000 echo", stream=True))[2])[-1]["type"] == "message_stop"
    assert post(harness.url, ask("crash running"))[0] == 500
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("hang")))
        until(lambda: is_in_a_turn(harness))
    nothing_left(harness)
    assert harness.stop() == 0
    assert not [line for line in harness.log if "error:" in line or "bug" in line]


def test_orphans_are_known_again_in_another_language_and_time_zone(macos: Callable[..., Harness]) -> None:
    """Their birth came from `ps` in the words of whoever asked: a daemon of launchd's did not know those of a terminal's."""
    harness = macos(idle=0)
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("hang ignore-term")))
        until(lambda: is_in_a_turn(harness))
        (left,) = children(harness)
        harness.kill()
    assert orphans.birth(left), "it ignores that its terminal is gone"
    harness.environment |= {"TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8", "LC_TIME": "de_DE.UTF-8"}
    harness.start()
    until(lambda: not orphans.birth(left))


def test_a_group_that_is_refused_is_signalled_by_its_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS says EPERM for a group with a dead process in it: the orphan lived on."""

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(orphans, "SENDERS", (refuse, os.kill))
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        orphans.Orphan(sleeper.pid, orphans.birth(sleeper.pid)).send(9)
        assert sleeper.wait(10) == -9


class Libproc:
    """proc_pidinfo(3), of one process."""

    def __init__(self, size: int) -> None:
        self.size = size

    def proc_pidinfo(self, pid: int, flavor: int, argument: ctypes.c_uint64, info: ctypes.Array[ctypes.c_char], room: int) -> int:
        assert (flavor, argument.value, room) == (3, 0, len(info))
        values = struct.pack("=12I16s32s5IiQQ", *[0] * 12, b"claude", b"claude", *[0] * 5, 0, 1_700_000_000, 42)
        info.raw = values
        return self.size if pid == 7 else 0


@pytest.mark.parametrize(("size", "pid", "found"), [(136, 7, "1700000000.000042"), (136, 8, ""), (140, 7, "by ps")])
def test_a_birth_comes_from_libproc_without_a_process_of_its_own(
    size: int, pid: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `ps` was started by the loop for each process; it is asked only where libproc has another structure."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Libproc(size))
    monkeypatch.setattr(orphans, "_birth_by_ps", lambda pid: "by ps")
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("builtins.open", lambda *a, **k: (_ for _ in ()).throw(FileNotFoundError()))
    answer = orphans.birth(pid)
    monkeypatch.undo()
    assert answer == found


@pytest.mark.parametrize(
    ("most", "soft", "wanted"),
    [(65_536, 256, 65_536), (12_000, 256, 10_240), (5000, 256, 4096), (300, 256, 256), (5000, 4500, 4500)],
)
def test_fds_are_had_in_steps(most: int, soft: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One refused try left the daemon at 256, below its own limit of connections."""
    limits = {resource.RLIMIT_NOFILE: (soft, -1), resource.RLIMIT_CORE: (0, 0)}

    def setrlimit(which: int, both: tuple[int, int]) -> None:
        if which == resource.RLIMIT_NOFILE and both[0] > most:
            raise ValueError("current limit exceeds maximum limit")
        limits[which] = both

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    system.set_limits()
    assert limits[resource.RLIMIT_NOFILE][0] == wanted


def test_a_path_has_the_case_of_the_file_system(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME=/users/anna: Claude Code's transcripts lay below another name than relayd looked for."""
    for name in ("Users", "users"):  # one and the same there
        (tmp_path / name / "anna").mkdir(parents=True)
    monkeypatch.setattr(fcntl, "F_GETPATH", 50, raising=False)

    def getpath(fd: int, command: int, room: bytes) -> bytes:
        return os.readlink(f"/proc/self/fd/{fd}").replace("/users/", "/Users/").encode().ljust(len(room), b"\0")

    monkeypatch.setattr(fcntl, "fcntl", getpath)
    assert system.real_path(f"{tmp_path}/users/anna") == f"{tmp_path}/Users/anna"
    assert system.real_path(f"{tmp_path}/users/anna/Library/not yet") == f"{tmp_path}/Users/anna/Library/not yet"
    monkeypatch.undo()
    assert system.real_path(f"{tmp_path}/users/anna") == f"{tmp_path}/users/anna"


def records(family: int, source: tuple[str, int], destination: tuple[str, int], uid: int, state: int = 2) -> bytes:
    """What the kernel lists of one socket: its addresses, its owner, and more that does not matter."""
    width = 16
    far, near = (socket.inet_pton(family, host).rjust(width, b"\xaa") for host in (destination[0], source[0]))
    ports = struct.pack("!HH", destination[1], source[1])
    pcb = struct.pack("=IIQ4sQQiIBBB", 104, 0x010, 0xFFFF, ports, 0, 0, 0, 0, 1, 64, 6).ljust(48, b"\0") + far + near
    pcb = pcb.ljust(100, b"\0") + b"pad!"
    owner = struct.pack("=IIQhIhhQiihhhhHiII", 76, 0x001, 0xEEEE, 1, 0, 0, state, 0, 6, 2, 0, 0, 0, 0, 0, 0, 0, uid)
    # The compiler aligns four-byte fields: after so_type and after so_error.
    owner = owner[:18] + b"\0\0" + owner[18:52] + owner[52:54] + b"\0\0" + owner[54:]
    rest = b"".join(struct.pack("=II", 32, kind).ljust(32, b"\0") for kind in (0x002, 0x004, 0x008)) + struct.pack(
        "=II", 208, 0x020
    )
    return pcb + owner.ljust(80, b"\0") + rest.ljust(len(rest) + 200, b"\0")


HEAD = struct.pack("=IIQQ", 24, 2, 1, 1)  # struct xinpgen
OURS = os.geteuid()


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
@pytest.mark.parametrize(
    ("uid_of_peer", "state", "our_uid", "expected"),
    [
        (OURS, 2, OURS, OURS),
        (501, 2, OURS, 501),
        (501, 3, OURS, peer.NOBODY),  # its process has closed it
        (501, 2, OURS + 77, None),  # our own end has another owner than us: the structures are not those that we know
        (None, 2, OURS, None),
    ],
)
def test_macos_says_who_has_connected(
    family: int,
    host: str,
    uid_of_peer: int | None,
    state: int,
    our_uid: int,
    expected: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with connected(family, host) as (client, accepted):
        near, far = accepted.getsockname()[:2], client.getsockname()[:2]
        table = HEAD + records(family, (host, 1), near, 99) + records(family, near, far, our_uid)
        if uid_of_peer is not None:
            table += records(family, far, near, uid_of_peer, state)
        monkeypatch.setattr(peer_macos, "_read_list", lambda: table + HEAD)
        assert peer.peer_uid(accepted) == expected
        assert peer.is_held(accepted) == (expected not in (None, peer.NOBODY))
        for cut in range(0, len(table), 7):  # whatever comes, it is an answer and no exception
            monkeypatch.setattr(peer_macos, "_read_list", lambda cut=cut: table[:cut])
            peer.peer_uid(accepted)


def test_without_the_list_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has no such list: nobody is refused for that."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert peer.peer_uid(accepted) is None
        assert not peer.is_held(accepted)


def test_a_notifier_needs_no_flag_that_macos_lacks(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SOCK_CLOEXEC")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")}).tell("READY=1")
        assert listener.recv(100) == b"READY=1"
