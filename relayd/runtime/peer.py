"""Which user is at the other end of a loopback connection: Linux here, macOS in `peer_macos.py`. Elsewhere the answer is None.

A socket that its process has closed belongs to nobody, and the kernel says 0, as for root: whoever sends a
request and closes at once would pass for root. Such a socket has no inode, and that gives it away.

The kernel is asked for the peer's socket by its addresses (sock_diag over netlink, 30 µs), or its table of
sockets is read where that is not allowed. Called by `server` for each accepted connection, and by `channel`
for one that sends no more.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys

from relayd.runtime.peer_macos import owner_of_peer

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
ALL_STATES = 0xFFFFFFFF
NO_COOKIE = b"\xff" * 8
UID_OFFSET = 16 + 4 + 48 + 12  # netlink header, family to retrans, socket id, expires to wqueue; the inode follows
REPLY_BYTES = 4096
ASK_LIMIT_S = 0.05  # the kernel answers within the call that asks; this is for one that never does
NOBODY = -1  # closed already, or not to be found
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def peer_uid(sock: socket.socket) -> int | None:
    """The user id of the process that has connected, or NOBODY; None where the system does not say."""
    if sys.platform == "darwin":
        return _peer_uid_macos(sock)
    if not sys.platform.startswith("linux"):
        return None
    try:
        near, far = sock.getsockname(), sock.getpeername()
        found = _ask(sock.family, far, near) or _look_up(sock.family, far, near)
    except OSError:
        return NOBODY
    if found is None:
        return NOBODY
    uid, inode = found
    return uid if inode else NOBODY


def _peer_uid_macos(sock: socket.socket) -> int | None:
    try:
        found = owner_of_peer(sock.family, sock.getpeername()[:2], sock.getsockname()[:2])
    except OSError:
        return None
    if found is None:
        return None
    return found.uid if found.is_held else NOBODY


def is_held(sock: socket.socket) -> bool:
    """True if a process has the other end open: it has finished sending, and waits. False also where the system does not say."""
    return peer_uid(sock) not in (None, NOBODY)


def _ask(family: int, source: tuple[str, int], destination: tuple[str, int]) -> tuple[int, int] | None:
    """User id and inode of the socket with this source."""
    addresses = b"".join(socket.inet_pton(family, a[0]).ljust(16, b"\0") for a in (source, destination))
    ports = struct.pack("!HH", source[1], destination[1])
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, ALL_STATES) + ports + addresses + b"\0" * 4 + NO_COOKIE
    head = struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(ASK_LIMIT_S)
            kernel.send(head + body)
            reply = kernel.recv(REPLY_BYTES)
    except OSError:
        return None
    if len(reply) < UID_OFFSET + 8 or struct.unpack_from("=H", reply, 4)[0] != SOCK_DIAG_BY_FAMILY:
        return None
    uid, inode = struct.unpack_from("=II", reply, UID_OFFSET)
    return uid, inode


def _look_up(family: int, source: tuple[str, int], destination: tuple[str, int]) -> tuple[int, int] | None:
    """User id and inode of the socket with this source."""
    wanted = (_table_form(family, source), _table_form(family, destination))
    with open(TABLES[family == socket.AF_INET6], encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if tuple(fields[1:3]) == wanted:
                return int(fields[7]), int(fields[9])
    return None


def _table_form(family: int, address: tuple[str, int]) -> str:
    """`127.0.0.1:80` as `0100007F:0050`: each 32-bit word in the machine's order."""
    raw = ipaddress.ip_address(address[0].partition("%")[0]).packed
    words = (int.from_bytes(raw[n : n + 4], sys.byteorder) for n in range(0, len(raw), 4))
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
