"""Claude Code's own list of typed prompts, which must not keep what relayd has typed. Pure.

`history.jsonl` in its config directory has a line for each prompt, with the directory it was typed in. Lines
of relayd's workspace are relayd's: nothing else can be typed there. Writers hold a lock, a directory
beside the file (measured on 2.1.330: an append waits while it is there). Used by `runtime/prompt_history.py`.
"""

from __future__ import annotations

from relayd import codec

FILE_NAME = "history.jsonl"
LOCK_SUFFIX = ".lock"


def without(data: bytes, workspace: str) -> bytes:
    """The file's bytes without the lines of that directory; every other byte stays."""
    needle = codec.dump(workspace)
    kept, start, at = [], 0, data.find(needle)
    while at >= 0:  # lines without it, of which there may be megabytes, are not even told apart
        begin, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1 or len(data)
        if _is_of(data[begin:end], workspace):
            kept.append(data[start:begin])
            start = end
        at = data.find(needle, end)
    return b"".join([*kept, data[start:]]) if kept else data


def _is_of(line: bytes, workspace: str) -> bool:
    try:
        value = codec.parse(line)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("project") == workspace
