"""The network's edge, turn by turn: what is refused early, what is bounded, who gives way."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from email.utils import parsedate_to_datetime
from typing import Any

import h11
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from relayd.claude.launch import Launch, SlotPaths
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.http.http1 import EVENTS_PER_CALL, Connection, Phase
from relayd.http.keys import Keys
from relayd.runtime import clients, clock, listener, notify, shared, stranger
from relayd.runtime.channel import Channel
from relayd.runtime.loop import SPIN_LIMIT
from relayd.runtime.notify import Notifier, given_socket
from relayd.runtime.places import FRESH_S, Places, Rank
from relayd.runtime.slot import Slot
from relayd.runtime.stranger import STRANGERS_MAX
from relayd.runtime.timers import Chore
from tests.core.test_pool_and_relay import NEAR
from tests.rig import Rig, running

Make = Callable[..., Rig]
DRIPS = b"1\r\nx\r\n" * 43_000  # 256 KB, a byte of body in each chunk


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Iterator[Make]:
    """Makes one server."""
    made: list[Any] = []

    def make(**kwargs: Any) -> Rig:
        made.append(running(tmp_path, **kwargs))
        found: Rig = made[-1].__enter__()
        return found

    yield make
    for each in made:
        each.__exit__(None, None, None)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One counter, of h11's events."""
    counter = [0]
    real = h11.Connection.next_event

    def counted(self: h11.Connection) -> Any:
        counter[0] += 1
        return real(self)

    monkeypatch.setattr(h11.Connection, "next_event", counted)
    return counter


def chunked(server: Rig) -> bytes:
    return server.head("POST /v1/messages", content_type="application/json", transfer_encoding="chunked")


# Refused early


def test_another_users_connections_are_answered_before_anything_is_read(
    rig: Make, events: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight connections of another user with bodies in chunks of one byte stopped the daemon: up to 32 MB of each were
    parsed and kept before anybody looked whose they were."""
    server = rig()
    monkeypatch.setattr(clients, "is_ours", lambda uid: False)
    strangers = [socket.create_connection(server.address) for _ in range(8)]
    for each in strangers:
        each.setblocking(False)
        each.send(chunked(server) + DRIPS[:60_000])
    server.turn(40)
    assert events[0] == 0
    for each in strangers:
        data = each.recv(65536)
        assert data.startswith(b"HTTP/1.1 403 ")
        assert json.loads(data.partition(b"\r\n\r\n")[2])["error"]["message"] == "relayd answers its own user only"
        assert b"\r\ndate: " in data
        each.close()
    monkeypatch.undo()
    assert server.health() == 200


def test_strangers_take_none_of_the_users_places_and_do_not_pile_up(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """All places could be taken by another user's half-sent requests."""
    server = rig(connections_max=4)
    monkeypatch.setattr(clients, "is_ours", lambda uid: False)
    strangers = [socket.create_connection(server.address) for _ in range(3 * STRANGERS_MAX)]
    server.turn(40)
    assert not server.server._clients._channels
    assert sum(not s.is_gone for s in server.server._clients._strangers.values()) <= STRANGERS_MAX
    monkeypatch.undo()
    assert server.health() == 200
    for each in strangers:
        each.close()


def test_a_stranger_that_has_left_is_forgotten_a_moment_later(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stayed in the table until the next one came; if a bug had met its `close`, its open socket with it."""
    server = rig()
    monkeypatch.setattr(clients, "is_ours", lambda uid: False)
    monkeypatch.setattr(stranger, "LINGER_S", 0.05)
    socket.create_connection(server.address).close()
    server.turn(5)  # it is told no, and its end is read
    time.sleep(0.06)
    server.turn(5)
    assert not server.server._clients._strangers
    assert not server.server.loop.errors


REFUSED = [
    ("POST /v1/messages", {"host": "evil.example:7421"}, 403),
    ("POST /v1/messages", {"origin": "https://evil.example"}, 403),
    ("POST /v1/messages", {"sec_fetch_site": "cross-site"}, 403),
    ("POST /v1/messages", {"content_type": "text/plain"}, 415),
    ("POST /v1/messages", {"x_api_key": "wrong"}, 401),
    ("POST /v1/chat/completions", {"x_api_key": ""}, 401),
    ("POST /v1/nothing", {}, 404),
    ("PUT /v1/messages", {}, 405),
    ("POST /v1/messages", {"content_length": str(33 * 1024 * 1024)}, 413),
    ("POST /hooks/abcdefghij0123456789", {"content_length": str(9 * 1024 * 1024)}, 413),
    ("POST /v1/license/refresh", {"content_length": str(65 * 1024)}, 413),
]


@pytest.mark.parametrize("expects", [False, True])
@pytest.mark.parametrize(("line", "headers", "status"), REFUSED)
def test_what_is_refused_is_refused_before_its_body(
    rig: Make, line: str, headers: dict[str, str], status: int, expects: bool
) -> None:
    """Host, Origin, token and content type were looked at when 32 MB had been read and kept."""
    server = rig(near=replace(NEAR, keys=Keys("sesame")))
    fields = {"content_type": "application/json", "content_length": "32000000", "x_api_key": "sesame"} | headers
    if expects:
        fields["expect"] = "100-continue"
    client = server.connect(server.head(line, **fields))
    found, fields, body = server.answer(client)  # a 100 would be taken for the answer
    assert (found, fields["connection"]) == (status, "close")
    assert json.loads(body)["error"]["message"]


def test_a_page_may_read_why_it_was_refused(rig: Make) -> None:
    server = rig(near=replace(NEAR, keys=Keys("sesame")), allowed_origins="https://mine.example")
    client = server.connect(server.head(origin="https://mine.example"))
    status, fields, _ = server.answer(client)
    assert (status, fields["access-control-allow-origin"]) == (401, "https://mine.example")
    server.send(client, server.head("GET /api/hello"))
    status, fields, _ = server.answer(client)  # the next request of that connection is no page's
    assert status == 200
    assert "access-control-allow-origin" not in fields


def test_a_refused_request_without_a_body_keeps_its_connection(rig: Make) -> None:
    server = rig()
    client = server.connect(server.head("GET /v1/nothing"))
    status, fields, _ = server.answer(client)
    assert status == 404
    assert "connection" not in fields
    server.send(client, server.head())
    assert server.answer(client)[0] == 200


# Bounded


def test_work_per_turn_is_bounded_however_small_the_pieces_are(rig: Make, events: list[int]) -> None:
    """One read of 1-byte chunks was 43,000 events in one turn, a third of a second, on each of eight connections."""
    server = rig()
    drips = [server.connect(chunked(server) + DRIPS) for _ in range(8)]
    quick = server.connect(server.head())
    answer = b""
    for _ in range(4):
        before = events[0]
        server.turn()
        assert events[0] - before <= (len(drips) + 1) * EVENTS_PER_CALL
        answer += server.read(quick)
    assert answer.startswith(b"HTTP/1.1 200")
    assert sum(channel._http.phase is Phase.BODY for channel in server.server._clients._channels.values()) == len(drips)


def test_small_pieces_arrive_whole_though_no_fd_tells_of_them(rig: Make) -> None:
    """What one turn leaves is taken up in the next without a new byte from the client."""
    server = rig()
    client = server.connect(chunked(server) + b"1\r\n{\r\n" * 5000 + b"0\r\n\r\n")
    status, _, body = server.answer(client)
    assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")


def test_pipelined_requests_are_taken_one_per_turn_and_not_read_without_limit(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer led to the next request at once: thousands of them in one turn, while all others waited."""
    server = rig()
    count = 3000
    client = server.connect()
    handled: list[Any] = []
    real = server.relay.handle
    monkeypatch.setattr(server.relay, "handle", lambda fact, now: handled.append(fact) or real(fact, now))
    asked = server.head() * count
    sent = answered = most = 0
    while answered < count:
        with contextlib.suppress(BlockingIOError):
            sent += client.send(asked[sent : sent + 65536]) if sent < len(asked) else 0
        handled.clear()
        server.turn()
        assert len(handled) <= 2  # one of the turn before, one of this
        (channel,) = server.server._clients._channels.values()
        most = max(most, len(channel._http._early))
        answered += server.read(client).count(b"HTTP/1.1 200")
    assert most <= 128 * 1024


def test_a_pipelined_request_of_more_than_64_kb_is_read(rig: Make) -> None:
    """Bytes that came during an answer were counted, and the count was reset only by a complete request: the rest of a
    large one was never read, and it got a 408 after two minutes."""
    server = rig()
    client = server.connect(server.head())
    data = server.post(b"x" * 300_000)
    sent = 0
    for _ in range(50):  # the first request is not answered yet: the core has not heard of it
        with contextlib.suppress(BlockingIOError):
            sent += client.send(data[sent:])
        server.server.loop.turn(0)
    assert server.answer(client)[0] == 200
    server.send(client, data[sent:])
    assert server.answer(client)[0] == 400
    server.send(client, server.head())  # and what comes behind it begins where it ended
    assert server.answer(client)[0] == 200


def test_bodies_share_a_budget(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection could hold 32 MB, and there may be a thousand."""
    monkeypatch.setattr(shared, "BODIES_MAX_BYTES", 300_000)
    server = rig(body_max_bytes=200_000)
    budget = server.server._clients._shared.budget
    held = [server.connect(server.post(b"x" * 140_000)[:-1]) for _ in range(2)]
    server.until(lambda: budget.held > 279_000)
    for path, shape in (("/v1/messages", {"type", "error", "request_id"}), ("/v1/chat/completions", {"error"})):
        late = server.connect(server.post(b"x" * 140_000, path)[:-1])
        status, fields, body = server.answer(late)
        assert (status, fields["retry-after"]) == (529, "1")
        assert shape <= set(json.loads(body))
        late.close()
    server.send(held[0], b"x")
    assert server.answer(held[0])[0] == 400
    held[1].close()
    server.until(lambda: budget.held == 0)
    assert server.answer(server.connect(server.post(b"x" * 140_000)))[0] == 400


def test_a_body_in_small_pieces_takes_the_memory_of_its_bytes(rig: Make) -> None:
    """As objects of their own, 43,000 bytes of body took two megabytes and more."""
    http = Connection(1 << 20, 1 << 16)
    http.receive(chunked(rig()) + DRIPS)
    tracemalloc.start()
    try:
        while http.next_request() is None and http.is_behind:
            pass
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert http._size == 43_000
    assert len(http._body) == 1
    assert held < 400_000  # the buffer, and what is left of what was received


# Who gives way


def test_half_sent_requests_give_way(rig: Make) -> None:
    """All places taken by half-sent requests were taken for ten seconds, or for two minutes: they were not idle."""
    server = rig(connections_max=4)
    stuck = [server.connect(server.post(b"{}")[:-1]) for _ in range(2)]
    stuck += [server.connect(b"POST /v1/mess") for _ in range(2)]
    server.turn(3)
    assert server.health() == 200
    assert server.is_closed(stuck[0])
    assert not server.is_closed(stuck[3])


def test_the_connection_that_was_used_longest_ago_goes_first(rig: Make) -> None:
    """The oldest accepted one went: a keep-alive connection in use before one that had done nothing."""
    server = rig(connections_max=2)
    used, unused = server.connect(), server.connect()
    server.send(used, server.head())
    assert server.answer(used)[0] == 200
    server.connect()
    server.turn(2)
    assert server.is_closed(unused)
    assert not server.is_closed(used)


def test_a_new_client_is_spared_while_a_half_sent_request_is_older() -> None:
    """Of a thousand half-sent requests and one client that has just connected, the client was the only idle one."""
    places = Places()
    places.put(1, Rank.HALF_SENT, 10.0)
    places.put(2, Rank.IDLE, 11.0)
    assert places.first_to_go(11.0 + FRESH_S / 2) == 1
    assert places.first_to_go(11.0 + 2 * FRESH_S) == 2
    places.put(1, None, 12.0)
    assert places.first_to_go(12.0) == 2
    places.put(2, None, 12.0)
    assert places.first_to_go(12.0) is None
    assert not places.can_give_way


def test_requests_that_are_answered_never_give_way(rig: Make) -> None:
    server = rig(connections_max=2)
    busy = [server.connect() for _ in range(2)]
    for client in busy:
        client.send(server.head())
    server.server.loop.turn(0.1)  # both are with the core, which has not been asked
    late = socket.create_connection(server.address)
    server.server.loop.turn(0.1)
    assert len(server.server._clients._channels) == 2
    assert [server.answer(client)[0] for client in busy] == [200, 200]
    late.close()


# One exception costs one thing


def test_an_order_that_fails_ends_its_client_and_nothing_else(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that h11 refuses to write ended the daemon."""
    server = rig()
    client = server.connect(server.head())
    server.server.loop.turn(0.1)
    server.server._facts.clear()
    (channel,) = server.server._clients._channels.values()
    server.perform(do.Respond(channel.number, 200, [("x", "PRIVATE\r\nWORDS")], b""))
    assert ev.ClientLeft(channel.number) in server.server._facts
    server.turn()
    assert server.is_closed(client)
    assert server.relay.journal.faults == 1
    assert "LocalProtocolError at" in server.log[-1]
    assert "PRIVATE" not in "".join(server.log)
    assert server.health() == 200


@pytest.mark.parametrize(
    "order",
    [
        do.HurryGate("none"),
        do.HandOver("none", b"", b""),
        do.WritePty("none", b""),
        do.OpenEditor("none", "", b""),
        do.SignalChild("none", "KILL"),
        do.ForgetTranscript("none"),
        do.RemoveSlot("none"),
    ],
)
def test_orders_about_a_process_that_is_not_there_end_nothing(rig: Make, order: do.Action) -> None:
    """Each was a KeyError out of the loop."""
    server = rig()
    server.perform(order)
    expected = [ev.PtyClosed("none"), ev.ChildExited("none", 0)] if isinstance(order, do.SignalChild) else []
    assert list(server.server._facts) == expected
    assert server.health() == 200


@pytest.mark.parametrize("method", ["spawn", "__init__", "hurry", "write", "hand_over", "edit", "signal", "forget_transcript"])
def test_an_order_that_fails_about_a_process_is_a_fact_about_it(
    rig: Make, method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    server = rig()
    spawn = _spawn_order(server, tmp_path)
    orders: dict[str, do.Action] = {
        "hurry": do.HurryGate("s"),
        "write": do.WritePty("s", b""),
        "hand_over": do.HandOver("s", b"", b""),
        "edit": do.OpenEditor("s", "", b""),
        "signal": do.SignalChild("s", "TERM"),
        "forget_transcript": do.ForgetTranscript("s"),
    }
    if method in orders:
        server.server._performer._start(spawn)
        server.server._facts.clear()
    monkeypatch.setattr(Slot, method, _broken)
    if method in orders:
        server.perform(orders[method])
    else:
        server.server._performer._start(spawn)
    monkeypatch.undo()
    (fact,) = server.server._facts
    assert isinstance(fact, ev.SlotBroke)
    assert (fact.slot, "PRIVATE" in fact.reason) == ("s", False)
    server.server._facts.clear()
    server.perform(do.RemoveSlot("s"))
    assert server.health() == 200


def test_one_process_is_started_in_a_turn(rig: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Three starts in a row held everybody else for 50 ms on a busy machine. Orders for a process have it started first."""
    server, done = rig(), list[str]()
    monkeypatch.setattr(server.server._slots, "spawn", lambda order, now: done.append(order.slot))
    monkeypatch.setattr(server.server._slots, "perform", lambda order, now: done.append(f"signal {order.slot}"))
    spawn = _spawn_order(server, tmp_path)
    server.perform(*(replace(spawn, slot=name) for name in ("a", "b", "c", "d")))
    assert done == []
    server.server._turn()
    assert done == ["a"]
    server.perform(do.SignalChild("c", "TERM"))
    assert done == ["a", "c", "signal c"]
    server.server._turn()  # it does not sleep: one waits
    assert done == ["a", "c", "signal c", "b"]
    assert [order.slot for order in server.server._performer._starts] == ["d"]


def _broken(*args: Any, **kwargs: Any) -> Any:
    raise KeyError("PRIVATE WORDS")


def _spawn_order(server: Rig, root: pathlib.Path) -> do.SpawnSlot:
    """A process that does not start before its conversation is there."""
    names = {field.name: str(root / "s" / field.name) for field in fields(SlotPaths)}
    paths = SlotPaths(**(names | {"beside": ()}))
    launch = Launch(("/bin/true",), {}, str(root), {})
    return do.SpawnSlot("s", launch, paths, b"", do.BodyFiles(paths.bodies, ".json", ".response.json", 1000), do.Mode.LATE)


def test_orders_that_are_about_nobody_fail_alone(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = rig()
    monkeypatch.setattr(server.server._performer._records, "append", _broken)
    client = server.connect(server.head())
    server.server.loop.turn(0.1)
    number = next(iter(server.server._clients._channels))
    server.server._facts.clear()
    server.perform(do.Record(b"x"), do.Respond(number, 200, [], b"still"), now=time.monotonic())
    assert server.answer(client)[2] == b"still"
    assert server.relay.journal.faults == 1


def test_a_fact_that_the_core_cannot_take_costs_its_client(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception out of `Relay.handle` ended the daemon."""
    server = rig()
    client = server.connect()
    monkeypatch.setattr(server.relay, "handle", _broken)
    client.send(server.head())
    server.until(lambda: server.is_closed(client))
    monkeypatch.undo()
    assert server.health() == 200
    asked = server.connect(server.head("GET /metrics"))
    faults = server.relay.journal.faults
    assert f"relayd_faults_total {faults}\n".encode() in server.answer(asked)[2]
    assert "PRIVATE" not in "".join(server.log)


def test_a_write_that_never_goes_on_is_seen(rig: Make) -> None:
    """`ready` counted every writable socket as progress, so a spin of writes burned a CPU for ever; and the guard closed
    the fd behind its owner, so the core never heard that the client was gone."""

    class Stuck:
        """A socket that is writable, and takes nothing."""

        def __init__(self, sock: socket.socket) -> None:
            self._sock = sock

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sock, name)

        def send(self, data: Any) -> int:
            raise BlockingIOError

    server = rig()
    client = server.connect(server.head())
    (channel,) = server.server._clients._channels.values()
    channel._socket = Stuck(channel._socket)  # type: ignore[assignment]
    server.turn(SPIN_LIMIT + 10)
    assert not server.server._clients._channels
    assert server.server.loop.spins_ended == 1
    assert server.is_closed(client)


# Time


def test_the_watchdog_is_told_at_once_after_a_stall(rig: Make, tmp_path: pathlib.Path) -> None:
    """A stall moved all timers, also that of the watchdog's ping: after a pause of 15 s the next came 30 s after the last,
    and systemd killed the daemon that had just woken."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.setblocking(False)
    manager.bind(str(tmp_path / "notify"))
    server = rig(notifier=Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}))
    now = time.monotonic()
    server.server._chores._watch(now - 16.0)  # the last ping before a pause of 16 s
    assert manager.recv(100) == b"WATCHDOG=1"
    server.server.loop._woke = now - 16.0
    server.turn()
    assert manager.recv(100) == b"WATCHDOG=1"
    manager.close()


def test_a_chore_that_fails_is_tried_again(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = rig()
    monkeypatch.setattr(server.server._chores, "_check_binary", _broken)
    server.server.loop.set_timer(Chore.BINARY, 0.0)
    server.turn()
    assert server.relay.journal.faults == 1
    assert Chore.BINARY in server.server.loop._live


def test_answers_carry_the_date(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110, 6.6.1: a server with a clock must send it."""
    server = rig(header_limit_s=0.05)
    for data in (server.head(), server.post(b"{"), b"nonsense\r\n\r\n", b"GET /slow"):
        _, fields, _ = server.answer(server.connect(data))
        assert abs(parsedate_to_datetime(fields["date"]).timestamp() - time.time()) < 60
    made: list[int] = []
    monkeypatch.setattr(clock, "formatdate", lambda usegmt: made.append(1) or "now")
    date = clock.HttpDate()
    assert {date.text(100.0 + n / 1000) for n in range(1000)} == {"now"}
    date.text(101.0)
    assert len(made) == 2


def test_only_calls_count_as_own_work_on_calls(rig: Make) -> None:
    """`relayd_own_seconds` counted the estimates of `count_tokens` too, whose path begins alike."""
    server = rig()
    server.answer(server.connect(server.post(b"{", "/v1/messages/count_tokens")))
    assert server.relay.journal.own.count == 0
    server.answer(server.connect(server.post(b"{")))
    assert server.relay.journal.own.count == 1


# WebSockets


def _handshake(server: Rig) -> bytes:
    return WSConnection(ConnectionType.CLIENT).send(Request(host=server.host, target="/v1/live"))


def _frame(text: str) -> bytes:
    """A client's text message; masked with zeros. wsproto makes none before the handshake is answered."""
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


def test_a_frame_that_comes_with_the_handshake_is_delivered(rig: Make) -> None:
    """It was read with the request and thrown away: a page that sent its token at once waited for ever."""
    server = rig(near=replace(NEAR, keys=Keys("sesame")))
    client = server.connect(_handshake(server) + _frame('{"token":"sesame"}'))
    data = bytearray()

    def has_status() -> bool:
        data.extend(server.read(client))
        return b'"type":"status"' in data

    server.until(has_status)


def test_frames_are_taken_in_bounded_pieces(rig: Make) -> None:
    server = rig()
    client = server.connect(_handshake(server))
    server.turn(5)
    server.send(client, _frame('{"watch":null}') * 2000)
    for _ in range(100):
        server.server.loop.turn(0)
        assert len(server.server._facts) <= 300
        server.server._work()
    assert not server.is_closed(client)
    assert server.health() == 200


# The listening socket


def test_a_port_cannot_be_taken_from_us_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There SO_REUSEADDR lets any process listen on a port that another one has."""
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)  # any that Linux can show
    try:
        importlib.reload(listener)
        sock = listener.bind("127.0.0.1", 0)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        sock.close()
    finally:
        monkeypatch.undo()
        importlib.reload(listener)


@pytest.mark.parametrize(
    ("family", "host", "is_right"),
    [
        (socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "127.9.9.9", True),
        (socket.AF_INET6, "::1", True),
        (socket.AF_INET, "0.0.0.0", False),
        (socket.AF_INET6, "::", False),
        (socket.AF_UNIX, "", False),
    ],
)
def test_an_activated_socket_must_be_loopback(
    family: socket.AddressFamily, host: str, is_right: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """`host` refuses everything else, but a socket unit could give a socket that the whole network reaches."""
    with socket.socket(family) as sock:
        try:
            sock.bind((host, 0) if host else str(tmp_path / "s"))
        except OSError:
            pytest.skip("no such address on this machine")
        sock.listen()
        monkeypatch.setattr(notify, "FIRST_FD", os.dup(sock.fileno()))
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        if is_right:
            found = given_socket(environ)
            assert found is not None
            found.close()
        else:
            with pytest.raises(OSError, match="loopback address|not TCP") as caught:
                given_socket(environ)
            assert caught.value.strerror  # what the user is told


def test_activation_with_several_sockets_is_refused() -> None:
    with pytest.raises(OSError, match="2 sockets"):
        given_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
    assert given_socket({"LISTEN_PID": "1", "LISTEN_FDS": "2"}) is None


def test_a_connection_that_cannot_be_set_up_costs_the_others_nothing(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = rig()
    monkeypatch.setattr(Channel, "__init__", _broken)
    client = server.connect()
    server.until(lambda: server.is_closed(client))
    monkeypatch.undo()
    assert server.health() == 200
