"""What an earlier run may have left on this machine, and what this one must take with it: processes, and typed messages."""

from __future__ import annotations

from relayd.claude import launch, prompt_history
from relayd.daemon.state import Places
from relayd.runtime import orphans
from relayd.runtime.logs import Log
from relayd.runtime.performer import Files
from relayd.runtime.prompt_history import PromptHistories, PromptHistory
from relayd.runtime.slot import RECORD_NAME, SESSIONS_NAME


def sweep(places: Places, config_dirs: list[str], log: Log) -> None:
    """End processes that an earlier daemon has left, and remove what was theirs. `config_dirs` are Claude Code's."""
    projects = [launch.project_directory(config_dir, places.workspace) for config_dir in config_dirs]

    def owned(session_id: str) -> list[str]:
        return [path for project in projects for path in launch.session_paths(project, session_id)]

    ended = orphans.sweep(places.slots, RECORD_NAME, SESSIONS_NAME, owned)
    if ended:
        log("warning", f"ended {ended} process(es) that an earlier daemon had left")


def files(places: Places, config_dirs: list[str]) -> Files:
    """The daemon's files; with Claude Code's lists of prompts, cleared of what relayd has typed."""
    found = PromptHistories(tuple(_prompts(places, config_dir) for config_dir in config_dirs))
    found.forget_all()
    return Files(places.keys, places.records, places.state, found)


def _prompts(places: Places, config_dir: str) -> PromptHistory:
    return PromptHistory(
        f"{config_dir}/{prompt_history.FILE_NAME}",
        prompt_history.LOCK_SUFFIX,
        lambda data: prompt_history.without(data, places.workspace),
    )
