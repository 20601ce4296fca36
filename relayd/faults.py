"""Names an unexpected exception for the log: its type and its place, never its text, which may quote a request. Pure."""

from __future__ import annotations

import errno
import traceback

PACKAGE = __file__.removesuffix("faults.py")


def describe(error: BaseException) -> str:
    """`KeyError at core/turn.py:211 in _line`: the innermost place of ours, or of anybody if there is none of ours."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if not frames:
        return kind(error)
    ours = [(code, line) for code, line in frames if code.co_filename.startswith(PACKAGE)]
    code, line = (ours or frames)[-1]
    path = code.co_filename.removeprefix(PACKAGE).replace("\\", "/")
    return f"{kind(error)} at {path if ours else path.rpartition('/')[2]}:{line} in {code.co_name}"


def kind(error: BaseException) -> str:
    """The type, and for an error of the system its symbol: `OSError ENOSPC`."""
    symbol = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    return f"{type(error).__qualname__} {symbol}".rstrip()
