"""An isolated home for a real `claude`: no login, no setting and no variable of this machine gets in.

Used by `--demo`, by the tests and by the benchmarks. The environment is built from nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

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
        return {
            "HOME": self.home,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": f"{self.root}/tmp",
            "CLAUDE_CONFIG_DIR": self.config_dir,
            "ANTHROPIC_BASE_URL": self.api_url,
            "ANTHROPIC_API_KEY": DUMMY_KEY,
        }
