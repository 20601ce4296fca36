"""What a service manager is told about relayd, whatever it is called there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

NAME = "relayd"
DESCRIPTION = "relayd: a local Messages API answered by Claude Code"
DOCUMENTATION = "man:relayd(1)"


@dataclass(frozen=True)
class Spec:
    """`command` is the whole argv, `environment` what the service needs besides, `log` a file (launchd, Windows)."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    log: str = ""
    user: str = ""
    stop_limit_s: int = 45
    watchdog_s: int = 30
