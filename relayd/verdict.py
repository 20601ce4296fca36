"""What the doctor has found out about one `claude`, as a small file that the daemon reads, again whenever it changes. Pure.

The file holds the binary's fingerprint: a verdict about another binary is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd import codec
from relayd.claude.capabilities import GATE, LIVE, REPLAY, SINCE, TOOLS, TYPING, WITNESS, is_older

FILE_NAME = "doctor.json"


@dataclass(frozen=True)
class Verdict:
    """`lacks` are the names of the checks that failed; `unsure` are those among them whose calls were not answered."""

    fingerprint: str
    version: str
    lacks: frozenset[str]
    unsure: frozenset[str] = frozenset()

    @property
    def is_kept(self) -> bool:
        """False if not even the first call was answered, by a version that takes conversations: a daemon that refused to
        start for that would be of no use when the machine is well again.
        """
        return REPLAY not in self.lacks & self.unsure or is_older(self.version, SINCE[REPLAY])

    @property
    def refusal(self) -> str:
        """Why a daemon cannot work with it; empty if it can."""
        if REPLAY not in self.lacks or not self.is_kept:
            return ""
        return f"conversations cannot be handed to Claude Code {self.version}; {SINCE[REPLAY]} and newer take them: claude update"

    @property
    def no_tools(self) -> str:
        """Why calls with tools are refused; empty if they are not."""
        if TOOLS not in self.lacks:
            return ""
        return f"tools: Claude Code {self.version} does not offer a client's tools to the model; {SINCE[TOOLS]} and newer do"

    @property
    def no_gate(self) -> bool:
        """True if its processes cannot wait for their conversation, so that each starts with it."""
        return GATE in self.lacks

    @property
    def no_typing(self) -> bool:
        """True if a typed message does not reach the model as it is, so that every call is replayed."""
        return TYPING in self.lacks

    @property
    def no_live(self) -> bool:
        """True if it does not tell the pieces of its answers, so that text comes line by line."""
        return LIVE in self.lacks

    @property
    def no_witness(self) -> bool:
        """True if it does not tell what it sends, or that is not what was asked."""
        return WITNESS in self.lacks

    def dump(self) -> bytes:
        """The file's bytes."""
        value = {"fingerprint": self.fingerprint, "version": self.version, "lacks": sorted(self.lacks)}
        return codec.dump(value)


def read(data: bytes, fingerprint: str) -> Verdict | None:
    """The verdict about this binary, if the file holds one."""
    try:
        value = codec.parse(data)
        found = Verdict(str(value["fingerprint"]), str(value["version"]), frozenset(map(str, value["lacks"])))
    except (ValueError, KeyError, TypeError):
        return None
    return found if found.fingerprint == fingerprint else None
