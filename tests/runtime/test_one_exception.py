"""One exception costs one thing: every method of the network's edge throws in turn, under traffic, and the next client is served.

The list of methods is made from the classes, so that a new one is thrown from as well.
"""

from __future__ import annotations

import contextlib
import inspect
import pathlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from relayd.core.batches.record import Batch
from relayd.core.batches.recovery import BatchFiles
from relayd.core.storage import results_path
from relayd.core.stored_at_start import StoredAtStart
from relayd.http.access import Access
from relayd.http.budget import BodyBudget
from relayd.http.http1 import Connection
from relayd.http.websocket import WebSocket
from relayd.runtime import clients, listener
from relayd.runtime.channel import Channel
from relayd.runtime.chores import Chores
from relayd.runtime.clients import Clients
from relayd.runtime.clock import HttpDate
from relayd.runtime.fifo import ByteQueue
from relayd.runtime.frames import Frames
from relayd.runtime.listener import Listener
from relayd.runtime.loop import Loop
from relayd.runtime.performer import Performer
from relayd.runtime.places import Places
from relayd.runtime.server import BAD_TURNS_MAX, Server
from relayd.runtime.stranger import Stranger
from relayd.runtime.timer_owners import TimerOwners
from tests.rig import Rig, running

CLASSES = (
    Access,
    BodyBudget,
    ByteQueue,
    Channel,
    Chores,
    Clients,
    Connection,
    Frames,
    HttpDate,
    Listener,
    Performer,
    Places,
    Server,
    Stranger,
    TimerOwners,
    WebSocket,
)
# What makes the server and what ends it is not under traffic; `_work` and what it calls are guarded by `run`; and
# an fd whose `close` throws is closed by Python when its owner is freed.
LEFT_OUT = {
    Server: {"__init__", "run", "_turn", "_work", "_write_log", "_end"},
    Performer: {"__init__", "add", "carry_on", "has_starts"},
    Chores: {"__init__"},
    TimerOwners: {"__init__", "__setattr__", "__delattr__", "__eq__", "__hash__"},
    Clients: {"__init__", "close", "left"},  # `left` is a pop from a table
    Channel: {"close"},
    Stranger: {"close"},
    Listener: {"__init__", "close"},
    Places: {"__init__"},
    BodyBudget: {"__init__"},
    HttpDate: {"__init__"},
    Access: {"__init__", "__setattr__", "__delattr__", "__eq__", "__hash__"},
}


def methods() -> Iterator[tuple[type, str]]:
    for owner in CLASSES:
        for name, value in vars(owner).items():
            is_method = inspect.isfunction(value) or isinstance(value, property)
            if is_method and name != "__repr__" and name not in LEFT_OUT.get(owner, ()):
                yield owner, name


DAEMONS_OWN = (Server, Performer, Chores, TimerOwners)  # much of what they do needs processes, timers and signals
# These need a process that answers, an error, or want of fds: they have tests of their own.
NOT_REACHED = {
    *("Channel.backlog", "Clients.backlog"),  # only a fallback asks
    *("Channel.start_stream", "Channel.chunk", "Channel.end_stream", "Channel.failed", "Channel.has_output"),
    *("Connection.start_stream", "Connection.chunk", "Connection.end_stream", "ByteQueue._merge"),
    *("Clients.reconfigure", "Clients.end", "Stranger.failed", "Listener.failed", "Listener._rest", "Listener.wake"),
}


class Bug(Exception):
    """What is thrown."""


def throwing(real: Any, times: float) -> tuple[Any, list[int]]:
    """The method, or property, that throws so many times and is itself again; and how often it was called."""
    calls: list[int] = []
    work: Callable[..., Any] = real.fget if isinstance(real, property) else real

    def method(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise Bug("PRIVATE WORDS")
        return work(*args, **kwargs)

    return (property(method) if isinstance(real, property) else method), calls


def traffic(server: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of everything: what is answered, refused, half-sent, in pieces, a WebSocket, another user."""
    hello = WSConnection(ConnectionType.CLIENT).send(Request(host=server.host, target="/v1/live"))
    drips = server.head("POST /v1/messages", content_type="application/json", transfer_encoding="chunked")
    sent = [
        server.head(f"GET {results_of_a_batch(server)}"),
        server.head() * 3,
        server.head(origin="http://elsewhere.example"),
        server.head("POST /v1/messages", content_type="application/json", content_length="1", expect="100-continue"),
        server.post(b"x" * 70_000, "/v1/license/refresh"),
        server.post(b"{")[:-1],
        drips + b"1\r\n{\r\n" * 200 + b"0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 201,
        hello + b"\x81\x8e\0\0\0\0" + b'{"watch":null}',
        b"GET /v1/hea",
    ]
    with contextlib.ExitStack() as held:
        for data in sent:
            client = held.enter_context(socket.create_connection(server.address))
            client.setblocking(False)
            client.send(data)
            server.turn(4, 0.0)
        server.turn(3, 0.003)  # the last one is too slow
        held.enter_context(socket.create_connection(server.address))
        server.turn(2, 0.0)
        ours = clients.is_ours
        clients.is_ours = lambda uid: False
        held.enter_context(socket.create_connection(server.address))
        server.turn(2, 0.0)
        clients.is_ours = ours
        server.turn(12, 0.0)
    server.turn(4, 0.003)


def results_of_a_batch(server: Rig) -> str:
    """The path of results that are on disk."""
    batch = Batch("msgbatch_1", "", "2023-06-01", 1, 2, 1)
    server.relay.front.storeroom.restore(StoredAtStart((), (BatchFiles(batch.id, state=batch.head(3)),)))
    path = pathlib.Path(server.server._performer.store.path(results_path(batch.id)))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"{}\n")
    return f"/v1/messages/batches/{batch.id}/results"


@pytest.mark.parametrize("times", [1, float("inf")], ids=["once", "always"])
@pytest.mark.parametrize(("owner", "name"), list(methods()), ids=lambda x: x.__name__ if isinstance(x, type) else x)
def test_an_exception_anywhere_costs_one_thing(
    owner: type, name: str, times: float, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in any of these ended the daemon, with all calls."""
    monkeypatch.setattr(listener, "REST_S", 0.01)
    with running(tmp_path, connections_max=5, header_limit_s=0.001, linger_limit_s=0.05) as server:
        real = vars(owner)[name]
        found, calls = throwing(real, times)
        setattr(owner, name, found)
        try:
            traffic(server, monkeypatch)
        finally:
            setattr(owner, name, real)
        assert server.health() == 200
        if calls:
            assert server.relay.journal.faults == server.server.loop.errors > 0
        if times == 1:
            server.until(lambda: not server.server._clients._channels)
            assert server.server._clients._shared.budget.held == 0
        assert "PRIVATE" not in "".join(server.log)


def test_most_methods_were_called(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would pass for a method that the traffic does not reach."""
    reached: set[str] = set()
    for owner, name in methods():
        real = vars(owner)[name]

        def seen(*args: Any, _real: Any = real, _key: str = f"{owner.__name__}.{name}", **kwargs: Any) -> Any:
            reached.add(_key)
            return (_real.fget if isinstance(_real, property) else _real)(*args, **kwargs)

        monkeypatch.setattr(owner, name, property(seen) if isinstance(real, property) else seen)
    with running(tmp_path, connections_max=5, header_limit_s=0.001, linger_limit_s=0.05) as server:
        traffic(server, monkeypatch)
        server.health()
    expected = {f"{owner.__name__}.{name}" for owner, name in methods() if owner not in DAEMONS_OWN}
    assert expected - reached <= NOT_REACHED  # whether bytes of the queue are merged hangs on the kernel


def test_a_loop_that_never_turns_ends_the_daemon(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One exception in a step of the loop ended the daemon, with all calls. If it comes at each turn the daemon must still
    end, so that the service manager starts another: it would spin for ever."""
    turns = []

    def broken(self: Loop, longest_s: float | None = None) -> None:
        turns.append(1)
        if len(turns) != BAD_TURNS_MAX - 1:
            raise Bug("PRIVATE WORDS")

    with running(tmp_path) as server:
        monkeypatch.setattr(Loop, "turn", broken)
        with pytest.raises(Bug):
            server.server.run()
        assert len(turns) == 2 * BAD_TURNS_MAX - 1  # a good one begins the count anew
        assert "PRIVATE" not in "".join(server.log)
