"""Every knob and limit, each with its trade-off. Imports nothing of ours but the error.

Pure: a TOML text, an environment and flags in, one frozen `Config` out; `daemon.py` does the
reading. Strength, weakest first: defaults, the file, `RELAYD_*` variables, flags. An unknown
key is an error with a suggestion. Names carry their unit.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relayd.errors import ConfigError


def knob(default: Any, text: str) -> Any:
    """A configuration field: its default and the trade-off, which the manual page quotes."""
    return dataclasses.field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Config:
    """The whole configuration; `fields(Config)` is the reference that tests compare with the manual."""

    # Where we listen and what we run
    host: str = knob("127.0.0.1", "Address to listen on. Loopback only: anything else is refused.")
    port: int = knob(7421, "TCP port; 0 takes a free one, which the ready line names.")
    claude: str = knob("", "Path of the `claude` to run; empty: the first on PATH and in its usual homes.")
    state_dir: str = knob("", "Private directory for the workspace, FIFOs and the lock; empty: the platform's.")

    setting_sources: str = knob(
        "",
        "Claude Code settings to load (`user`): needed if a login is set up there (`env`, `apiKeyHelper`); brings hooks along.",
    )

    # The pool
    idle: int = knob(2, "Waiting processes kept warm. Each holds about 190 MB; none makes every call a cold start.")
    max: int = knob(
        5, "Claude Code processes at the same time, waiting and dying ones included. More answer more at once, for memory."
    )
    queue_max: int = knob(64, "Calls that may wait for a process; the next gets 529 at once.")
    queue_wait_s: float = knob(60.0, "How long a call may wait for a process before 529. SDK clients retry by themselves.")
    warm_model: str = knob("claude-sonnet-5", "Model of the processes warmed before the first call has shown what is used.")
    warm_max_tokens: int = knob(1024, "`max_tokens` of those processes.")
    key_memory_s: float = knob(900.0, "How long a launch key (model, max_tokens, thinking) used by a call keeps a process warm.")
    slot_max_age_s: float = knob(
        3600.0, "Age at which a waiting process is replaced, so that logins and settings do not go stale."
    )
    refill_delay_s: float = knob(1.0, "Pause before a used process is replaced: booting one slows the call that is starting.")
    binary_check_s: float = knob(5.0, "How often the `claude` binary is looked at; a change replaces the waiting processes.")

    # What is kept for clients
    session_idle_s: float = knob(1800.0, "How long a sticky session is kept after its last call.")
    thread_idle_s: float = knob(300.0, "How long a message thread can be continued after its last answer, as in the API.")
    conversations_max: int = knob(1000, "Sticky sessions and threads kept at the same time; the one used longest ago goes first.")
    conversations_max_bytes: int = knob(256 * 1024 * 1024, "Memory for their contents; the one used longest ago goes first.")

    # Messages that are typed
    typing: bool = knob(
        True,
        "Type messages into processes that stand at their prompt, checked to the letter; off: replay all calls.",
    )
    typed_messages_max: int = knob(
        80, "Conversations of up to so many messages are loaded for that; longer ones take longer to paint than to replay."
    )
    kept: int = knob(
        2, "Processes kept after their answer: the next message of the same conversation is typed into one; 0: none."
    )
    kept_idle_s: float = knob(120.0, "How long such a process waits for it, holding about 200 MB; later calls are replayed.")
    submit_limit_s: float = knob(5.0, "From typing a message to Claude Code's word that it has it; then the call is replayed.")
    typed_refusals_max: int = knob(3, "After so many messages in a row that Claude Code did not take, none is typed for a while.")
    typing_rest_s: float = knob(600.0, "How long; each such message has cost its call `submit_limit_s`.")
    editor_settle_s: float = knob(0.005, "Silence of the terminal after which it is looked whether the editor's text is there.")
    editor_lost_s: float = knob(
        0.15, "Silence of the terminal after which a text that is not in the prompt, and has started nothing, counts as lost."
    )
    editor_limit_s: float = knob(
        1.0, "From opening the editor to Enter if nothing is seen of its text, and from one Enter to the next."
    )
    forget_after_s: float = knob(
        1.0,
        "From the answer of a kept process to deleting its transcript and its lines in Claude Code's list of prompts.",
    )

    # Deadlines of one process
    spawn_limit_s: float = knob(30.0, "From spawn to waiting at the gate. Slow disks and first starts need seconds.")
    start_limit_s: float = knob(30.0, "From hand-over to the first sign of the turn.")
    silence_limit_s: float = knob(60.0, "Without any sign, not even a redrawn screen, the process is taken for stuck.")
    turn_limit_s: float = knob(
        600.0, "Without progress of the answer (text, transcript, error). The SDKs give up after 600 s too."
    )
    parked_limit_s: float = knob(
        600.0, "How long a turn waits for the results of its tools, holding a process; later the conversation is replayed."
    )
    transcript_lag_s: float = knob(
        5.0, "From the end of the turn to its last transcript line; Claude Code writes it within 0.2 s."
    )
    dialog_settle_s: float = knob(0.35, "How long a known dialog must stand before it gets a key; earlier keys reset it.")
    failure_lag_s: float = knob(
        1.0, "How long an API error waits for its exact status and text, which come at once but for a busy machine."
    )
    exit_lag_s: float = knob(0.5, "From a terminal that closes by itself to its process's exit, which says why.")
    term_limit_s: float = knob(3.0, "From TERM to KILL for a process that is no longer needed. A clean exit takes 0.3 s.")
    tidy_interval_s: float = knob(1.0, "How often it is tried again to remove a directory that could not be removed.")
    kill_limit_s: float = knob(5.0, "From KILL until a process that still is not reaped is given up and reported.")
    interrupt_limit_s: float = knob(
        0.5, "From Esc to TERM for a turn whose client has gone, so that its upstream request is aborted cleanly."
    )
    shutdown_limit_s: float = knob(30.0, "After TERM running calls may finish for so long; then they get an error.")

    # HTTP
    body_max_bytes: int = knob(32 * 1024 * 1024, "Request body, as the API's own limit; 413 above.")
    header_max_bytes: int = knob(64 * 1024, "Request line and headers. Long `anthropic-beta` lists fit easily.")
    header_limit_s: float = knob(10.0, "From the first byte of a request to the end of its headers (slow-loris).")
    body_limit_s: float = knob(120.0, "From the headers to the end of the body; 32 MB need well under a second on loopback.")
    idle_limit_s: float = knob(120.0, "Keep-alive connections with no request are closed after this.")
    connections_max: int = knob(
        1024, "Client connections at the same time; for a further one the oldest idle one gives way, or it waits."
    )
    out_max_bytes: int = knob(
        16 * 1024 * 1024, "Answer bytes a client may leave unread before it is dropped: the turn cannot be slowed down."
    )
    stall_limit_s: float = knob(120.0, "A client that takes no byte of a waiting answer for so long is dropped.")
    half_closed_look_s: float = knob(
        0.25, "How often it is asked whether a client that has finished sending still waits for its answer; 30 µs each."
    )
    linger_limit_s: float = knob(
        2.0, "Staged close: how long a closing connection is drained so that the error response arrives."
    )
    stream_hold_s: float = knob(5.0, "How long a stream's HTTP status is held back for an early error to be a real 4xx or 5xx.")
    ping_interval_s: float = knob(
        10.0, "Silence in a stream before a `ping` event. Proxies and clients give up after 60 s or more."
    )

    # The dashboard
    viewer_out_max_bytes: int = knob(
        1024 * 1024, "Bytes a dashboard may leave unread; then it loses frames until it has caught up."
    )
    tape_max_bytes: int = knob(256 * 1024, "Terminal output kept per process for the dashboard; past it colours are lost.")

    # Work per turn of the loop
    read_chunk_bytes: int = knob(256 * 1024, "Bytes read from one fd per turn, so that no peer delays the others.")
    write_chunk_bytes: int = knob(256 * 1024, "Bytes written to one fd per turn.")
    accepts_per_turn: int = knob(16, "Connections accepted per turn.")
    tail_interval_s: float = knob(
        0.01, "How often a growing transcript is looked at. Files cannot be polled; a stat costs microseconds."
    )
    gate_interval_s: float = knob(0.02, "How often a booting process is asked whether it waits at its gate.")
    gate_hurry_s: float = knob(0.004, "The same, while a call waits for that process.")

    # The terminal
    columns: int = knob(160, "Width of the terminal Claude Code sees. Dialog texts are read from it.")
    rows: int = knob(50, "Height of that terminal.")

    strict: bool = knob(False, "Refuse parameters that cannot be honoured with a 400, instead of naming them in a header.")
    answer_retries: int = knob(
        1,
        "How often an answer that breaks `output_config.format` or `tool_choice` is asked for again, for a turn each.",
    )
    rate_probe_s: float = knob(60.0, "While a rate limit is known to be in force, how often one call may try all the same.")
    token_file: str = knob(
        "", "File of the token that clients must send; empty: `token` beside the configuration, if it is there."
    )
    same_user: bool = knob(True, "Refuse other users of this machine (Linux). Off only where the kernel cannot tell them apart.")
    allowed_origins: str = knob(
        "",
        "Web pages that may use the daemon: their origins, separated by commas. Each can spend the login; none is safe.",
    )
    telemetry: bool = knob(
        True, "Let Claude Code report usage and API errors to relayd (OpenTelemetry, loopback): ends calls 0.1 s earlier."
    )
    recent_calls_max: int = knob(1000, "Calls whose metadata is kept, in memory and in `recent-calls.jsonl`.")
    log_format: str = knob("human", "Lines of the log: human, or json for programs.")
    log_level: str = knob("info", "Lowest level that is logged: debug, info, warning or error.")

    @property
    def keeps(self) -> int:
        """How many processes are kept: none where no message would be typed into them."""
        return self.kept if self.typing else 0


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
LOG_FORMATS = ("human", "json")
LEVELS = ("debug", "info", "warning", "error")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ALIASES = {"SR_DAEMON_PORT": "port"}  # the variable of the product that relayd replaces


def load(toml_text: str, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """Merge the sources into a Config. Raises ConfigError naming the key at fault."""
    try:
        values = {_known(k): v for k, v in tomllib.loads(toml_text).items()}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the file is not valid TOML: {error}") from error
    for name, text in environ.items():
        if name in ALIASES:
            values.setdefault(ALIASES[name], _from_text(ALIASES[name], text))
    for name, text in environ.items():
        if name.startswith("RELAYD_"):
            key = _known(name.removeprefix("RELAYD_").lower())
            values[key] = _from_text(key, text)
    values |= {_known(k): v for k, v in flags.items() if v is not None}
    config = Config(**{k: _typed(k, v) for k, v in values.items()})
    _check(config)
    return config


def _known(key: str) -> str:
    if key in FIELDS:
        return key
    close = difflib.get_close_matches(key, FIELDS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(f"unknown key {key}{hint}")


def _from_text(key: str, text: str) -> Any:
    kind: type = type(FIELDS[key].default)
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise ConfigError(f"{key}: {text!r} is neither true nor false")
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(f"{key}: {text!r} is not a {_noun(kind)}") from error


def _typed(key: str, value: Any) -> Any:
    kind: type = type(FIELDS[key].default)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{key}: {value!r} is not a {_noun(kind)}")
    return value


def _noun(kind: type) -> str:
    return {bool: "boolean", int: "whole number", float: "number", str: "text"}[kind]


def _check(config: Config) -> None:
    for name in FIELDS:
        value = getattr(config, name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
            raise ConfigError(f"{name}: must not be negative")
    if config.host not in LOOPBACK:
        raise ConfigError(f"host: {config.host!r} is not a loopback address")
    if config.port > 65535:
        raise ConfigError(f"port: {config.port} is above 65535")
    if config.max < 1 or config.idle > config.max:
        raise ConfigError("max: must be at least 1 and not below idle")
    if config.keeps and config.idle + config.keeps > config.max:
        raise ConfigError("max: must not be below idle and kept together")
    if config.log_format not in LOG_FORMATS:
        raise ConfigError(f"log_format: {config.log_format!r} is not one of {', '.join(LOG_FORMATS)}")
    if config.log_level not in LEVELS:
        raise ConfigError(f"log_level: {config.log_level!r} is not one of {', '.join(LEVELS)}")
