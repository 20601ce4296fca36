"""How much memory a process holds, by what each system says."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Any

import pytest

from relayd.runtime import memory

SOME_BYTES = 64 * 1024 * 1024


def test_a_process_that_takes_memory_is_seen_to_hold_it() -> None:
    before = memory.resident_bytes(os.getpid())
    taken = b"x" * SOME_BYTES
    after = memory.resident_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before > len(taken) * 0.9


def test_nothing_is_known_of_a_process_that_is_gone() -> None:
    assert memory.resident_bytes(2**22 + 1) is None


class Library:
    """A C library that fills a buffer, or refuses."""

    def __init__(self, has_process: bool) -> None:
        self.has_process = has_process
        self.closed = False

        class OpenProcess:
            restype: Any = None

            def __call__(self, *_: Any) -> int | None:
                return 7 if has_process else None

        self.OpenProcess = OpenProcess()

    def proc_pid_rusage(self, pid: int, flavour: int, info: Any) -> int:
        assert (pid, flavour) == (42, memory.RUSAGE_INFO_V0)
        struct.pack_into("=16s10Q", info, 0, b"uuid", *range(6), SOME_BYTES, *range(3))
        return 0 if self.has_process else -1

    def K32GetProcessMemoryInfo(self, handle: Any, counters: Any, size: int) -> int:
        assert struct.unpack_from("=I", counters.raw)[0] == size == memory.COUNTERS_BYTES
        struct.pack_into("=II8Q", counters, 0, size, 1, 2 * SOME_BYTES, SOME_BYTES, *range(6))
        return 1

    def CloseHandle(self, handle: Any) -> int:
        self.closed = True
        return 1


@pytest.mark.parametrize("platform", ["darwin", "win32"])
@pytest.mark.parametrize("has_process", [True, False])
def test_other_systems_are_asked_in_their_own_words(platform: str, has_process: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(has_process)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: library)
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_: library, raising=False)
    assert memory.resident_bytes(42) == (SOME_BYTES if has_process else None)
    assert library.closed == (has_process and platform == "win32")
