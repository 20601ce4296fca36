"""Which user is at the other end of a loopback connection, on macOS: the kernel's list of TCP sockets, as netstat(1) reads it.

The list is a run of records, each with its length and kind, a socket's address record followed by its owner's. Nothing of it
is promised to stay as it is. So an answer counts only if the list shows this process's own end of the connection, with this
process's own user, in the same form; otherwise nothing is known. Called by `peer`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from dataclasses import dataclass

LIST_NAME = b"net.inet.tcp.pcblist_n"
LIST_MAX_BYTES = 4 * 1024 * 1024  # some 5,000 sockets; reading more would hold up the loop
SLACK_BYTES = 64 * 1024  # for sockets that are made between the two questions
# struct xinpcb_n and struct xsocket_n of XNU (netinet/in_pcb.h, sys/socketvar.h), which begin with length and kind.
ADDRESSES, OWNER = 0x010, 0x001
PORTS_OFFSET, FAR_OFFSET, NEAR_OFFSET, ADDRESS_BYTES = 16, 48, 64, 16
STATE_OFFSET, UID_OFFSET, OWNER_BYTES = 26, 64, 68
NO_FD = 0x0001  # SS_NOFDREF: its process has closed it

Address = tuple[str, int]


@dataclass(frozen=True)
class Owner:
    """Whose a socket is; `is_held` if a process has it open."""

    uid: int
    is_held: bool


def owner_of_peer(family: int, far: Address, near: Address) -> Owner | None:
    """The owner of the other end; None where the system does not say. Raises OSError."""
    table = _read_list()
    ours = find(table, family, near, far)
    if ours is None or ours.uid != os.geteuid():
        return None
    return find(table, family, far, near)


def find(table: bytes, family: int, source: Address, destination: Address) -> Owner | None:
    """The owner of the socket with this source and destination."""
    ports = struct.pack("!HH", destination[1], source[1])
    addresses = _padded(family, destination[0]) + _padded(family, source[0])
    at = table.find(ports)
    while at >= 0:
        start = at - PORTS_OFFSET
        if _is(table, start, ADDRESSES) and _has(table[start + FAR_OFFSET :][: 2 * ADDRESS_BYTES], addresses, family):
            return _owner(table, _next(table, start))
        at = table.find(ports, at + 1)
    return None


def _padded(family: int, host: str) -> bytes:
    """An address in 16 bytes: one of IPv4 has the last four."""
    return socket.inet_pton(family, host.partition("%")[0]).rjust(ADDRESS_BYTES, b"\0")


def _has(found: bytes, wanted: bytes, family: int) -> bool:
    """True if they are the same addresses. What stands before one of IPv4 says nothing."""
    if family == socket.AF_INET6:
        return found == wanted
    return len(found) == len(wanted) and found[12:16] == wanted[12:16] and found[28:32] == wanted[28:32]


def _is(table: bytes, start: int, kind: int) -> bool:
    return 0 <= start <= len(table) - 8 and bool(struct.unpack_from("=I", table, start + 4)[0] == kind)


def _next(table: bytes, start: int) -> int:
    """Where the next record begins: each is filled up to eight bytes."""
    length: int = struct.unpack_from("=I", table, start)[0]
    return start + (length + 7) // 8 * 8


def _owner(table: bytes, start: int) -> Owner | None:
    if not _is(table, start, OWNER) or start + OWNER_BYTES > len(table):
        return None
    state: int = struct.unpack_from("=H", table, start + STATE_OFFSET)[0]
    uid: int = struct.unpack_from("=I", table, start + UID_OFFSET)[0]
    return Owner(uid, not state & NO_FD)


def _read_list() -> bytes:
    """The list; empty where there is none, or one that is too long. Raises OSError."""
    ask = getattr(ctypes.CDLL(None, use_errno=True), "sysctlbyname", None)
    size = ctypes.c_size_t(0)
    if ask is None or ask(LIST_NAME, None, ctypes.byref(size), None, ctypes.c_size_t(0)) or size.value > LIST_MAX_BYTES:
        return b""
    size.value += SLACK_BYTES
    buffer = ctypes.create_string_buffer(size.value)
    if ask(LIST_NAME, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)):
        raise OSError(ctypes.get_errno(), "the list of sockets cannot be read")
    return buffer.raw[: size.value]
