"""Claude Code's own list of typed prompts, which must not keep what relayd has typed. Pure.

`history.jsonl` in its config directory has a line for each prompt, with the directory it was typed in. Lines
of relayd's workspace are relayd's: nothing else can be typed there. Writers hold a lock, a directory
beside the file (measured on 2.1.330: an append waits while it is there). Used by `runtime/forget.py`.
"""

from __future__ import annotations

from relayd import codec

FILE_NAME = "history.jsonl"
LOCK_SUFFIX = ".lock"


def without(data: bytes, workspace: str) -> bytes:
    """The file's bytes without the lines of that directory; every other byte stays."""
    needle = codec.dump(workspace)
    return b"".join(line for line in data.splitlines(keepends=True) if needle not in line or not _is_of(line, workspace))


def _is_of(line: bytes, workspace: str) -> bool:
    try:
        value = codec.parse(line)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("project") == workspace
