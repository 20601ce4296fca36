"""What reads a streamed answer, as programs do: a socket, curl, the SDKs and a page in a browser. Called by `token_lag.py`.

Each gives, for every piece, when it was there (in seconds of this machine's monotonic clock) and how many characters of the
text, the thinking or the tool's input had come by then; the last one is the end of the stream.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.helpers import connect, request_bytes

PROGRAMS = pathlib.Path(__file__).parent / "readers"
FIELDS = ("text", "thinking", "partial_json")
LIMIT_S = 60.0
Body = dict[str, Any]
Arrivals = list[tuple[float, int]]
Reader = Callable[[str, Body], Arrivals]


def by_socket(url: str, body: Body) -> Arrivals:
    """Nothing between the daemon and this."""
    with connect(url) as sock:
        sock.sendall(request_bytes(url, body))
        with sock.makefile("rb") as file:
            return _of_lines(file)


def by_curl(url: str, body: Body) -> Arrivals:
    """`curl -N`, whose lines are read as they come."""
    command = ["curl", "-sN", "-H", "content-type: application/json", "-d", "@-", f"{url}/v1/messages"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as curl:
        assert curl.stdin is not None
        assert curl.stdout is not None
        curl.stdin.write(json.dumps(body).encode())
        curl.stdin.close()
        return _of_lines(curl.stdout)


def _of_lines(lines: Iterable[bytes]) -> Arrivals:
    found, total = [], 0
    for line in lines:
        if line.startswith(b"data: ") and b"content_block_delta" in line:
            delta = json.loads(line[6:])["delta"]
            total += sum(len(delta.get(field, "")) for field in FIELDS)
            found.append((time.monotonic(), total))
        if b"message_stop" in line:
            break
    return [*found, (time.monotonic(), total)]


def _by_program(command: list[str], cwd: pathlib.Path) -> Reader:
    def read(url: str, body: Body) -> Arrivals:
        environ = {"BASE_URL": url, "PATH": os.environ["PATH"]}
        done = subprocess.run(
            command, input=json.dumps(body), env=environ, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == 0, done.stderr
        return [(at, total) for at, total in json.loads(done.stdout)]

    return read


def _in_page(page: Page) -> Reader:
    script = (PROGRAMS / "page.js").read_text()

    def read(url: str, body: Body) -> Arrivals:
        page.goto(f"{url}/docs/relayd.1")
        ahead_s = min((_clock_ahead_s(page) for _ in range(5)), key=lambda pair: pair[0])[1]
        return [(at - ahead_s, total) for at, total in page.evaluate(script, [url, json.dumps(body)])]

    return read


def _clock_ahead_s(page: Page) -> tuple[float, float]:
    """How long asking took, and how far the page's clock is ahead of ours."""
    asked = time.monotonic()
    told = page.evaluate("(performance.timeOrigin + performance.now()) / 1000")
    took = time.monotonic() - asked
    return took, told - asked - took / 2


@contextlib.contextmanager
def readers(clients: pathlib.Path | None) -> Iterator[dict[str, Reader]]:
    """All of them; the SDKs lie in `clients`, where the tests of the frameworks have them, or only the socket is there."""
    if clients is None:
        yield {"socket": by_socket}
        return
    python, node, chromium = str(clients / "agents/bin/python"), shutil.which("node"), shutil.which("chromium")
    assert node, "the npm SDK needs node"
    assert chromium, "a page needs chromium"
    shutil.copy(PROGRAMS / "anthropic_sdk.mjs", clients / "node")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield {
            "socket": by_socket,
            "curl": by_curl,
            "python": _by_program([python, str(PROGRAMS / "anthropic_sdk.py")], clients),
            "npm": _by_program([node, "anthropic_sdk.mjs"], clients / "node"),
            "openai": _by_program([python, str(PROGRAMS / "openai_sdk.py")], clients),
            "page": _in_page(browser.new_page()),
        }
        browser.close()
