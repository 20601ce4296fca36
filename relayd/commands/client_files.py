"""How a client's file is changed, and changed back. The user's own file is kept beside it until then.

Undoing takes out what was put in and leaves what the user has changed since; what stood in its place before comes back. A file
that cannot be changed safely (comments in JSON, an entry that is no object) is not changed at all: StartError says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from typing import Any, assert_never

from relayd.commands.clients import Change, Endpoint, Entry, Lines, Whole
from relayd.errors import StartError
from relayd.runtime.files import write_whole

BACKUP = ".before-relayd"
BEGIN, END = "# begin of relayd connect", "# end of relayd connect"
BLOCK = re.compile(rf"{BEGIN}\n.*?{END}\n", re.DOTALL)
MISSING = object()
FILE_MAX_BYTES = 4 * 1024 * 1024


def content(change: Change, at: Endpoint) -> str:
    """What would be written, for people."""
    match change:
        case Whole(_, text) | Lines(_, text):
            return text(at)
        case Entry(_, place, value):
            return _dump(_nested(place, value(at)))
        case _:
            assert_never(change)


def apply(change: Change, path: str, at: Endpoint) -> None:
    """Make the change. Raises StartError, and has changed nothing then."""
    path = os.path.realpath(path)
    before = _read(path)
    match change:
        case Whole(_, text):
            after = text(at)
        case Lines(_, text):
            kept = BLOCK.sub("", before or "")
            after = f"{kept}{'' if kept.endswith(chr(10)) or not kept else chr(10)}{BEGIN}\n{text(at)}{END}\n"
        case Entry(_, place, value):
            after = _dump(_put(_parse(before, path), place, value(at), path))
        case _:
            assert_never(change)
    if before is not None and not os.path.exists(path + BACKUP) and not _is_ours(change, before, path):
        _write(path + BACKUP, before, 0o600)
    _write(path, after, _mode(path))


def undo(change: Change, path: str) -> bool:
    """Take it back; False if there was nothing. Raises StartError."""
    path = os.path.realpath(path)
    now, before = _read(path), _read(path + BACKUP)
    if now is None:
        return False
    match change:
        case Whole():
            after = before
        case Lines():
            after = BLOCK.sub("", now) or before
        case Entry(_, place):
            old = _at(_parse(before, path + BACKUP), place)
            left = _without(_parse(now, path), place) if old is MISSING else _put(_parse(now, path), place, old, path)
            after = _dump(left) if left or before is not None else None
        case _:
            assert_never(change)
    if after is None:
        os.unlink(path)
    elif after != now:
        _write(path, after, _mode(path))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path + BACKUP)
    return after != now


def _is_ours(change: Change, text: str, path: str) -> bool:
    """True if the file holds what an earlier run has put there: then it is not what the user had."""
    match change:
        case Whole(_, made):
            shape = re.escape(made(Endpoint("URL-OF", "KEY-OF", "MODEL-OF"))).replace(r"\-", "-")
            return re.fullmatch(re.sub("URL-OF|KEY-OF|MODEL-OF", "[^\n]*", shape), text) is not None
        case Lines():
            return BEGIN in text
        case Entry(_, place):
            return _at(_parse(text, path), place) is not MISSING and place[-1] == "relayd"
        case _:
            assert_never(change)


def _parse(text: str | None, path: str) -> dict[str, Any]:
    """A file of JSON; an object without entries where there is none. Raises StartError for what is not plain JSON."""
    if text is None or not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StartError(f"relayd: {path} is not plain JSON (comments?), and stays as it is; see --print") from error
    if not isinstance(found, dict):
        raise StartError(f"relayd: {path} is not an object of JSON, and stays as it is; see --print")
    return found


def _at(value: dict[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = value
    for name in place:
        if not isinstance(found, dict) or name not in found:
            return MISSING
        found = found[name]
    return found


def _put(value: dict[str, Any], place: tuple[str, ...], entry: Any, path: str) -> dict[str, Any]:
    inner = value
    for name in place[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            raise StartError(f"relayd: {name} in {path} is not an object, and stays as it is; see --print")
    inner[place[-1]] = entry
    return value


def _without(value: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """The value without that entry, and without the objects that were there for it alone."""
    inner = value.get(place[0])
    if len(place) == 1 or isinstance(inner, dict) and not _without(inner, place[1:]):
        value.pop(place[0], None)
    return value


def _nested(place: tuple[str, ...], entry: Any) -> Any:
    return {place[0]: _nested(place[1:], entry)} if place else entry


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"relayd: {path} cannot be read: {error}") from error
    if len(text) > FILE_MAX_BYTES:
        raise StartError(f"relayd: {path} is too large to be a configuration, and stays as it is")
    return text


def _mode(path: str) -> int:
    """A file keeps its mode; a new one is for this user alone, since it holds a key."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return 0o600


def _write(path: str, text: str, mode: int) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_whole(path, text.encode())
        os.chmod(path, mode)
    except OSError as error:
        raise StartError(f"relayd: {path} cannot be written: {error.strerror}") from error
