"""Files that only this user may read. Used by the runtime."""

from __future__ import annotations

import os

from relayd.runtime.system import FILE_FLAGS


def write_private(path: str, data: bytes) -> None:
    """(Over)write a file that only this user may read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | FILE_FLAGS, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
