"""The package `winpty` under Wine: keys, life and exit by the real pywinpty (its winpty backend), output by a pipe.

Wine's console knows no virtual terminal. What the program writes on it comes by the pipe that `console.c` writes to, as it
would come through a real pseudo console.
"""

from __future__ import annotations

import _winapi
import codecs
import itertools
import os
from typing import Any

from winpty_real import PTY as RealPty  # type: ignore[import-not-found]
from winpty_real import WinptyError

__all__ = ["PTY", "WinptyError"]
PIPE_BYTES = 65536
LOOK_MS = 50
WAIT_TIMEOUT = 0x102
WINPTY_BACKEND = 1
_numbers = itertools.count()


class PTY:
    """What relayd uses of `winpty.PTY`."""

    def __init__(self, columns: int, rows: int) -> None:
        self._pty = RealPty(columns, rows, backend=WINPTY_BACKEND)
        self._name = rf"\\.\pipe\relayd-{os.getpid()}-{next(_numbers)}"
        access = _winapi.PIPE_ACCESS_INBOUND | _winapi.FILE_FLAG_OVERLAPPED
        self._pipe = _winapi.CreateNamedPipe(self._name, access, 0, 1, PIPE_BYTES, PIPE_BYTES, 0, 0)
        self._connecting = _winapi.ConnectNamedPipe(self._pipe, overlapped=True)
        self._is_connected = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pty, name)  # write, isalive, get_exitstatus, pid

    def spawn(self, program: str, cmdline: str | None = None, cwd: str | None = None, env: str | None = None) -> Any:
        return self._pty.spawn(program, cmdline=cmdline, cwd=cwd, env=(env or "") + f"WINE_CONSOLE_TEE={self._name}\0")

    def read(self, blocking: bool = False) -> str:
        while not self._is_connected:
            waited = _winapi.WaitForMultipleObjects([self._connecting.event], False, LOOK_MS)
            self._is_connected = waited != WAIT_TIMEOUT
            if not self._is_connected and not self._pty.isalive():
                raise WinptyError("it ended before it wrote")
        try:
            reading, _ = _winapi.ReadFile(self._pipe, PIPE_BYTES, overlapped=True)
            size, _ = reading.GetOverlappedResult(True)
        except OSError as error:
            raise WinptyError(str(error)) from error
        return self._decoder.decode(bytes(reading.getbuffer())[:size] if size else b"")

    def iseof(self) -> bool:
        return not self._pty.isalive()

    def cancel_io(self) -> bool:
        return True
