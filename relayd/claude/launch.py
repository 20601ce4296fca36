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
from relayd.anthropic.tools import Choice
from relayd.claude import environment, mcp

# A tool call may stay open as long as the client needs; relayd has limits of its own.
TOOL_ENV = {
    "MCP_TOOL_TIMEOUT": "86400000",
    "CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT": "86400000",
    "CLAUDE_CODE_MCP_AUTO_BACKGROUND_MS": "0",
    "MAX_MCP_OUTPUT_TOKENS": "100000000",
}
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
    tools: bool = False
    choice: Choice = Choice()
    schema: str = ""  # JSON

    def __str__(self) -> str:
        thinking = self.thinking.kind + (f":{self.thinking.budget}" if self.thinking.budget else "")
        extra = f"/{len(self.stop_sequences)} stops" if self.stop_sequences else ""
        extra += "".join(f"/{name}={value}" for name, value in self.sampling)
        extra += "/tools" if self.tools else ""
        extra += "/" + self.choice.kind if self.choice != Choice() else ""
        extra += "/schema" if self.schema else ""
        return f"{self.model}/{self.max_tokens}/{thinking}" + (f"/{self.effort}" if self.effort else "") + extra

    @property
    def text_says_all(self) -> bool:
        """True if an answer that ended well is known by its text: no thinking, no tool call, no stop sequence to name."""
        return self.thinking_off and not self.stop_sequences and not self.tools

    @property
    def is_plain(self) -> bool:
        """True if it holds model names and numbers only, nothing of a call's own words."""
        return not (self.stop_sequences or self.sampling or self.schema) and self.choice == Choice()

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
class Doors:
    """The daemon's URLs for one process; each carries its secret. `telemetry` is empty if it is not wanted."""

    hooks: str
    mcp: str
    telemetry: str = ""


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
        model=request.model,
        max_tokens=request.max_tokens,
        thinking=request.thinking,
        effort=request.effort,
        stop_sequences=request.stop_sequences,
        sampling=request.sampling,
        tools=bool(request.tools),
        choice=request.choice,
        schema=codec.dump(request.schema).decode() if request.schema is not None else "",
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
    doors: Doors,
    base_env: dict[str, str],
    setting_sources: str = "",
) -> Launch:
    """The launch of one waiting process.

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
        *(("--mcp-config", _mcp_config(doors.mcp), "--allowedTools", f"mcp__{mcp.SERVER}") if key.tools else ()),
    )
    env = base_env | _key_env(key) | {"CLAUDE_CODE_TMPDIR": paths.directory}
    if key.tools:
        env |= TOOL_ENV
    if doors.telemetry:
        env |= environment.telemetry(doors.telemetry)
    return Launch(argv, env, workspace, {paths.settings: _settings(doors.hooks)})


def _mcp_config(url: str) -> str:
    return codec.dump({"mcpServers": {mcp.SERVER: {"type": "http", "url": url}}}).decode()


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
    extra = _extra_body(key)
    if extra:
        env["CLAUDE_CODE_EXTRA_BODY"] = codec.dump(extra).decode()
    return env


def _extra_body(key: LaunchKey) -> dict[str, object]:
    """Parameters that Claude Code adds to its API requests by its own means: the API itself honours them."""
    extra: dict[str, object] = dict(key.sampling)
    if key.stop_sequences:
        extra["stop_sequences"] = list(key.stop_sequences)
    if key.schema:
        extra["output_config"] = {"format": {"type": "json_schema", "schema": codec.parse(key.schema.encode())}}
    if key.choice != Choice():
        extra["tool_choice"] = _tool_choice(key.choice)
    return extra


def _tool_choice(choice: Choice) -> dict[str, object]:
    value: dict[str, object] = {"type": choice.kind}
    if choice.name:
        value["name"] = mcp.PREFIX + choice.name
    if not choice.parallel and choice.kind != "none":
        value["disable_parallel_tool_use"] = True
    return value
