"""What is fixed: times, sizes and counts that only somebody who has measured can judge. Each says why it is what it is.

`Config` inherits them, so that a module asks one object for a limit whether it can be set or not. They cannot be set by
file, variable or flag: `config.py` refuses their names there. Tests and the doctor give others in code.
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd.knobs import count, seconds, size, word

KIB, MIB = 1024, 1024 * 1024
DAY_S = 86_400.0


@dataclass(frozen=True)
class Limits:
    """Defaults are the values of the product; bounds are those within which the program works at all."""

    # The pool
    warm_model: str = word(
        "claude-sonnet-5",
        "Model of the processes warmed before any call has shown what is used; a wrong guess costs one start and no request.",
    )
    warm_max_tokens: int = count(1024, "`max_tokens` of those processes.", low=1, high=1_000_000)
    key_memory_s: float = seconds(
        900.0, "How long a launch key (model, max_tokens, thinking) that a call has used keeps a process warm."
    )
    slot_max_age_s: float = seconds(
        3600.0, "Age at which a waiting process is replaced, so that logins and settings do not go stale."
    )
    refill_delay_s: float = seconds(
        1.0,
        "From a call until what is too much is ended, and used processes are replaced although other calls are on their way.",
        low=0,
    )
    binary_check_s: float = seconds(
        5.0, "How often the `claude` binary is looked at, whose change replaces the waiting processes, and the files of the keys."
    )

    # What is kept for clients
    thread_idle_s: float = seconds(
        300.0, "How long a message thread can be continued after its last answer: as in the API.", low=0
    )
    conversations_max: int = count(
        1000, "Sticky sessions and threads at the same time; the one used longest ago goes first.", low=1, high=1_000_000
    )

    files_max: int = count(1000, "Uploaded files at the same time: what is known of each is in memory.", low=1, high=100_000)
    batches_max: int = count(1000, "Batches at the same time, ended ones included, for the same reason.", low=1, high=100_000)

    # Messages that are typed
    typed_messages_max: int = count(
        80,
        "Longer conversations are replayed: a screen full of history takes longer to paint than to replay.",
        low=0,
        high=100_000,
    )
    kept_idle_s: float = seconds(
        120.0, "How long a process waits after its answer for the next message, holding about 200 MB; later calls are replayed."
    )
    submit_limit_s: float = seconds(5.0, "From typing a message to Claude Code's word that it has it; then the call is replayed.")
    typed_refusals_max: int = count(
        3,
        "After so many messages in a row that Claude Code did not take, none is typed for a while; one, if it never took any.",
        low=1,
        high=1000,
    )
    typing_rest_s: float = seconds(600.0, "How long that is: each such message has cost its call `submit_limit_s`.")
    editor_settle_s: float = seconds(
        0.005, "Silence of the terminal after which it is looked whether the editor's text is there."
    )
    editor_lost_s: float = seconds(
        0.15, "Silence of the terminal after which a text that is not in the prompt, and has started nothing, counts as lost."
    )
    editor_limit_s: float = seconds(
        1.0, "From opening the editor to Enter if nothing is seen of its text, and from one Enter to the next."
    )
    forget_after_s: float = seconds(
        1.0, "From the answer of a kept process to deleting its transcript and its lines in Claude Code's list of prompts.", low=0
    )

    # Deadlines of one process
    spawn_limit_s: float = seconds(30.0, "From spawn to waiting at the gate: 0.3 s when all is well, seconds on a slow disk.")
    start_limit_s: float = seconds(30.0, "From hand-over to the first sign of the turn.")
    silence_limit_s: float = seconds(
        60.0, "Without any sign a process is stuck: one that works redraws its screen once a second."
    )
    transcript_lag_s: float = seconds(
        5.0, "From the end of the turn to its last transcript line; Claude Code writes it within 0.2 s."
    )
    dialog_settle_s: float = seconds(
        0.35, "How long a known dialog must stand before it gets a key; earlier keys reset it.", low=0
    )
    failure_lag_s: float = seconds(
        1.0, "How long an API error waits for its exact status and text, which come at once but for a busy machine.", low=0
    )
    exit_lag_s: float = seconds(0.5, "From a terminal that closes by itself to its process's exit, which says why.", low=0)
    term_limit_s: float = seconds(3.0, "From TERM to KILL for a process that is no longer needed. A clean exit takes 0.3 s.")
    tidy_interval_s: float = seconds(1.0, "How often it is tried again to remove a directory that could not be removed.")
    kill_limit_s: float = seconds(5.0, "From KILL until a process that still is not reaped is given up and reported.")
    interrupt_limit_s: float = seconds(
        0.5, "From Esc to TERM for a turn whose client has gone, so that its upstream request is aborted cleanly."
    )
    shutdown_limit_s: float = seconds(30.0, "After TERM running calls may finish for so long; then they get an error.", low=0)

    # HTTP
    header_max_bytes: int = size(
        64 * KIB, "Request line and headers: long `anthropic-beta` lists fit easily.", low=1024, high=MIB
    )
    header_limit_s: float = seconds(10.0, "From the first byte of a request to the end of its headers (slow-loris).")
    body_limit_s: float = seconds(120.0, "From the headers to the end of the body; 32 MB need well under a second on loopback.")
    idle_limit_s: float = seconds(120.0, "Keep-alive connections with no request are closed after this.")
    connections_max: int = count(
        1024,
        "Client connections at the same time; for a further one the oldest idle one gives way, or it waits.",
        low=1,
        high=65_536,
    )
    out_max_bytes: int = size(
        16 * MIB,
        "Answer a client may leave unread before it is dropped: the turn cannot be slowed down.",
        low=KIB,
        high=1024 * MIB,
    )
    stall_limit_s: float = seconds(120.0, "A client that takes no byte of a waiting answer for so long is dropped.")
    half_closed_look_s: float = seconds(
        0.25, "How often it is asked whether a client that has finished sending still waits for its answer; 30 µs each."
    )
    linger_limit_s: float = seconds(
        2.0, "Staged close: how long a closing connection is drained so that the error response arrives.", low=0
    )
    stream_hold_s: float = seconds(
        5.0, "How long a stream's HTTP status is held back for an early error to be a real 4xx or 5xx.", low=0
    )
    ping_interval_s: float = seconds(
        10.0, "Silence in a stream before a `ping` event: proxies and clients give up after 60 s or more."
    )

    # The dashboard
    viewer_out_max_bytes: int = size(
        MIB, "What a dashboard may leave unread; then it loses frames until it has caught up.", low=KIB, high=1024 * MIB
    )
    tape_max_bytes: int = size(
        256 * KIB, "Terminal output kept per process for the dashboard; past it colours are lost.", low=0, high=1024 * MIB
    )

    # Work per turn of the loop
    read_chunk_bytes: int = size(256 * KIB, "Read from one fd per turn, so that no peer delays the others.", low=1, high=64 * MIB)
    write_chunk_bytes: int = size(256 * KIB, "Written to one fd per turn, for the same reason.", low=1, high=64 * MIB)
    accepts_per_turn: int = count(16, "Connections accepted per turn, for the same reason.", low=1, high=1024)
    tail_interval_s: float = seconds(
        0.01, "How often a growing transcript is looked at: files cannot be polled, and a stat costs microseconds."
    )
    gate_interval_s: float = seconds(0.02, "How often a booting process is asked whether it waits at its gate.")
    gate_hurry_s: float = seconds(0.004, "The same, while a call waits for that process.")

    # The terminal
    columns: int = count(160, "Width of the terminal that Claude Code sees: dialog texts are read from it.", low=40, high=1000)
    rows: int = count(50, "Height of that terminal.", low=10, high=500)

    # Answers
    answer_retries: int = count(
        1,
        "How often an answer that breaks `output_config.format` or `tool_choice` is asked for again, a turn each.",
        low=0,
        high=10,
    )
    rate_probe_s: float = seconds(
        60.0, "While a rate limit is known to be in force, how often one call may try all the same.", low=0
    )
