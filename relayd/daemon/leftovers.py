"""What an earlier run may have left on this machine, and what this one must take with it: processes, and typed messages."""

from __future__ import annotations

from functools import partial

from relayd.claude import launch, prompt_history
from relayd.daemon.state import Places
from relayd.runtime import orphans
from relayd.runtime.logs import Log
from relayd.runtime.performer import Files
from relayd.runtime.prompt_history import PromptHistory
from relayd.runtime.slot import RECORD_NAME, SESSIONS_NAME


def sweep(places: Places, config_dir: str, log: Log) -> None:
    """End processes that an earlier daemon has left, and remove what was theirs. `config_dir` is Claude Code's."""
    owned = partial(launch.session_paths, launch.project_directory(config_dir, places.workspace))
    ended = orphans.sweep(places.slots, RECORD_NAME, SESSIONS_NAME, owned)
    if ended:
        log("warning", f"ended {ended} process(es) that an earlier daemon had left")


def files(places: Places, config_dir: str) -> Files:
    """The daemon's files; with Claude Code's list of prompts, cleared of what relayd has typed."""
    found = PromptHistory(
        f"{config_dir}/{prompt_history.FILE_NAME}",
        prompt_history.LOCK_SUFFIX,
        lambda data: prompt_history.without(data, places.workspace),
    )
    found.forget_all()
    return Files(places.keys, places.records, found)
