"""What the system can be asked to execute. Pure; called by both terminals before anything is started.

A NUL, a text that the file system's encoding does not know and a name with `=` are errors that Python raises where
it executes, which is in a forked copy of the daemon. Here they are raised in the daemon.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping

STRING_MAX_BYTES = 128 * 1024 - 1  # Linux: MAX_ARG_STRLEN, 32 pages, with its NUL
POINTER_BYTES = 8
TOTAL_MAX_BYTES = 1024 * 1024  # where the system names none; macOS: ARG_MAX
SPARE_BYTES = 4096  # what the system itself puts on the new stack, as POSIX advises


def check(argv: Iterable[str], env: Mapping[str, str]) -> None:
    """Raise ValueError for what no program can be given, and OSError (E2BIG) for more than the system takes."""
    names = list(env)
    if any(not name or "=" in name for name in names):
        raise ValueError("the name of a variable is empty or has an equals sign")
    strings = [*argv, *(f"{name}={value}" for name, value in env.items())]
    sizes = [_size(text) for text in strings]
    if max(sizes, default=0) > STRING_MAX_BYTES or sum(sizes) + POINTER_BYTES * len(sizes) > _total_max() - SPARE_BYTES:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))


def _size(text: str) -> int:
    """Bytes with the final NUL."""
    if "\0" in text:
        raise ValueError("a NUL in an argument or a variable")
    try:
        return len(os.fsencode(text)) + 1
    except UnicodeEncodeError:
        raise ValueError("an argument or a variable that cannot be encoded") from None  # the error quotes the text


def _total_max() -> int:
    """The system's limit for argv and environment together, in bytes."""
    try:
        return max(os.sysconf("SC_ARG_MAX"), TOTAL_MAX_BYTES // 8)
    except (AttributeError, ValueError, OSError):
        return TOTAL_MAX_BYTES
