"""Another API of this kind, as a fallback finds it: it answers as it is told, whole, streamed, slowly, wrongly or not at all."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Answering = Callable[[socket.socket], None]
JSON_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SSE_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
USAGE = {"input_tokens": 7, "output_tokens": 2}


def message(text: str = "from elsewhere", **fields: Any) -> dict[str, Any]:
    """A message object."""
    content = [{"type": "text", "text": text}]
    base = {"id": "msg_other", "type": "message", "role": "assistant", "model": "other-model", "content": content}
    return base | {"stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE} | fields


def json_answer(value: Any, status: int = 200, **headers: str) -> bytes:
    """A whole answer."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields |= {name.replace("_", "-"): text for name, text in headers.items()}
    return f"HTTP/1.1 {status} x\r\n{''.join(f'{n}: {v}' + chr(13) + chr(10) for n, v in fields.items())}\r\n".encode() + body


def event(kind: str, **fields: Any) -> bytes:
    """One event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def events(text: str = "from elsewhere") -> list[bytes]:
    """The events of a streamed message."""
    start = message(content=[], stop_reason=None)
    return [
        event("message_start", message=start),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        *(event("content_block_delta", index=0, delta={"type": "text_delta", "text": word + " "}) for word in text.split()),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 9}),
        event("message_stop"),
    ]


def stream_answer(pieces: list[bytes] | None = None) -> bytes:
    """A streamed answer in chunks."""
    found = events() if pieces is None else pieces
    return SSE_HEAD.encode() + b"transfer-encoding: chunked\r\n\r\n" + b"".join(map(chunk, found)) + b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """A piece of a body in chunks."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class OtherSide:
    """A server on loopback. `answer`: bytes to send, or what to do with a connection whose request was read."""

    def __init__(self, answer: bytes | Answering = b"", context: ssl.SSLContext | None = None) -> None:
        self.answer: bytes | Answering = answer
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Be down."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                sock = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            sock.settimeout(30)
            with self._context.wrap_socket(sock, server_side=True) if self._context else sock as connection:
                self._read(connection)
                if callable(self.answer):
                    self.answer(connection)
                else:
                    connection.sendall(self.answer)

    def _read(self, sock: socket.socket) -> None:
        file = sock.makefile("rb")
        line = file.readline().decode().strip()
        headers = {}
        while field := file.readline().decode().strip():
            name, _, value = field.partition(": ")
            headers[name.lower()] = value
        self.requests.append((line, headers, file.read(int(headers.get("content-length", 0)))))


@contextlib.contextmanager
def other_side(answer: bytes | Answering = b"", context: ssl.SSLContext | None = None) -> Iterator[OtherSide]:
    """A server for a test."""
    found = OtherSide(answer, context)
    try:
        yield found
    finally:
        found.close()


def hang(sock: socket.socket) -> None:
    """Say nothing until the peer leaves."""
    sock.settimeout(20)
    sock.recv(1)


def halves(*parts: bytes, pause_s: float = 0.05) -> Answering:
    """Send parts with pauses between, then close."""

    def send(sock: socket.socket) -> None:
        for part in parts:
            sock.sendall(part)
            time.sleep(pause_s)

    return send


def certificate(directory: pathlib.Path, name: str = "IP:127.0.0.1,DNS:localhost") -> tuple[ssl.SSLContext, pathlib.Path]:
    """A server's TLS with a certificate of its own making, and the file that makes it trusted. Needs `openssl`."""
    openssl = shutil.which("openssl")
    assert openssl, "install openssl"
    key, found = directory / "key.pem", directory / "cert.pem"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=other side", "-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(found)]
    subprocess.run([openssl, *made, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found, key)
    return context, found
