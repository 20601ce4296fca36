"""What relayd needs of a `claude`, in one table, and what the installed one can do: what the core must heed. Pure.

`NEEDS` says by which flags, variables and hooks relayd asks Claude Code for each of its capabilities, since which version it
was seen to have them, and what becomes of calls without. The table in relayd(1) is made from it, the refusals of old versions
name its numbers, and the doctor's run on real old versions is compared with it (`tests/real/test_doctor.py`).

`Capabilities` are made by `daemon/binary.py` from the doctor's verdict, at the start and each time the binary or the verdict
changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relayd.claude import bodies, environment, launch, mod

Version = tuple[int, ...]
FLAGS_OF_ALL = ("--resume", "--settings", "--setting-sources", "--permission-mode", "--tools", "--model")


@dataclass(frozen=True)
class Need:
    """One capability, by the name of the doctor's check.

    since: the oldest version on which it was seen; the one before that was tried lacks it, unless `since` is the oldest tried.
    flags, variables, hooks: what relayd asks for it with, besides FLAGS_OF_ALL.
    without: what becomes of calls where it is missing.
    """

    check: str
    since: str
    without: str
    flags: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()


REPLAY, GATE, TYPING, TOOLS, LIVE, WITNESS = "replay", "gate", "typing", "tools", "live", "witness"  # what the daemon goes by
OLDEST = "2.1.162"
BARE = (  # keep everything of this machine out of a conversation
    "CLAUDE_CODE_DISABLE_ATTACHMENTS",
    "CLAUDE_CODE_DISABLE_CLAUDE_MDS",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY",
    "CLAUDE_CODE_TOTAL_TOKENS_REMINDER",
)
NEEDS: tuple[Need, ...] = (
    Need(REPLAY, OLDEST, "the daemon does not start", variables=("CLAUDE_CODE_RESUME_INTERRUPTED_TURN",), hooks=("Stop",)),
    Need(GATE, OLDEST, "no process waits: each call starts one", flags=("--system-prompt-file",)),
    # 2.1.290 adds reminders to what is typed; in between nobody has looked.
    Need(TYPING, "2.1.330", "every call is replayed", hooks=("UserPromptSubmit",)),
    Need("system prompt", "2.1.290", "where a client sends none, the model gets a blank one", flags=("--system-prompt-file",)),
    Need("nothing added", "2.1.290", "the model gets a reminder with the date", variables=BARE),
    Need("pictures", OLDEST, "they are not exact"),
    Need(
        TOOLS,
        "2.1.280",
        "calls with tools are refused",
        flags=("--mcp-config", "--strict-mcp-config", "--allowedTools"),
        variables=("ENABLE_TOOL_SEARCH",),
    ),
    Need("parking", "2.1.280", "results of tools are replayed", variables=tuple(launch.TOOL_ENV)),
    Need("parallel calls", OLDEST, "they come one by one"),
    Need("stream", OLDEST, "text comes at the end", hooks=("MessageDisplay",)),
    Need(LIVE, "2.1.290", "text comes line by line", flags=mod.argv("")[:1], variables=tuple(mod.environment(""))),
    Need("thinking", OLDEST, "its blocks are missing", variables=("MAX_THINKING_TOKENS",)),
    Need("exactness", "2.1.290", "not every conversation arrives to the letter", variables=("CLAUDE_CODE_EXTRA_BODY",)),
    Need(WITNESS, "2.1.290", "what reaches the model is not compared with the call", variables=(bodies.ADDRESS,)),
    Need("interrupt", OLDEST, "a turn goes on when its client has left"),
    Need(
        "errors",
        OLDEST,
        "errors come without the API's own status",
        variables=("CLAUDE_CODE_MAX_RETRIES", *environment.telemetry("")),
        hooks=("StopFailure",),
    ),
)
SINCE = {need.check: need.since for need in NEEDS}


def parsed(version: str) -> Version | None:
    """A version of Claude Code as numbers; None for what is none."""
    return tuple(int(part) for part in version.split(".")) if re.fullmatch(r"\d{1,6}(\.\d{1,6}){1,3}", version) else None


def is_older(version: str, than: str) -> bool:
    """True if both are versions, and the first is the older one."""
    first, second = parsed(version), parsed(than)
    return first is not None and second is not None and first < second


@dataclass(frozen=True)
class Capabilities:
    """The default is a `claude` that nobody has examined: it is taken to be able to do everything.

    refusal: why no call can be served; empty if calls can.
    no_tools: why calls with tools are refused; empty if they are not.
    gated: a process can wait for its conversation; else it starts with it, and none is kept warm.
    typing: a typed message reaches the model as it is; else every call is replayed.
    live: the mod tells the pieces of an answer; else text comes line by line.
    witness: it tells what it sends, and that is what was asked; else that is not compared.
    """

    refusal: str = ""
    no_tools: str = ""
    gated: bool = True
    typing: bool = True
    live: bool = True
    witness: bool = True
