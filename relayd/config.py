"""What a user can set: each key with its bounds and its trade-off, and the sources it is read from. Pure.

A TOML text, an environment and flags in, one frozen `Config` out; `commands/context.py` does the reading. Strength,
weakest first: defaults, the file, `RELAYD_*` variables, flags. An unknown key is an error with a suggestion, and a
key that is fixed (`limits.py`) an error that says so. The table of relayd.toml(5) is generated from here.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relayd import aliases, fallback_url, loopback, profiles
from relayd.errors import ConfigError
from relayd.knobs import Knob, count, knobs_of, seconds, shown, size, switch, word
from relayd.limits import DAY_S, KIB, MIB, Limits

LOG_FORMATS = ("human", "json")
LEVELS = ("debug", "info", "warning", "error")
KEY_HEADERS = ("x-api-key", "authorization")
PROCESSES_MAX = 100  # at 200 MB each, more than any machine of one user has room for


@dataclass(frozen=True)
class Config(Limits):
    """The whole configuration. Raises ConfigError for values that are wrong, alone or together."""

    # Where relayd listens and what it runs
    host: str = word(
        "127.0.0.1", "Address to listen on. Loopback only: anything else is refused.", choices=loopback.HOSTS, at_start=True
    )
    port: int = count(7421, "TCP port; 0 takes a free one, which the ready line names.", low=0, high=65_535, at_start=True)
    claude: str = word("", "Path of the `claude` to run; empty: the first on PATH and in its usual homes.", at_start=True)
    state_dir: str = word(
        "", "Private directory for the workspace, FIFOs and the lock; empty: the platform's place.", at_start=True
    )
    setting_sources: str = word(
        "",
        "Claude Code settings to load: `user`, if a login is set up there (`env`, `apiKeyHelper`); brings your hooks along.",
    )

    profiles: str = word(
        "",
        "Other logins, chosen by `x-relayd-profile` or by key, with the directories that hold them: `work=~/logins/work`.",
        at_start=True,
    )

    # Processes
    idle: int = count(
        2,
        "Waiting processes kept warm. Each holds about 190 MB; with none, every call waits for a start.",
        low=0,
        high=PROCESSES_MAX,
    )
    max: int = count(
        5,
        "Claude Code processes at the same time, waiting and dying ones included. More answer more at once, for memory.",
        low=1,
        high=PROCESSES_MAX,
    )
    typing: bool = switch(
        True,
        "Type a message into a process that already holds its conversation, checked to the letter; off: replay every call.",
        at_start=True,
    )
    kept: int = count(
        2,
        "Processes kept after their answer: the next message of the same conversation is typed into one; 0: none.",
        low=0,
        high=PROCESSES_MAX,
        at_start=True,
    )
    reuse: int = count(
        50,
        "Conversations that one process answers, one after another; 1: each conversation has a process of its own, into which "
        "nothing is loaded ahead.",
        low=1,
        high=1000,
        at_start=True,
    )
    process_memory_max_bytes: int = size(
        800 * MIB,
        "Memory with which a process may stay after its answer. A larger one ends; its conversation, if it goes on, is replayed.",
        low=300 * MIB,
        high=64 * 1024 * MIB,
    )
    queue_max: int = count(64, "Calls that may wait for a process; the next gets 529 at once.", low=0, high=10_000)
    queue_wait_s: float = seconds(60.0, "How long a call may wait for a process before 529. SDK clients retry by themselves.")

    # Times of a call
    turn_limit_s: float = seconds(
        600.0, "How long a turn may make no progress (text, transcript, error). The SDKs give up after 600 s, too.", low=1
    )
    parked_limit_s: float = seconds(
        600.0,
        "How long a turn waits for the results of its tools, holding a process; later the conversation is replayed.",
        low=0.1,
    )

    # What is kept for clients
    session_idle_s: float = seconds(
        1800.0, "How long a sticky session or a stored response is kept after its last use.", low=1, high=30 * DAY_S
    )
    conversations_max_bytes: int = size(
        256 * MIB,
        "Memory for what sticky sessions and threads hold, and as much for stored responses; the longest unused goes first.",
        low=KIB,
        high=64 * 1024 * MIB,
    )
    recent_calls_max: int = count(
        1000,
        "Calls whose metadata is kept, in memory and in `recent-calls.jsonl`; 0: none.",
        low=0,
        high=1_000_000,
        at_start=True,
    )

    # Files and batches, which are kept on disk
    stored_max_bytes: int = size(
        1024 * MIB,
        "Disk for uploaded files, and as much for batches; past it no upload or batch is taken, and no request of one is run.",
        low=0,
        high=1024 * 1024 * MIB,
    )
    stored_kept_s: float = seconds(
        30 * DAY_S,
        "How long uploaded files, and results of batches after their end, are kept; for files a client may ask for less.",
        low=60,
        high=3650 * DAY_S,
    )
    batch_processes: int = count(
        2,
        "Requests of batches that run at once, while no other call waits; one of `max` processes is always left for other calls.",
        low=1,
        high=PROCESSES_MAX,
    )

    # What the plan has left
    plan_warn_percent: int = count(
        90, "Part of a plan's window, in percent, from which the log and the dashboard warn; 0: never.", low=0, high=100
    )
    plan_stop_percent: int = count(
        0,
        "Part of the five-hour window from which calls get a 429, so that some is left for you; 0: never.",
        low=0,
        high=100,
    )
    plan_stop_week_percent: int = count(0, "The same for the weekly window.", low=0, high=100)

    # Requests and answers
    body_max_bytes: int = size(
        32 * MIB, "Largest request body, as the API has it; 413 above. Smaller saves memory.", low=64 * KIB, high=1024 * MIB
    )
    strict: bool = switch(False, "Refuse parameters that cannot be honoured with a 400, instead of naming them in a header.")
    model_aliases: str = word(
        "",
        "Other names for models, for programs that know OpenAI's: `gpt-4o*=claude-sonnet-5, fast=haiku`; the first that fits.",
    )
    default_model: str = word("", "Model of requests that name none; empty: they get a 400, as from the API.")
    telemetry: bool = switch(
        True,
        "Let Claude Code report usage and API errors to relayd (OpenTelemetry, loopback): ends calls 0.1 s earlier.",
        at_start=True,
    )

    witness: bool = switch(
        True,
        "Compare each request that Claude Code sends with the call, before its answer is given; off: no process serves two.",
        at_start=True,
    )
    live: bool = switch(
        True,
        "Stream token by token, by a plugin of relayd's own in each Claude Code that copies its answer; off: line by line.",
        at_start=True,
    )

    # Who answers if Claude Code cannot
    fallback_url: str = word(
        "",
        "Base URL of another API of this kind, asked if Claude Code is limited, logged out or broken; it may cost money.",
        at_start=True,
    )
    fallback_key_file: str = word(
        "", "File of your own key for it, which only you can read. What it answers is charged to that key.", at_start=True
    )
    fallback_key_variable: str = word(
        "", "Variable of the daemon's environment that holds the key instead; Claude Code does not get it.", at_start=True
    )
    fallback_key_header: str = word(
        "x-api-key", "How the key is sent; gateways may want `authorization`.", choices=KEY_HEADERS, at_start=True
    )
    fallback_models: str = word(
        "", "What models are called there, as in `model_aliases`: `claude-opus*=qwen3, *=llama3`; others keep their names."
    )
    fallback_plain: bool = switch(
        False,
        "Allow http:// to addresses that are not private: your prompts and the key then travel in the clear.",
        at_start=True,
    )

    # Who may call
    token_file: str = word(
        "", "File of the token that clients must send; empty: `token` beside the configuration, if it is there.", at_start=True
    )
    same_user: bool = switch(
        True, "Refuse other users of this machine (Linux). Off only where the kernel cannot tell them apart."
    )
    allowed_origins: str = word(
        "",
        "Web pages that may use the daemon: their origins, separated by commas. Each can spend the login; none is safe.",
        at_start=True,
    )
    allowed_hosts: str = word(
        "",
        "Other names by which programs reach the daemon, such as host.docker.internal, separated by commas, without ports.",
        at_start=True,
    )

    # The log
    log_format: str = word("human", "Lines of the log: human, or json for programs.", choices=LOG_FORMATS, at_start=True)
    log_level: str = word("info", "Lowest level that is logged.", choices=LEVELS, at_start=True)

    @property
    def keeps(self) -> int:
        """How many processes are kept: none where no message would be typed into them."""
        return self.kept if self.typing else 0

    def __post_init__(self) -> None:
        """Every Config is within its bounds, also one made in code."""
        for name, knob in (KEYS | FIXED).items():
            knob.judged(getattr(self, name))
        tables = {"model_aliases": self.model_aliases, "fallback_models": self.fallback_models}
        aliases.check(tables, self.default_model)
        profiles.table(self.profiles)
        fallback_url.check(self.fallback_url, self.fallback_key_file, self.fallback_key_variable, self.fallback_plain, self.port)
        if self.idle + self.keeps > self.max:
            together = "idle and kept together" if self.keeps else "idle"
            raise ConfigError(f"max: {self.max} is below {together}, {self.idle + self.keeps}")


FIXED: dict[str, Knob] = knobs_of(Limits)
KEYS: dict[str, Knob] = {name: knob for name, knob in knobs_of(Config).items() if name not in FIXED}
AT_START = tuple(name for name, knob in KEYS.items() if knob.rules.at_start)  # a running daemon does not take these up anew
ALIASES = {"SR_DAEMON_PORT": "port"}  # the variable of the product that relayd replaces
PREFIX = "RELAYD_"


def load(
    toml_text: str,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    fixed: Mapping[str, Any] | None = None,
    origin: str = "",
) -> Config:
    """Merge the sources into a Config. Raises ConfigError naming the key at fault, and the source if it is known.

    `fixed` are other values for what cannot be set, from code only: the harness of tests and doctor gives them.
    `origin` is the path of the TOML text.
    """
    values = _from_file(toml_text, origin)
    for name, text in environ.items():
        if name in ALIASES:
            values.setdefault(ALIASES[name], KEYS[ALIASES[name]].read(text))
    for name, text in environ.items():
        if name.startswith(PREFIX):
            key = _key(name.removeprefix(PREFIX).lower())
            values[key.name] = key.read(text)
    for name, value in flags.items():
        if value is not None:
            values[name] = _key(name).judged(value)
    for name, value in (fixed or {}).items():
        values[name] = FIXED[name].judged(value)
    return Config(**values)


def _from_file(toml_text: str, origin: str) -> dict[str, Any]:
    try:
        return {name: _key(name).judged(value) for name, value in _parsed(toml_text).items()}
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}" if origin else str(error)) from error


def _parsed(toml_text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(toml_text)
    except (ValueError, RecursionError) as error:  # also a number or nesting beyond what Python reads
        raise ConfigError(f"the file is not valid TOML: {error}") from error


def _key(name: str) -> Knob:
    """The key of that name. Raises ConfigError that says what became of it, or what may have been meant."""
    if name in KEYS:
        return KEYS[name]
    if name in FIXED:
        raise ConfigError(f"{name} is fixed now, at {shown(FIXED[name].default)}; remove it from the configuration")
    close = difflib.get_close_matches(name, KEYS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(f"unknown key {name}{hint}")
