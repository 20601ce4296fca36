"""The systemd user unit, and the socket unit for those who want the daemon started by its first call. Pure.

The hardening is what a user unit can have and a Claude Code in a pseudo-terminal survives: its engine
compiles at run time, so MemoryDenyWriteExecute would end it.
"""

from __future__ import annotations

from relayd.service.spec import DESCRIPTION, DOCUMENTATION, Spec

UNIT = "relayd.service"
SOCKET = "relayd.socket"
LINKS = (f"default.target.wants/{UNIT}", f"sockets.target.wants/{SOCKET}")  # made by `systemctl enable`, beside the units

SERVICE = """\
[Unit]
Description={description}
Documentation={documentation}

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
{environment}Restart=on-failure
RestartSec=2
RestartPreventExitStatus=100
WatchdogSec={watchdog_s}
TimeoutStopSec={stop_limit_s}
KillMode=mixed
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""

LISTEN = """\
[Unit]
Description={description} (socket)
Documentation={documentation}

[Socket]
ListenStream={address}
NoDelay=yes

[Install]
WantedBy=sockets.target
"""


def service(spec: Spec) -> str:
    """The text of relayd.service."""
    return SERVICE.format(
        description=DESCRIPTION,
        documentation=DOCUMENTATION,
        command=" ".join(map(word, spec.command)),
        environment="".join(f"Environment={quoted(f'{name}={value}')}\n" for name, value in spec.environment.items()),
        watchdog_s=spec.watchdog_s,
        stop_limit_s=spec.stop_limit_s,
    )


def socket(address: str) -> str:
    """The text of relayd.socket. `address` is a loopback address with its port."""
    return LISTEN.format(description=DESCRIPTION, documentation=DOCUMENTATION, address=address)


def word(text: str) -> str:
    """A word of a command line, as systemd reads it: its variables are left alone, too."""
    return quoted(text.replace("$", "$$"))


def quoted(text: str) -> str:
    """A text as systemd reads it: quoted where needed, on one line, with its specifiers left alone."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    plain = escaped and not any(c.isspace() or c in "\"';" for c in text)
    return escaped if plain else f'"{escaped}"'
