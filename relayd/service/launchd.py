"""The launchd agent of macOS, as a property list, and what launchd's words and numbers mean. Pure.

launchd starts a job again after every exit but 0: `is_agent` tells the daemon that launchd runs it, so that a wrong
configuration can end it for good.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping

from relayd.service.spec import Spec

LABEL = "dev.relayd.relayd"
# Domains of a user's agents, by the kind of session whose agents they hold: with a desktop, where the login keychain is open, or
# without, as over ssh, where there is no other.
GRAPHICAL, BACKGROUND = "gui", "user"
SESSIONS = {GRAPHICAL: "Aqua", BACKGROUND: "Background"}
STILL_UNLOADING = (5, 37)  # EIO and EALREADY of `bootstrap`, just after `bootout`
FDS = 10_240  # OPEN_MAX, the most that setrlimit(2) takes there; launchd gives 256


def agent(spec: Spec, domain: str = GRAPHICAL) -> str:
    """The text of the property list."""
    value = {
        "Label": LABEL,
        "ProgramArguments": list(spec.command),
        "EnvironmentVariables": spec.environment,
        "LimitLoadToSessionType": SESSIONS[domain],  # or both domains would start it at a login
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": spec.stop_limit_s,
        "ProcessType": "Interactive",
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": FDS, "Core": 0},
        "StandardErrorPath": spec.log,
        "StandardOutPath": spec.log,
    }
    return plistlib.dumps(value, sort_keys=False).decode()


def is_agent(environ: Mapping[str, str]) -> bool:
    """True for the process that launchd has started as an agent, this one or Homebrew's: it names its jobs to themselves."""
    return environ.get("XPC_SERVICE_NAME", "").endswith(".relayd")
