"""`relayd serve --demo`: the whole path with no account.

The real Claude Code binary answers from the project's own stand-in for the API, on loopback, in an
isolated home below the state directory. It says so plainly, makes a sample call, and serves on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
import urllib.request
from collections.abc import Mapping

from relayd.config import Config
from relayd.daemon import user_files
from relayd.daemon.serve import serve as serve_daemon
from relayd.doctor.isolation import Isolation
from relayd.doctor.standin import StandIn
from relayd.runtime.notify import given_by_manager

NOTICE = """\
relayd --demo: the answers below come from a stand-in for the Anthropic API on this machine.
No account is used and nothing leaves the machine. The Claude Code in between is the real one."""
SAMPLE_TEXT = "Hello from the sample call.\n\nThis is the second paragraph."
SAMPLE_MODEL = "claude-sonnet-4-6"
SAMPLE = {
    "model": SAMPLE_MODEL,
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "[[say " + SAMPLE_TEXT + "]]"}],
}


def serve(config: Config, environ: Mapping[str, str]) -> int:
    """Serve in demo mode until told to end. Returns the exit code."""
    claude = user_files.find_claude(config, environ)
    state = os.path.join(user_files.state_directory(config, environ), "demo")
    print(NOTICE, flush=True)
    with StandIn(keep=100) as api:
        isolation = Isolation(state, api.url).prepare()
        settings = dataclasses.replace(config, claude=claude, state_dir=state, warm_model=SAMPLE_MODEL)
        return serve_daemon(settings, isolation.environment() | given_by_manager(environ), on_ready=_sample_soon)


def _sample_soon(url: str) -> None:
    threading.Thread(target=_sample, args=(url,), daemon=True).start()


def _sample(url: str) -> None:
    body = json.dumps(SAMPLE).encode()
    request = urllib.request.Request(f"{url}/v1/messages", body, {"content-type": "application/json", "x-api-key": "any"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    print(f"\n  curl {url}/v1/messages -H 'content-type: application/json' -d '{json.dumps(SAMPLE)}'\n", flush=True)
    with contextlib.suppress(OSError), opener.open(request, timeout=60) as answer:
        print(answer.read().decode(), flush=True)
        print(f"\nDemo ready: point a client at {url} (any key). Ctrl-C ends it.", flush=True)
        return
    print("the sample call failed; see the log above", file=sys.stderr, flush=True)
