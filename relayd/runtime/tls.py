"""What lies between a socket's bytes and HTTP's: nothing, or TLS by the standard library. It opens nothing and never waits.

TLS runs in memory (`ssl.MemoryBIO`): bytes of the socket go in, plain ones come out, and the other way round, so that the loop
drives it like everything else. Used by `upstream.py`.
"""

from __future__ import annotations

import contextlib
import ssl

READ_BYTES = 64 * 1024


class Plain:
    """No TLS."""

    is_ready = True

    def __init__(self) -> None:
        self._out = b""

    def __repr__(self) -> str:
        return "<Plain>"

    def take(self, data: bytes) -> bytes:
        """Bytes of the socket as bytes of HTTP; none: the other side has ended."""
        return data

    def give(self, data: bytes | memoryview) -> None:
        """Bytes of HTTP that are to go out."""
        self._out += data

    def outgoing(self) -> bytes:
        """What the socket is to send, once."""
        out, self._out = self._out, b""
        return out


class Tls:
    """TLS as its client. `take` raises ssl.SSLError for a certificate that is not trusted, and for what is no TLS.

    `is_ready`: the handshake is done, and `give` may be called.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self.is_ready = False
        self._shake()

    def __repr__(self) -> str:
        return f"<Tls ready={self.is_ready}>"

    def take(self, data: bytes) -> bytes:
        """Bytes of the socket as bytes of HTTP; none: the other side has ended."""
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        if not self.is_ready:
            self._shake()
        return self._plain() if self.is_ready else b""

    def _shake(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            self.is_ready = True

    def _plain(self) -> bytes:
        pieces = []
        try:
            while piece := self._tls.read(READ_BYTES):
                pieces.append(piece)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass  # that it has ended is seen where HTTP expects more
        return b"".join(pieces)

    def give(self, data: bytes | memoryview) -> None:
        """Bytes of HTTP that are to go out."""
        self._tls.write(data)

    def outgoing(self) -> bytes:
        """What the socket is to send, once."""
        return self._out.read()


Wire = Plain | Tls
