"""All client connections of the daemon: who gets a place, who gives way, who is refused. Carries out orders about clients.

Other users of this machine are refused here, when they are accepted: nothing of theirs is parsed or
kept. An order that fails ends its client's connection, and the core hears `ClientLeft`.
Owned by `server`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import assert_never

from relayd.config import Config
from relayd.core import actions as do
from relayd.http.access import Access
from relayd.runtime.channel import Channel
from relayd.runtime.loop import Loop
from relayd.runtime.peer import peer_uid
from relayd.runtime.places import Places
from relayd.runtime.shared import ClientFact, shared
from relayd.runtime.stored_file import StoredFile
from relayd.runtime.stranger import STRANGERS_MAX, Stranger
from relayd.runtime.system import is_ours
from relayd.runtime.timers import ChannelTimer, StrangerTimer

SPARE_SOCKETS = 8  # for the listener, the loop's own, and those of connections that are being refused

ClientOrder = do.Respond | do.StartStream | do.SendChunk | do.EndStream | do.Upgrade | do.SendFrame | do.CloseClient


class Clients:
    """See the module's text. `emit` takes facts for the core; `access` says whose requests are admitted."""

    def __init__(self, config: Config, loop: Loop, emit: Callable[[ClientFact], None], access: Access) -> None:
        self._config = config
        self._loop = loop
        self._channels: dict[int, Channel] = {}
        self._strangers: dict[int, Stranger] = {}
        self._places = Places()
        self._numbers = 0
        self._shared = shared(config.body_max_bytes, loop, emit, access, self._places)

    def __repr__(self) -> str:
        return f"<Clients {len(self._channels)} strangers={len(self._strangers)} {self._places!r}>"

    def reconfigure(self, config: Config) -> None:
        """Other limits for connections that are accepted from now on."""
        self._config = config

    @property
    def have_output(self) -> bool:
        """True while some of an answer is not out."""
        return any(channel.has_output for channel in self._channels.values())

    def backlog(self, client: int) -> int:
        """What a client has not taken of its answer, in bytes."""
        channel = self._channels.get(client)
        return channel.backlog if channel is not None else 0

    def is_full(self) -> bool:
        """Enough connections, and none of them may give way."""
        return not self._has_place and not self._places.can_give_way

    @property
    def _has_place(self) -> bool:
        """True if one more may come: fewer than the limit, and the loop has room for them beside all processes."""
        is_below = len(self._channels) < self._config.connections_max
        reserve = (
            self._config.max + self._config.accepts_per_turn + SPARE_SOCKETS
        )  # those accepted in this turn count in the next
        return is_below and self._loop.room > reserve

    def accept(self, sock: socket.socket, now: float) -> None:
        """A connection has been accepted; it is non-blocking."""
        self._numbers += 1
        if self._config.same_user and not is_ours(peer_uid(sock)):
            self._refuse(sock, now)
            return
        if not self._has_place:
            self._make_room(now)
        channel = Channel(self._numbers, sock, self._config, self._shared, now)
        self._channels[channel.number] = channel
        self._loop.touch(channel)

    def _make_room(self, now: float) -> None:
        number = self._places.first_to_go(now)
        channel = self._channels.pop(number, None) if number is not None else None
        if channel:
            channel.abort()

    def _refuse(self, sock: socket.socket, now: float) -> None:
        """Another user of this machine: told so, before anything is read."""
        self._strangers = {number: found for number, found in self._strangers.items() if not found.is_gone}
        if len(self._strangers) >= STRANGERS_MAX:
            next(iter(self._strangers.values())).leave()
        stranger = Stranger(StrangerTimer(self._numbers), sock, self._loop)
        self._strangers[self._numbers] = stranger
        stranger.refuse(self._shared.date.text(now), now)

    def left(self, client: int) -> None:
        """The core is about to hear that this client has left."""
        self._channels.pop(client, None)

    def end(self, client: int) -> None:
        """Nobody will answer this client's request: its connection ends."""
        channel = self._channels.get(client)
        if channel:
            self._loop.attempt(channel, channel.abort)

    def timer(self, timer: ChannelTimer | StrangerTimer, now: float) -> None:
        """A deadline of a connection has passed."""
        if isinstance(timer, StrangerTimer):
            stranger = self._strangers.pop(timer.number, None)
            if stranger:
                self._loop.attempt(stranger, stranger.leave)
            return
        channel = self._channels.get(timer.client)
        if channel:
            self._loop.attempt(channel, channel.timer, timer.what, now)

    def perform(self, order: ClientOrder, now: float) -> None:
        """An order for a client that has left meanwhile is late, and nothing more."""
        channel = self._channels.get(order.client)
        if channel is None:
            return
        try:
            _carry_out(channel, order, now)
        except Exception as error:
            self._loop.fail(channel, error)

    def send_file(self, order: do.SendFile, path: str, now: float) -> None:
        """The same for an answer from a file: one that is not there is an answer without content."""
        channel = self._channels.get(order.client)
        if channel is None:
            return
        try:
            file = StoredFile(path)
        except FileNotFoundError:
            channel.respond(order.status, order.headers, b"", now)
            return
        try:
            channel.send_file(order.status, order.headers, file, now)
        except Exception as error:
            file.close()
            self._loop.fail(channel, error)

    def close(self) -> None:
        """The daemon ends: close without asking."""
        for channel in list(self._channels.values()):
            self._loop.attempt(channel, channel.abort)
        for stranger in self._strangers.values():
            self._loop.attempt(stranger, stranger.leave)


def _carry_out(channel: Channel, order: ClientOrder, now: float) -> None:
    match order:
        case do.SendChunk(_, data):
            channel.chunk(data, now)
        case do.Respond(_, status, headers, body):
            channel.respond(status, headers, body, now)
        case do.StartStream(_, status, headers):
            channel.start_stream(status, headers, now)
        case do.EndStream():
            channel.end_stream(now)
        case do.SendFrame(_, text):
            channel.send_frame(text, now)
        case do.Upgrade():
            channel.upgrade(now)
        case do.CloseClient():
            channel.abort()
        case _:
            assert_never(order)
