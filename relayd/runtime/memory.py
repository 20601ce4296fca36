"""How much memory a process holds, as the system says: a question of microseconds. Called by `slots`.

It starts no process and waits for nothing; where the system does not say, nothing is known. Shared pages count: two
processes of the same program hold less than the sum.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from mmap import PAGESIZE
from typing import Any

# struct rusage_info_v0 of libproc's sys/resource.h: 16 bytes of a UUID, then ten numbers of 64 bits.
RUSAGE_INFO_V0, RUSAGE_BYTES, RESIDENT_OFFSET = 0, 96, 64
# PROCESS_MEMORY_COUNTERS of psapi.h: two numbers of 32 bits, then eight as wide as a pointer.
QUERY_LIMITED_INFORMATION, COUNTERS_BYTES, WORKING_SET_OFFSET = 0x1000, 72, 16


def resident_bytes(pid: int) -> int | None:
    """The memory that a process holds; None if that is not known."""
    try:
        if sys.platform == "win32":
            return _on_windows(pid)
        return _on_macos(pid) if sys.platform == "darwin" else _from_proc(pid)
    except (OSError, AttributeError, ValueError, LookupError):
        return None


def _from_proc(pid: int) -> int:
    """Raises OSError, ValueError, IndexError."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read(200).split()[1]) * PAGESIZE


def _on_macos(pid: int) -> int | None:
    """Raises OSError, AttributeError."""
    info = ctypes.create_string_buffer(RUSAGE_BYTES)
    if ctypes.CDLL(None).proc_pid_rusage(pid, RUSAGE_INFO_V0, info):
        return None
    size: int = struct.unpack_from("=Q", info.raw, RESIDENT_OFFSET)[0]
    return size


def _on_windows(pid: int) -> int | None:
    """Raises OSError, LookupError."""
    kernel: Any = vars(ctypes)["WinDLL"]("kernel32")
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(kernel.OpenProcess(QUERY_LIMITED_INFORMATION, False, pid))
    if not handle:
        return None
    try:
        counters = ctypes.create_string_buffer(struct.pack("=I", COUNTERS_BYTES), COUNTERS_BYTES)
        if not kernel.K32GetProcessMemoryInfo(handle, counters, COUNTERS_BYTES):
            return None
        size: int = struct.unpack_from("=Q", counters.raw, WORKING_SET_OFFSET)[0]
        return size
    finally:
        kernel.CloseHandle(handle)
