"""The daemon's log: the standard library's `logging`, to standard error (a terminal, a pipe, the journal) or to a file.

Standard error may be a pipe that nobody reads. The loop must not wait for it: lines go into a bounded queue and from there
as far as the other end takes them; what does not fit is dropped, counted, and told of. One record is one line, whatever its
texts hold. Made by `daemon/serve.py`; the loop's owner calls `drain`.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import select
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from relayd.faults import describe
from relayd.printable import CUT, printable, printable_json
from relayd.runtime.system import FILE_FLAGS

NUMBERS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}  # of syslog, as the journal reads them
QUEUE_MAX_BYTES = 1024 * 1024
TEXT_MAX_CHARS = 4096  # of one text or value
# A pipe that is writable takes so much at once, so that a write of it never waits.
PIECE_BYTES = getattr(select, "PIPE_BUF", 4096)
RETRY_S = 0.25  # how often a full pipe is tried again
LOST = "lines of the log were dropped: nobody read standard error"
FLUSH_LIMIT_S = 1.0  # at the end, how long the queue may still drain
FILE_MAX_BYTES = 10 * 1024 * 1024  # a longer file is set aside under another name, in the place of the one before
SET_ASIDE = ".1"


class HumanFormatter(logging.Formatter):
    """`info: call id=req_1 status=200`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        facts = "".join(f" {name}={_short(value)}" for name, value in fields_of(record).items())
        return printable(f"{record.levelname.lower()}: {_short(record.getMessage())}{facts}")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at`, `level`, `message`, and the record's facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        head = {"at": at, "level": record.levelname.lower(), "message": _short(record.getMessage())}
        return printable_json(json.dumps(head | fields_of(record), default=_short, separators=(",", ":")))


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The record's facts; of an exception its type and place."""
    found = {name: _bounded(value) for name, value in getattr(record, "fields", {}).items()}
    if record.exc_info and record.exc_info[1]:
        found["exception"] = describe(record.exc_info[1])
    return found


def _bounded(value: Any) -> Any:
    return _short(value) if isinstance(value, str) else value


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= TEXT_MAX_CHARS else text[:TEXT_MAX_CHARS] + CUT


class StderrHandler(logging.Handler):
    """Writes lines to `fd` and never waits for it."""

    def __init__(self, fd: int, has_priorities: bool) -> None:
        super().__init__()
        self.dropped = 0
        self._fd = fd
        self._has_priorities = has_priorities
        self._queue: deque[bytes] = deque()
        self._size = 0

    def __repr__(self) -> str:
        return f"<StderrHandler fd={self._fd} waiting={self._size} dropped={self.dropped}>"

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, and write what goes. A record that cannot be written as text is dropped."""
        self._append(record)
        self.drain()

    def _append(self, record: logging.LogRecord) -> None:
        try:
            priority = f"<{PRIORITIES.get(record.levelno, 5)}>" if self._has_priorities else ""
            line = f"{priority}{self.format(record)}\n".encode("utf-8", "backslashreplace")
        except Exception:  # whatever it is about, the log costs nobody a call
            line = None
        if line is None or self._size + len(line) > QUEUE_MAX_BYTES:
            self.dropped += 1
            return
        self._queue.append(line)
        self._size += len(line)

    def drain(self) -> float | None:
        """Write as much as goes at once. In how many seconds to try again; None if nothing waits."""
        while self._queue:
            try:
                if not is_writable(self._fd):
                    return RETRY_S
                self._took(self._write(self._queue[0][:PIECE_BYTES]))
            except BlockingIOError:
                return RETRY_S
            except OSError:  # nobody will ever read it: a terminal that is gone
                self._queue.clear()
                self._size = 0
            if not self._queue and self.dropped:
                self._tell_of_dropped()
        return None

    def _write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def _took(self, count: int) -> None:
        line = self._queue.popleft()
        self._size -= count
        if count < len(line):
            self._queue.appendleft(line[count:])

    def _tell_of_dropped(self) -> None:
        fields, self.dropped = {"lines": self.dropped}, 0
        self._append(logging.makeLogRecord({"levelno": logging.WARNING, "levelname": "WARNING", "msg": LOST, "fields": fields}))

    def flush(self) -> None:
        """Write what waits, for a limited time."""
        deadline = time.monotonic() + FLUSH_LIMIT_S
        while self.drain() is not None and time.monotonic() < deadline:
            time.sleep(RETRY_S / 10)


class FileHandler(StderrHandler):
    """Appends lines to a file that only this user may read, and keeps it within FILE_MAX_BYTES."""

    def __init__(self, path: str) -> None:
        """Open it. Raises OSError."""
        self._path = path
        super().__init__(_open(path), has_priorities=False)
        self._written = os.fstat(self._fd).st_size

    def __repr__(self) -> str:
        return f"<FileHandler {self._path} waiting={self._size} dropped={self.dropped}>"

    def _write(self, data: bytes) -> int:
        if self._written + len(data) > FILE_MAX_BYTES:
            self._set_aside()
        if self._fd < 0:  # there was no fd to be had, or no disk
            self._fd = _open(self._path)
        count = super()._write(data)
        self._written += count
        return count

    def _set_aside(self) -> None:
        """Begin anew; in the same file, if somebody does not let go of it."""
        fd, self._fd, self._written = self._fd, -1, 0
        with contextlib.suppress(OSError):
            os.close(fd)
            os.replace(self._path, self._path + SET_ASIDE)

    def close(self) -> None:
        """Close the file."""
        super().close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | FILE_FLAGS, 0o600)


class Log:
    """A `logging.Logger` of its own, called with a level's name, a text, and facts by name."""

    def __init__(self, level: str, handler: StderrHandler) -> None:
        self._handler = handler
        self._logger = logging.Logger("relayd", NUMBERS[level])  # not in the registry: nothing of the process is shared
        self._logger.addHandler(handler)

    def __repr__(self) -> str:
        return f"<Log {logging.getLevelName(self._logger.level)} {self._handler!r}>"

    def __call__(self, level: str, text: str, fields: Mapping[str, Any] | None = None) -> None:
        """Log one record. A bug costs this line, and nobody a call."""
        try:
            self._logger.log(NUMBERS[level], "%s", text, extra={"fields": fields or {}})
        except Exception:
            self._handler.dropped += 1

    def drain(self) -> float | None:
        """Write what waits, if it goes. In how many seconds to call again; None if nothing waits."""
        return self._handler.drain()

    def close(self) -> None:
        """Write the rest, for a limited time."""
        self._handler.flush()
        self._handler.close()


def open_log(level: str, form: str, environ: Mapping[str, str], path: str = "") -> Log:
    """The log on standard error, or in the file `path`. `form` is human or json; lines for systemd's journal begin with
    their priority. Raises OSError for a file that cannot be written.
    """
    fd = standard_error() if not path else -1
    handler = FileHandler(path) if path else StderrHandler(fd, is_journal(fd, environ))
    handler.setFormatter(JsonFormatter() if form == "json" else HumanFormatter())
    return Log(level, handler)


def standard_error() -> int:
    """Standard error's file descriptor, -1 if there is none. A terminal's is a new one that does not block.

    Making the given one non-blocking would change it for the shell, too.
    """
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, ValueError, OSError):
        return -1
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(os.ttyname(fd), flags) if os.isatty(fd) else fd
    except (AttributeError, OSError):
        return fd


def is_writable(fd: int) -> bool:
    """True if a small write does not wait; or fails at once. Where there is no `poll`, nobody knows."""
    if fd < 0 or not hasattr(select, "poll"):
        return True
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(0))


def is_journal(fd: int, environ: Mapping[str, str]) -> bool:
    """True if systemd's journal reads this very file: JOURNAL_STREAM names its device and inode."""
    with contextlib.suppress(OSError):
        info = os.fstat(fd)
        return environ.get("JOURNAL_STREAM") == f"{info.st_dev}:{info.st_ino}"
    return False
