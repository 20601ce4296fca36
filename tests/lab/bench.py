"""`scripts/bench`: how long the parts of a call take, beside the alternatives, all in one run.

Speeds are compared inside a run, never between machines: the report gives medians and ratios. The
clock of the stand-in, the client and the daemon is the same (`time.monotonic`, one machine). It prints Markdown,
and writes JSON and a picture where it is told to.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import tempfile

from tests.lab import load, own_share, rivals, roads, tool_rounds
from tests.lab.series import Series, histograms

NAMES = {
    "warm": "`warm`: next message, in the process that has answered",
    "primed": "`primed`: typed into a process that has loaded what calls begin with",
    "ready": "`ready`: typed into a process at its prompt",
    "edited": "`ready`: brought by its editor, since there are tabs in it",
    "tools": "`ready`: a tool is offered, and a picture shown",
    "waiting": "`waiting`: replayed by a process at its gate",
    "cold": "`cold`: replayed by a process that has to start",
    "tools cold": "`cold`: the same tool and picture",
    "claude -p": "`claude -p`, spawn → upstream",
    "peer": "a peer from npm over `claude -p`",
    "direct": "no Claude Code at all (the floor)",
    "whole": "last upstream byte → last client byte, whole",
    "stream": "last upstream byte → last client byte, streamed",
}
SHOWN = ("warm", "primed", "ready", "edited", "waiting", "cold", "claude -p", "peer")
HEAD = ["| measure | median ms | p5 | p95 | n |", "|---|---|---|---|---|"]


def shares() -> list[Series]:
    """What relayd itself does, without Claude Code."""
    body = json.dumps(roads.request(own_share.FILLER)).encode()
    return [
        Series("relayd's own share of a 10 KB request", own_share.samples(body)),
        Series("relayd's own share of a tool result, 10 KB of history", own_share.parked_samples()),
        Series("relayd's own share of a piece of a stream, hook → client's bytes", own_share.piece_samples()),
    ]


def measure(claude: str, rounds: int, peer: str) -> tuple[list[Series], list[str]]:
    """Roads, rivals, tools: the series, and lines about the daemon."""
    with tempfile.TemporaryDirectory(prefix="relayd-bench-") as root, roads.daemons(root, claude) as hosts:
        if peer:
            with rivals.Peer(hosts["cold"], claude, peer) as other:
                series = roads.measure(hosts, claude, rounds, other)
        else:
            series = roads.measure(hosts, claude, rounds, None)
        for one in series:
            one.name = NAMES[one.name]
        ways, trips = tool_rounds.measure(hosts["waiting"], roads.MODEL, rounds)
        series += [Series("`parked`: tool result → upstream", ways), Series("bare round trip to the MCP endpoint", trips)]
        grown, health = load.idle_connections(hosts["waiting"])
        facts = [
            f"- spawn of the daemon → listening: {hosts['ready'].started_in_s:.2f} s",
            f"- {load.IDLE_CONNECTIONS} idle connections: {grown:.1f} MB, a health request among them {health:.1f} ms",
        ]
    return series, facts


def ratios(series: list[Series]) -> list[str]:
    """The comparisons that hold on other machines too."""
    by_name = {short: one for short, name in NAMES.items() for one in series if one.name == name}
    pairs = [(road, other) for other in ("claude -p", "cold") for road in ("warm", "primed", "ready", "edited", "waiting")]
    pairs += [("tools", "claude -p"), ("tools", "tools cold")]
    pairs += [("ready", "peer"), ("warm", "peer")] if "peer" in by_name else []
    words = {"edited": "`ready` by the editor", "tools": "`ready` with a tool and a picture", "tools cold": "`cold` with them"}
    return [
        f"- {words.get(a, f'`{a}`')} / {words.get(b, f'`{b}`')}: {by_name[a].median / by_name[b].median:.2f}" for a, b in pairs
    ]


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--peer", default="", help="entry point of a peer (JavaScript)")
    parser.add_argument("--fake", default="", help="a scripted claude, for the volume run")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=10_000, help="of the volume run; 0: none")
    parser.add_argument("--out", default="", help="directory for bench.json and bench.svg")
    options = parser.parse_args()
    series, facts = measure(options.claude, options.rounds, options.peer)
    series += shares()
    print("\n".join([*HEAD, *(s.row() for s in series), "", *ratios(series), *facts, ""]), flush=True)
    with tempfile.TemporaryDirectory(prefix="relayd-bench-") as root:
        crowd, lines = load.clients(root, options.claude)
        head = [
            "| clients | calls a second | median ms | p99 ms | p99 / median | daemon's CPU ms a call |",
            "|---|---|---|---|---|---|",
        ]
        print("\n".join([*head, *lines, ""]), flush=True)
        if options.fake and options.calls:
            lines = load.volume(f"{root}/volume", options.fake, options.calls)
            print("\n".join(["| calls (scripted claude) | daemon's memory MB | fds |", "|---|---|---|", *lines, ""]), flush=True)
    if options.out:
        out = pathlib.Path(options.out)
        (out / "bench.json").write_text(json.dumps([s.as_json() for s in series + crowd], indent=1))
        shown = [s for s in series if s.name in [NAMES[n] for n in SHOWN]]
        (out / "bench.svg").write_text(histograms(shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
