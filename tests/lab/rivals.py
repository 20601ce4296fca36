"""What relayd is measured against, on the same prompt and the same stand-in: no wrapper at all, and the usual ones.

`direct` is a client of the API itself (the floor); `claude -p` is what most wrappers do; a peer is a server
that exposes an API over Claude Code. Called by `bench.py`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import pathlib
import subprocess
import time
from typing import Any

from relayd.doctor import client
from relayd.doctor.harness import Harness

QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
START_LIMIT_S = 20.0
PEER_PORT = 47421


def direct(harness: Harness, body: dict[str, Any]) -> float:
    """Milliseconds from request to upstream without anything between."""
    harness.api.clear()
    reply = client.post(harness.api.url, body, {"x-api-key": "k", "anthropic-version": "2023-06-01"}).expect()
    return 1000 * (harness.api.messages()[0].arrived - reply.sent)


def wrapper(harness: Harness, claude: str, model: str, text: str) -> float:
    """What the usual wrapper does: `claude -p` per call; milliseconds from spawn to upstream."""
    harness.api.clear()
    begun = time.monotonic()
    print_once(harness, claude, model, text)
    return 1000 * (harness.api.messages()[0].arrived - begun)


def print_once(harness: Harness, claude: str, model: str, text: str) -> None:
    """One `claude -p`, to its end. Raises CalledProcessError."""
    command = [claude, "-p", "--output-format", "stream-json", "--verbose", "--model", model]
    environ = harness.isolation.environment() | QUIET
    subprocess.run(command, input=text, env=environ, cwd=harness.root, capture_output=True, text=True, check=True)


class Peer:
    """A Node server with an OpenAI-shaped API over `claude -p`; `script` is its entry point."""

    def __init__(self, harness: Harness, claude: str, script: str) -> None:
        self._harness = harness
        self._script = script
        places = pathlib.Path(harness.root, "peer-bin")
        places.mkdir()
        (places / "claude").symlink_to(claude)
        self._environ = harness.isolation.environment() | {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        self._environ["PATH"] = f"{places}:{os.environ.get('PATH', '')}"
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Peer {self._script}>"

    def __enter__(self) -> Peer:
        quiet = subprocess.DEVNULL
        command = ["node", self._script, str(PEER_PORT)]
        self._process = subprocess.Popen(command, env=self._environ, cwd=self._harness.root, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                http.client.HTTPConnection(f"127.0.0.1:{PEER_PORT}", timeout=1).connect()
                return self
            time.sleep(0.1)
        raise RuntimeError("the peer did not start")

    def __exit__(self, *exc: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()

    def measure(self, model: str, text: str) -> float:
        """Milliseconds from request to upstream."""
        self._harness.api.clear()
        value = {"model": model, "messages": [{"role": "user", "content": text}]}
        reply = client.post(f"http://127.0.0.1:{PEER_PORT}", value, path="/v1/chat/completions").expect()
        return 1000 * (self._harness.api.messages()[0].arrived - reply.sent)
