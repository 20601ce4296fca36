"""The daemon's state directory: what is where, and that it is this user's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from relayd import verdict
from relayd.config import Config
from relayd.core import storage
from relayd.daemon.user_files import state_directory
from relayd.errors import StartError
from relayd.runtime import system

RECORDS_NAME = "recent-calls.jsonl"
SMALL_FILE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Places:
    """Directories and files of one daemon, absolute and without links."""

    state: str
    slots: str
    workspace: str
    lock: str
    keys: str
    records: str
    verdict: str
    files: str
    batches: str


def prepare(config: Config, environ: Mapping[str, str]) -> None:
    """Make the daemon's directories. Raises StartError if they are not its own."""
    places_in(state_directory(config, environ))


def places_in(state: str) -> Places:
    """The places in a state directory, which is made if it is not there. Raises StartError if it is not this user's own."""
    workspace = os.path.join(state, "workspace")  # as the system writes it: Claude Code shows it and lists it so
    files, batches = f"{state}/{storage.FILES}", f"{state}/{storage.BATCHES}"
    for directory in (state, workspace, files, batches):
        _make_private(directory)
    if os.listdir(workspace):
        raise StartError(f"relayd: {workspace} must be empty: what is in it was not put there by relayd")
    return Places(
        state=state,
        slots=f"{state}/slots",
        workspace=workspace,
        lock=f"{state}/lock",
        keys=f"{state}/launch-keys.json",
        records=f"{state}/{RECORDS_NAME}",
        verdict=f"{state}/{verdict.FILE_NAME}",
        files=files,
        batches=batches,
    )


def _make_private(directory: str) -> None:
    """A directory of this user's own, that no link leads to. Raises StartError."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        info = os.lstat(directory)
        if not stat.S_ISDIR(info.st_mode) or not system.is_ours(info.st_uid):
            raise StartError(f"relayd: {directory} must be a directory of this user, not a link")
        os.chmod(directory, 0o700)
    except OSError as error:
        raise StartError(f"relayd: the directory {directory} cannot be made: {error.strerror}") from error


def read_small(path: str) -> bytes:
    """The beginning of a file of a few KB; nothing if it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read(SMALL_FILE_BYTES)
    except OSError:
        return b""
