"""The launchd agent of macOS, as a property list. Pure."""

from __future__ import annotations

import plistlib

from relayd.service.spec import Spec

LABEL = "dev.relayd.relayd"


def agent(spec: Spec) -> str:
    """The text of the property list."""
    value = {
        "Label": LABEL,
        "ProgramArguments": list(spec.command),
        "EnvironmentVariables": spec.environment,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": spec.stop_limit_s,
        "ProcessType": "Interactive",
        "Umask": 0o077,
        "StandardErrorPath": spec.log,
        "StandardOutPath": spec.log,
    }
    return plistlib.dumps(value, sort_keys=False).decode()
