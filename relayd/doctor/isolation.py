"""An isolated home for a real `claude`: no login, no setting and no variable of this machine gets in.

Used by `--demo`, by the tests and by the benchmarks. The environment is built from nothing.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass

# Without these Windows has no network, no shell and no home; they name the system and nobody's login.
WINDOWS = (
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "COMSPEC",
    "PATHEXT",
    "PATH",
    "PROGRAMDATA",
    "PROGRAMFILES",
    "PROCESSOR_ARCHITECTURE",
)
DUMMY_KEY = "relayd-stand-in-key-0000000000"


@dataclass(frozen=True)
class Isolation:
    """Directories below `root`, and the environment that keeps `claude` inside them."""

    root: str
    api_url: str

    @property
    def home(self) -> str:
        """HOME of the process."""
        return f"{self.root}/home"

    @property
    def config_dir(self) -> str:
        """CLAUDE_CONFIG_DIR."""
        return f"{self.root}/claude"

    def prepare(self, onboarded: bool = True) -> Isolation:
        """Make the directories; as a user's own install would be, past its first-start screens."""
        for path in (self.home, self.config_dir, f"{self.root}/tmp"):
            os.makedirs(path, mode=0o700, exist_ok=True)
        settings = f"{self.config_dir}/.claude.json"
        if onboarded and not os.path.exists(settings):
            answers = {"approved": [DUMMY_KEY[-20:]], "rejected": []}
            state = {"hasCompletedOnboarding": True, "theme": "dark", "numStartups": 3, "customApiKeyResponses": answers}
            with open(settings, "w", encoding="utf-8") as file:
                json.dump(state, file)
        return self

    def environment(self) -> dict[str, str]:
        """The daemon's whole environment."""
        return self._of_windows() if sys.platform == "win32" else self._everywhere()

    def _of_windows(self) -> dict[str, str]:
        system = {name: os.environ[name] for name in WINDOWS if name in os.environ}
        homes = dict.fromkeys(("USERPROFILE", "APPDATA", "LOCALAPPDATA"), self.home)
        places = {name: os.path.normpath(path) for name, path in homes.items()}
        places |= dict.fromkeys(("TEMP", "TMP"), os.path.normpath(f"{self.root}/tmp"))
        own = {name: value for name, value in self._everywhere().items() if name not in ("PATH", "TMPDIR")}
        return system | own | places

    def _everywhere(self) -> dict[str, str]:
        return {
            "HOME": self.home,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": f"{self.root}/tmp",
            "CLAUDE_CONFIG_DIR": self.config_dir,
            "ANTHROPIC_BASE_URL": self.api_url,
            "ANTHROPIC_API_KEY": DUMMY_KEY,
        }
