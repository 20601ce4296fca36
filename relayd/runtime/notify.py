"""What systemd wants to hear (`sd_notify`), and the socket it may have opened for us. Nothing happens elsewhere.

The protocol is a datagram to the socket named in the environment. Called by `server` and `daemon`, and by `--demo`, whose
daemon gets an environment built from nothing.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Mapping

FIRST_FD = 3  # sd_listen_fds(3)
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "JOURNAL_STREAM")


def given_by_manager(environ: Mapping[str, str]) -> dict[str, str]:
    """What systemd has told this process: how to answer it, and which sockets and log it gives."""
    return {name: environ[name] for name in VARIABLES if name in environ}


class Notifier:
    """`watchdog_s` is how often the manager wants a sign, 0 if it does not."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        text = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(text) / 1e6 if ours and text.isdecimal() else 0.0

    def __repr__(self) -> str:
        return f"<Notifier {self._address or 'nobody'} watchdog={self.watchdog_s}>"

    def tell(self, text: str) -> None:
        """Send a line such as READY=1. A manager that does not listen is not our business."""
        if not self._address:
            return
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(text.encode(), path)


def given_socket(environ: Mapping[str, str]) -> socket.socket | None:
    """The listening socket of socket activation, if there is one.

    Raises OSError, with a text for the user, if others than this machine could reach it.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environ.get("LISTEN_FDS") != "1":
        raise OSError(errno.EINVAL, f"socket activation gives {environ.get('LISTEN_FDS')} sockets; relayd takes one")
    sock = socket.socket(fileno=FIRST_FD)
    try:
        _check_loopback(sock)
    except OSError:
        sock.close()
        raise
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _check_loopback(sock: socket.socket) -> None:
    """Raises OSError: others than this machine could reach the daemon."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        raise OSError(errno.EADDRNOTAVAIL, "the socket of socket activation is not TCP")
    host = sock.getsockname()[0]
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if not (mapped or address).is_loopback:
        raise OSError(errno.EADDRNOTAVAIL, f"the socket of socket activation listens on {host}, which is not a loopback address")
