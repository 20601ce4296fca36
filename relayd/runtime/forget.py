"""Takes relayd's lines out of Claude Code's list of typed prompts, under the lock that Claude Code uses itself.

Called by `server.py` a moment after the end of a turn that was typed, and by `daemon.py` at both ends of a run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from relayd.runtime.files import write_private


class PromptHistory:
    """`path` is the list; `lock` a directory that its writers make and remove; `without` gives its bytes without ours."""

    def __init__(self, path: str, lock_suffix: str, without: Callable[[bytes], bytes]) -> None:
        self._path = os.path.realpath(path)
        self._lock = self._path + lock_suffix
        self._without = without

    def __repr__(self) -> str:
        return f"<PromptHistory {self._path}>"

    def forget(self) -> bool:
        """True if nothing of ours is left; False if the list is locked or cannot be written now."""
        try:
            if not self._has_ours():
                return True
            os.mkdir(self._lock)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            self._rewrite()
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(self._lock)
        return True

    def _read(self) -> bytes:
        with open(self._path, "rb") as file:
            return file.read()

    def _has_ours(self) -> bool:
        data = self._read()
        return self._without(data) != data

    def _rewrite(self) -> None:
        data = self._without(self._read())
        mode = os.stat(self._path).st_mode & 0o777
        new = f"{self._path}.relayd"
        write_private(new, data)
        os.chmod(new, mode)
        os.replace(new, self._path)
