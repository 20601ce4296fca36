"""The `claude` that is there: which file it is, and what the doctor has found out about it."""

from __future__ import annotations

from relayd import verdict
from relayd.claude.capabilities import Capabilities
from relayd.core import events as ev
from relayd.daemon.state import read_small
from relayd.runtime import system
from relayd.runtime.files import fingerprint


def examined(claude: str, verdict_path: str) -> ev.ClaudeChanged:
    """The `claude` that is there now, and what the doctor has found out about it. It is asked every few seconds."""
    mark = fingerprint(claude)
    found = verdict.read(read_small(verdict_path), mark)
    if found is None:
        return ev.ClaudeChanged(mark, Capabilities(gated=system.HAS_FIFOS))
    gated = system.HAS_FIFOS and not found.no_gate
    can = Capabilities(found.refusal, found.no_tools, gated, not found.no_typing, not found.no_live, not found.no_witness)
    return ev.ClaudeChanged(mark, can)
