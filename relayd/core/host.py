"""What the core must know of the machine and the installation. Pure data, made by `daemon/machine.py` at the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relayd.claude.capabilities import Capabilities
from relayd.claude.reminders import Machine
from relayd.http.keys import Keys


@dataclass(frozen=True)
class Host:
    """`timestamp`, `today` and `unix_time` map monotonic seconds to wall time."""

    claude: str
    state_dir: str
    config_dir: str
    workspace: str
    base_url: str
    environment: dict[str, str]
    telemetry: bool
    machine: Machine
    timestamp: Callable[[float], str]
    today: Callable[[float], str]
    unix_time: Callable[[float], float]
    keys: Keys = field(default_factory=Keys)  # what clients must send, if there are any
    assets: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)  # the dashboard's files: content type and bytes
    mover: str = ""  # the path of `mv`, if there is one: messages may come by the editor
    mod_directory: str = ""  # where the mod is, if it was written
    profiles: Mapping[str, str] = field(default_factory=dict)  # Claude Code's directories of other logins, by name
    capabilities: Capabilities = Capabilities()  # what `claude` can do at the start; updates come by event
    processors: int = 8  # that the daemon and its processes may use
