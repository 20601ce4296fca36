"""One WebSocket after its upgrade: the only owner of wsproto. Bytes in, messages out; messages in, bytes out.

Opens nothing. `runtime/frames.py` is its only caller: the channel has read the upgrade request as HTTP already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

TOO_BIG = 1009


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """True for a request that asks for a WebSocket."""
    return headers.get("upgrade", "").lower() == "websocket"


class WebSocket:
    """See the module's text. `message_max` is bytes."""

    def __init__(self, headers: Mapping[str, str], path: str, message_max: int) -> None:
        self.is_open = True
        self._max = message_max
        self._wire = WSConnection(ConnectionType.SERVER)
        self._text = ""
        self._headers = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]
        self._path = path

    def __repr__(self) -> str:
        return f"<WebSocket open={self.is_open}>"

    def accept(self) -> bytes:
        """The answer to the upgrade. Raises ValueError for a request that is no proper one."""
        try:
            self._wire.initiate_upgrade_connection(self._headers, self._path)
            next(iter(self._wire.events()))
            return self._wire.send(AcceptConnection())
        except (LocalProtocolError, RemoteProtocolError, StopIteration) as error:
            raise ValueError(f"not a WebSocket upgrade: {error}") from error

    def receive(self, data: bytes) -> tuple[list[str], bytes]:
        """Complete text messages, and bytes that must be sent back. After a close `is_open` is False. Never raises."""
        messages: list[str] = []
        back = b""
        try:
            self._wire.receive_data(data)
            for event in self._wire.events():
                if isinstance(event, Ping):
                    back += self._wire.send(event.response())
                elif isinstance(event, CloseConnection):
                    self.is_open = False
                    back += self._wire.send(event.response())
                elif isinstance(event, Message):
                    back += self._piece(event, messages)
        except (LocalProtocolError, RemoteProtocolError):
            self.is_open = False
        return messages, back

    def _piece(self, event: Message[Any], messages: list[str]) -> bytes:
        """Part of a message. Binary ones mean nothing here."""
        if not self.is_open:
            return b""
        self._text += event.data if isinstance(event, TextMessage) else ""
        if len(self._text) > self._max:
            self.is_open = False
            return self._wire.send(CloseConnection(code=TOO_BIG))
        if event.message_finished:
            messages.append(self._text)
            self._text = ""
        return b""

    def send(self, text: str) -> bytes:
        """A text message as bytes; nothing after the close."""
        return self._wire.send(TextMessage(data=text)) if self.is_open else b""
