"""What the daemon tells about itself: health, status, sessions of processes, metrics. Values in, JSON or text out. Pure.

Called by `core/admin_api.py`. States, counts and times only; no prompt, no answer, no secret.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from relayd.core.journal import BUCKETS_S, Histogram, Journal
from relayd.core.session.record import Session
from relayd.core.session.states import State

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RECENT_SHOWN = 50


def processes(sessions: Iterable[Session]) -> dict[str, int]:
    """How many processes are in which state."""
    return dict(Counter(session.state.value for session in sessions))


def slots(sessions: Iterable[Session], now: float) -> list[dict[str, Any]]:
    """Each process: state and for how long, age, pid, memory after its last answer (0: not known), launch key, call."""
    return [
        {
            "slot": session.slot,
            "state": session.state.value,
            "state_s": round(now - session.since, 1),
            "age_s": round(now - session.born, 1),
            "pid": session.pid,
            "memory_bytes": session.memory_bytes,
            "key": str(session.spec.key),
            "call": session.call,
        }
        for session in sessions
    ]


def statistics(journal: Journal) -> dict[str, Any]:
    """Totals and histograms."""
    by_status: Counter[str] = Counter()
    for (_, status), count in journal.calls.items():
        by_status[str(status)] += count
    return {
        "calls": dict(by_status),
        "roads": dict(journal.roads),
        **used(journal),
        "own": {"bounds_s": list(BUCKETS_S), "counts": journal.own.counts, "sum_s": round(journal.own.sum_s, 6)},
    }


def used(journal: Journal) -> dict[str, Any]:
    """Tokens, and what they cost by Claude Code's table of prices, since the daemon's start."""
    keys = {name: totals.as_json() for name, totals in journal.by_key.items()}
    return {"tokens": dict(journal.tokens), "cost_usd": round(journal.cost_usd, 6), "keys": keys}


def recent(journal: Journal, count: int = RECENT_SHOWN) -> list[dict[str, Any]]:
    """The latest calls, the last one first."""
    return [record.as_json() for record in list(journal.recent)[: -count - 1 : -1]]


def metrics(journal: Journal, sessions: list[Session], facts: dict[str, float]) -> str:
    """Everything for Prometheus. `facts` are gauges and counters by name; counters end in `_total`."""
    lines: list[str] = []
    lines += _family("relayd_calls_total", "counter", "Calls by route and HTTP status.")
    lines += [f'relayd_calls_total{{route="{r}",status="{s}"}} {n}' for (r, s), n in sorted(journal.calls.items())]
    lines += _family("relayd_roads_total", "counter", "Calls by their road into Claude Code.")
    lines += [f'relayd_roads_total{{road="{road}"}} {n}' for road, n in sorted(journal.roads.items())]
    lines += _family("relayd_tokens_total", "counter", "Tokens as Claude Code, or the fallback, counted them.")
    lines += [f'relayd_tokens_total{{kind="{kind}"}} {n}' for kind, n in journal.tokens.items()]
    lines += _by_key(journal)
    lines += _family("relayd_processes", "gauge", "Claude Code processes by state.")
    found = processes(sessions)
    lines += [f'relayd_processes{{state="{state.value}"}} {found.get(state.value, 0)}' for state in State]
    for name, value in facts.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [*_family(f"relayd_{name}", kind, f"{name.replace('_', ' ')}."), f"relayd_{name} {value!r}"]
    for name, histogram, text in (
        ("relayd_queue_seconds", journal.queue, "From a call's arrival to its process."),
        ("relayd_first_byte_seconds", journal.first, "From a call's arrival to the first part of its answer."),
        ("relayd_call_seconds", journal.total, "From a call's arrival to its end."),
        ("relayd_own_seconds", journal.own, "The daemon's own work on a call's request."),
    ):
        lines += _family(name, "histogram", text)
        lines += _histogram(name, histogram)
    return "\n".join(lines) + "\n"


def _by_key(journal: Journal) -> list[str]:
    """The totals of each named key; the label is empty for calls without one."""
    totals = sorted(journal.by_key.items())
    lines = _family("relayd_key_calls_total", "counter", "Calls by the name of their key and HTTP status.")
    lines += [f'relayd_key_calls_total{{key="{k}",status="{s}"}} {n}' for k, t in totals for s, n in sorted(t.calls.items())]
    lines += _family("relayd_key_tokens_total", "counter", "Tokens by the name of the key.")
    lines += [f'relayd_key_tokens_total{{key="{k}",kind="{kind}"}} {n}' for k, t in totals for kind, n in t.tokens.items()]
    lines += _family("relayd_key_cost_usd_total", "counter", "Cost by Claude Code's table of prices, by the name of the key.")
    return lines + [f'relayd_key_cost_usd_total{{key="{k}"}} {t.cost_usd!r}' for k, t in totals]


def plan_metrics(plans: dict[str, list[dict[str, Any]]]) -> str:
    """The plan's windows for Prometheus, by profile; none is there as long as none is known."""
    windows = [(f'profile="{name}",' if name else "", w) for name, found in plans.items() for w in found]
    lines = _family("relayd_plan_used_percent", "gauge", "Used part of a window of the plan, as Claude Code has told it.")
    lines += [f'relayd_plan_used_percent{{{label}window="{w["window"]}"}} {w["used_percent"]}' for label, w in windows]
    lines += _family("relayd_plan_resets_in_seconds", "gauge", "Until that window begins anew.")
    lines += [f'relayd_plan_resets_in_seconds{{{label}window="{w["window"]}"}} {w["resets_in_s"]}' for label, w in windows]
    return "\n".join(lines) + "\n"


def profile_metrics(journal: Journal, sessions: dict[str, list[Session]]) -> str:
    """Calls and processes of each profile; the label is empty for the daemon's own login."""
    lines = _family("relayd_profile_calls_total", "counter", "Calls by profile and HTTP status.")
    counts = sorted(journal.by_profile.items())
    lines += [f'relayd_profile_calls_total{{profile="{p}",status="{s}"}} {n}' for (p, s), n in counts]
    lines += _family("relayd_profile_processes", "gauge", "Claude Code processes by profile.")
    lines += [f'relayd_profile_processes{{profile="{name}"}} {len(found)}' for name, found in sessions.items()]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _histogram(name: str, histogram: Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*BUCKETS_S, None), histogram.counts, strict=True):
        total += count
        yield f'{name}_bucket{{le="{bound if bound is not None else "+Inf"}"}} {total}'
    yield f"{name}_sum {histogram.sum_s!r}"
    yield f"{name}_count {total}"
