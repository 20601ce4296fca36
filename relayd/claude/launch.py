"""How one Claude Code process is started: what is fixed at spawn, argv, settings.

Pure; `core/pool.py` keeps slots per `LaunchKey` and turns a `Launch` into a spawn order. What a
call brings (system prompt, history, last message) is not here: it is handed over later, by
transcript and FIFO.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from relayd import codec
from relayd.anthropic import edge, models
from relayd.anthropic.models import Does
from relayd.anthropic.request import MessagesRequest, Thinking
from relayd.anthropic.tools import Choice
from relayd.claude import bodies, environment, mcp, mod
from relayd.errors import invalid

# A tool call may stay open as long as the client needs; relayd has limits of its own.
TOOL_ENV = {
    "MCP_TIMEOUT": "86400000",  # a process at its prompt waits for its tools as long as it waits for its conversation
    "MCP_TOOL_TIMEOUT": "86400000",
    "CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT": "86400000",
    "CLAUDE_CODE_MCP_AUTO_BACKGROUND_MS": "0",
    "MAX_MCP_OUTPUT_TOKENS": "100000000",
}
HOOK_EVENTS = ("MessageDisplay", "Stop", "StopFailure", "UserPromptSubmit")


@dataclass(frozen=True)
class LaunchKey:
    """What a process is bound to from its start; a call needs a process with its own key.

    Raises ValueError for a model or a count that no command line should see, wherever it comes from: a request is told
    so by `edge` before, a file of an earlier run is not read.
    """

    model: str
    max_tokens: int
    thinking: Thinking = Thinking()
    effort: str = ""
    stop_sequences: tuple[str, ...] = ()
    sampling: tuple[tuple[str, float], ...] = ()
    tools: bool = False
    choice: Choice = Choice()
    schema: str = ""  # JSON
    api_tools: str = ""  # JSON: all tools as the API gets them, if some of them are its own
    profile: str = ""  # the login's name

    def __post_init__(self) -> None:
        if not edge.is_model(self.model):
            raise ValueError(f"no model's name: {self.model[: edge.MODEL_SHOWN_CHARS]!r}")
        if not 0 <= self.max_tokens <= edge.TOKENS_MAX or not 0 <= self.thinking.budget <= edge.TOKENS_MAX:
            raise ValueError(f"no count of tokens: {self.max_tokens}, {self.thinking.budget}")

    def __str__(self) -> str:
        thinking = ":".join(str(part) for part in (self.thinking.kind, self.thinking.budget, self.thinking.display) if part)
        extra = f"/{len(self.stop_sequences)} stops" if self.stop_sequences else ""
        extra += "".join(f"/{name}={value}" for name, value in self.sampling)
        extra += "/tools" if self.tools else ""
        extra += "/" + self.choice.kind if self.choice != Choice() else ""
        extra += "/schema" if self.schema else ""
        extra += "/api tools" if self.api_tools else ""
        profile = f"{self.profile}: " if self.profile else ""
        return f"{profile}{self.model}/{self.max_tokens}/{thinking}" + (f"/{self.effort}" if self.effort else "") + extra

    @property
    def text_says_all(self) -> bool:
        """True if an answer that ended well is known by its text: no thinking, no tool call, no stop sequence to name."""
        return self.thinking_off and not (self.stop_sequences or self.tools or self.api_tools)

    @property
    def is_plain(self) -> bool:
        """True if it holds model names and numbers only, no words of a call or of the user, and may be wanted again."""
        has_words = self.stop_sequences or self.sampling or self.schema or self.api_tools or self.profile
        return bool(self.max_tokens) and not has_words and self.choice == Choice()

    @property
    def thinking_off(self) -> bool:
        """True if no thinking block can come back."""
        if self.thinking.kind == "absent":
            return Does.THINK not in models.facts(self.model).does
        return self.thinking.kind == "disabled"

    @property
    def thinking_asked(self) -> bool:
        """True if the client asked for thinking, so that its blocks must come first in a stream."""
        return self.thinking.kind not in ("absent", "disabled")

    @property
    def shows_thinking(self) -> bool:
        """True if thinking blocks come with a summary, not only with their signature."""
        if self.thinking.display:
            return self.thinking.display == "summarized"
        return Does.SHOW in models.facts(self.model).does


@dataclass(frozen=True)
class SlotPaths:
    """Files of one slot. `prompt` is the gate where there are FIFOs; `message` is what the editor brings; `bodies` is a directory
    in which Claude Code writes down what it sends.

    In Claude Code's own directory: `placeholder`, which the process starts with, and `transcript` of its conversation,
    most often the same file; `beside` are directories that it may make for them. `sessions` are their session ids, by
    which `session_paths` finds all of them again.
    """

    directory: str
    prompt: str
    settings: str
    mcp: str
    message: str
    bodies: str
    placeholder: str
    transcript: str
    beside: tuple[str, ...]
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True)
class CallbackUrls:
    """The daemon's URLs for one process; each carries its secret. `telemetry`, `pieces` and `plan` are empty if not wanted."""

    hooks: str
    mcp: str
    telemetry: str = ""
    pieces: str = ""
    plan: str = ""


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
        api_tools=codec.dump(mcp.for_the_api(request.tools, request.server_tools)).decode() if request.server_tools else "",
        profile=request.profile,
    )


def check(request: MessagesRequest) -> None:
    """Raises ApiError 400 for a request whose parameters no command line or environment of this system can hold."""
    if request.schema is None and not request.stop_sequences and not request.server_tools:
        return  # everything else has a width that `edge` knows
    key = key_of(request)
    if not all(map(edge.is_carried, (key.model, *_key_env(key).values()))):
        raise invalid("output_config, stop_sequences, tools: together too large to be handed to Claude Code on this system")


def project_directory(config_dir: str, cwd: str) -> str:
    """Where Claude Code keeps the transcripts of a working directory, and of each other whose path looks the same to it."""
    return f"{config_dir}/projects/{re.sub(r'[^A-Za-z0-9]', '-', cwd)}"


def session_paths(project: str, session_id: str) -> tuple[str, str]:
    """What Claude Code keeps of one session in a project's directory: the transcript, and a directory it may make."""
    return f"{project}/{session_id}.jsonl", f"{project}/{session_id}"


def slot_paths(state_dir: str, config_dir: str, workspace: str, session_id: str, conversation: str) -> SlotPaths:
    """The paths of a slot, named by its session id and by that of its conversation."""
    directory = f"{state_dir}/slots/{session_id}"
    project = project_directory(config_dir, workspace)
    sessions = tuple(dict.fromkeys((session_id, conversation)))
    return SlotPaths(
        directory=directory,
        prompt=f"{directory}/system-prompt",
        settings=f"{directory}/settings.json",
        mcp=f"{directory}/mcp.json",
        message=f"{directory}/message",
        bodies=f"{directory}/{bodies.DIRECTORY}",
        placeholder=session_paths(project, session_id)[0],
        transcript=session_paths(project, conversation)[0],
        beside=tuple(session_paths(project, each)[1] for each in sessions),
        sessions=sessions,
    )


def build(
    key: LaunchKey,
    claude: str,
    session_id: str,
    paths: SlotPaths,
    workspace: str,
    urls: CallbackUrls,
    base_env: dict[str, str],
    setting_sources: str = "",
    mover: str = "",
    mod_directory: str = "",
    tells_bodies: bool = False,
) -> Launch:
    """The launch of one waiting process.

    `setting_sources` names the user's settings files to load; none keeps hooks and plugins out. `mover` is the
    path of `mv`, which serves as the editor. `mod_directory` is where the mod is, which `urls.pieces` is for.
    `tells_bodies`: it shall write down what it sends, which is a part of its telemetry.
    """
    argv = (
        claude,
        "--resume",
        session_id,
        "--system-prompt-file",
        paths.prompt,
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
        *(("--mcp-config", paths.mcp, "--allowedTools", f"mcp__{mcp.SERVER}") if key.tools else ()),
        *(mod.argv(mod_directory) if urls.pieces else ()),
    )
    # In the cache it logs what it does with tools, by their names; with the slot's directory that goes, too.
    own = {"CLAUDE_CODE_TMPDIR": paths.directory, "XDG_CACHE_HOME": f"{paths.directory}/cache"}
    env = base_env | _key_env(key) | own
    if mover:
        # Claude Code splits it at spaces, and runs it where it runs itself.
        env["EDITOR"] = f"{mover} -f {posixpath.relpath(paths.message, workspace)}"
    if key.tools:
        env |= TOOL_ENV
    if urls.telemetry:
        env |= environment.telemetry(urls.telemetry)
        env |= bodies.environment(paths.bodies) if tells_bodies else {}
    if urls.pieces:
        env |= mod.environment(urls.pieces, urls.plan)
    files = {paths.settings: _settings(key, urls.hooks)}
    if key.tools:
        files[paths.mcp] = _mcp_config(urls.mcp)
    return Launch(argv, env, workspace, files)


def _mcp_config(url: str) -> bytes:
    """In a file: command lines can be read by every user of the machine."""
    return codec.dump({"mcpServers": {mcp.SERVER: {"type": "http", "url": url}}})


def _settings(key: LaunchKey, hook_url: str) -> bytes:
    hook = [{"hooks": [{"type": "http", "url": hook_url}]}]
    # Nobody looks at the animation, which takes 0.05 CPU seconds for each second that the model takes.
    settings = {"hooks": dict.fromkeys(HOOK_EVENTS, hook), "spinnerTipsEnabled": False, "prefersReducedMotion": True}
    return codec.dump(settings | {"showThinkingSummaries": key.shows_thinking})


def _key_env(key: LaunchKey) -> dict[str, str]:
    env = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(key.max_tokens), "CLAUDE_CODE_EXTRA_BODY": codec.dump(extra_body(key)).decode()}
    if key.thinking_off:
        env["MAX_THINKING_TOKENS"] = "0"
    elif key.thinking.budget:
        env["MAX_THINKING_TOKENS"] = str(key.thinking.budget)
    return env


def extra_body(key: LaunchKey) -> dict[str, object]:
    """Parameters that Claude Code puts over its own in its API requests: the API itself honours or refuses them.

    Its own `max_tokens` and `thinking` would be bent to what it knows of the model.
    """
    extra: dict[str, object] = {"max_tokens": key.max_tokens, "thinking": _thinking(key), **dict(key.sampling)}
    if key.stop_sequences:
        extra["stop_sequences"] = list(key.stop_sequences)
    output = _output_config(key)
    if output:
        extra["output_config"] = output
    if key.choice != Choice():
        extra["tool_choice"] = _tool_choice(key.choice)
    if key.api_tools:
        extra["tools"] = tools = codec.parse(key.api_tools.encode())
        if key.choice.name in [tool["name"] for tool in tools]:
            extra["tool_choice"] = _tool_choice(key.choice) | {"name": key.choice.name}
    return extra


def _thinking(key: LaunchKey) -> dict[str, object]:
    """What the API takes an absent parameter for is said in words, since Claude Code always sends one."""
    thinking = key.thinking
    value: dict[str, object] = {"type": thinking.kind}
    if thinking.kind == "absent":
        value["type"] = "disabled" if key.thinking_off else "adaptive"
    if thinking.budget:
        value["budget_tokens"] = thinking.budget
    if thinking.display:
        value["display"] = thinking.display
    return value


def _output_config(key: LaunchKey) -> dict[str, object]:
    """Merged into Claude Code's own, which names an effort for most models: of some another one than the API's default."""
    config: dict[str, object] = {}
    model = models.facts(key.model)
    if key.effort:
        config["effort"] = key.effort
    elif model.effort != model.own_effort:
        config["effort"] = model.effort
    if key.schema:
        config["format"] = {"type": "json_schema", "schema": codec.parse(key.schema.encode())}
    return config


def _tool_choice(choice: Choice) -> dict[str, object]:
    value: dict[str, object] = {"type": choice.kind}
    if choice.name:
        value["name"] = mcp.PREFIX + choice.name
    if not choice.parallel and choice.kind != "none":
        value["disable_parallel_tool_use"] = True
    return value
