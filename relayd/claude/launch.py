"""How one Claude Code process is started: what is fixed at spawn, argv, settings.

Pure; `core/pool.py` keeps slots per `LaunchKey` and turns a `Launch` into a spawn order. What a
call brings (system prompt, history, last message) is not here: it is handed over later, by
transcript and FIFO.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relayd import codec
from relayd.anthropic.request import MessagesRequest, Thinking

HOOK_EVENTS = ("MessageDisplay", "Stop", "StopFailure")
# Models that think when `thinking` is absent (platform docs, "Extended thinking"); for the others absent means no.
THINKS_BY_DEFAULT = re.compile(r"(?:(?:opus|sonnet|haiku|fable|mythos)-5\b)|^(?:opus|sonnet|fable|default|best)$")
# Models whose thinking cannot be turned off (seen on the wire: MAX_THINKING_TOKENS=0 leaves `adaptive`).
ALWAYS_THINKS = re.compile(r"(?:opus|sonnet|haiku|fable|mythos)-5-\d(?!\d)|^(?:opus|sonnet|fable|default|best)$")


@dataclass(frozen=True)
class LaunchKey:
    """What a process is bound to from its start; a call needs a process with its own key."""

    model: str
    max_tokens: int
    thinking: Thinking = Thinking()
    effort: str = ""
    stop_sequences: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        thinking = self.thinking.kind + (f":{self.thinking.budget}" if self.thinking.budget else "")
        extra = f"/{len(self.stop_sequences)} stops" if self.stop_sequences else ""
        extra += "".join(f"/{name}={value}" for name, value in self.sampling)
        return f"{self.model}/{self.max_tokens}/{thinking}" + (f"/{self.effort}" if self.effort else "") + extra

    @property
    def text_says_all(self) -> bool:
        """True if an answer that ended well is known by its text: no thinking block, no stop sequence to name."""
        return self.thinking_off and not self.stop_sequences

    @property
    def thinking_off(self) -> bool:
        """True if no thinking block can come back."""
        if ALWAYS_THINKS.search(self.model):
            return False
        if self.thinking.kind == "absent":
            return not THINKS_BY_DEFAULT.search(self.model)
        return self.thinking.kind == "disabled"

    @property
    def thinking_asked(self) -> bool:
        """True if the client asked for thinking, so that its blocks must come first in a stream."""
        return self.thinking.kind in ("enabled", "adaptive")


@dataclass(frozen=True)
class SlotPaths:
    """Files of one slot. `transcript` and `beside` (what it may put there) are in Claude Code's own directory."""

    directory: str
    fifo: str
    settings: str
    transcript: str
    beside: str


@dataclass(frozen=True)
class Launch:
    """Everything needed to start one process."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    files: dict[str, bytes]


def key_of(request: MessagesRequest) -> LaunchKey:
    """The launch key that a request needs."""
    return LaunchKey(
        request.model, request.max_tokens, request.thinking, request.effort, request.stop_sequences, request.sampling
    )


def project_directory(config_dir: str, cwd: str) -> str:
    """Where Claude Code keeps the transcripts of a working directory."""
    return f"{config_dir}/projects/{re.sub(r'[^A-Za-z0-9]', '-', cwd)}"


def slot_paths(state_dir: str, config_dir: str, workspace: str, session_id: str) -> SlotPaths:
    """The paths of a slot, all named by its session id."""
    directory = f"{state_dir}/slots/{session_id}"
    beside = f"{project_directory(config_dir, workspace)}/{session_id}"
    return SlotPaths(directory, f"{directory}/system-prompt", f"{directory}/settings.json", f"{beside}.jsonl", beside)


def build(
    key: LaunchKey,
    claude: str,
    session_id: str,
    paths: SlotPaths,
    workspace: str,
    hook_url: str,
    base_env: dict[str, str],
    setting_sources: str = "",
) -> Launch:
    """The launch of one waiting process. `hook_url` carries the slot's secret.

    `setting_sources` names the user's settings files to load; none keeps hooks and plugins out.
    """
    argv = (
        claude,
        "--resume",
        session_id,
        "--system-prompt-file",
        paths.fifo,
        "--settings",
        paths.settings,
        "--setting-sources",
        setting_sources,
        "--permission-mode",
        "dontAsk",
        "--tools",
        "",
        "--model",
        key.model,
        "--strict-mcp-config",
    )
    env = base_env | _key_env(key) | {"CLAUDE_CODE_TMPDIR": paths.directory}
    return Launch(argv, env, workspace, {paths.settings: _settings(hook_url)})


def _settings(hook_url: str) -> bytes:
    hook = [{"hooks": [{"type": "http", "url": hook_url}]}]
    return codec.dump({"hooks": dict.fromkeys(HOOK_EVENTS, hook), "spinnerTipsEnabled": False})


def _key_env(key: LaunchKey) -> dict[str, str]:
    env = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(key.max_tokens)}
    if key.thinking.kind == "disabled" or key.thinking_off:
        env["MAX_THINKING_TOKENS"] = "0"
    elif key.thinking.budget:
        env["MAX_THINKING_TOKENS"] = str(key.thinking.budget)
    if key.effort:
        env["CLAUDE_CODE_EFFORT_LEVEL"] = key.effort
    if key.stop_sequences or key.sampling:
        # Claude Code's own way to add parameters to its API requests: the model stops, nothing is cut here.
        stops = {"stop_sequences": list(key.stop_sequences)} if key.stop_sequences else {}
        env["CLAUDE_CODE_EXTRA_BODY"] = codec.dump(stops | dict(key.sampling)).decode()
    return env
