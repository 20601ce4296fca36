"""A hostile place between the mod and the daemon: pieces are lost, doubled, reordered, delayed at random. Used by `streams.py`.

`Sink` runs in the process that measures; `python -m tests.lab.hostile_sink serve` is a daemon that sends its mods there.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from relayd.claude import mod
from relayd.doctor import client, under_test

VARIABLE = "TEST_SINK"
PROGRAM = ("-m", "tests.lab.hostile_sink")
FATES = ("lost", "doubled", "reordered", "delayed", "refused")
DELAY_S = (0.02, 0.6)
LIMIT_S = 10.0
Post = tuple[str, bytes]  # where to, and its body


class Sink(ThreadingHTTPServer):
    """Takes the posts of mods and passes them on, or does something worse to `share` of them."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, share: float, seed: int = 1) -> None:
        super().__init__(("127.0.0.1", 0), Passage)
        self.done: Counter[str] = Counter()
        self._share, self._chance = share, random.Random(seed)
        self._held: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Sink {self.url} {dict(self.done)}>"

    @property
    def url(self) -> str:
        """Where mods post to; the true address follows as the path."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fate(self, post: Post) -> tuple[str, float, list[Post]]:
        """What becomes of a post, how long it waits, and what is passed on now."""
        url, _ = post
        with self._lock:
            fate = self._chance.choice(FATES) if self._chance.random() < self._share else "passed"
            held = self._held.pop(url, None)
            if fate == "reordered":
                self._held[url] = post[1]
            self.done[fate] += 1
            pause = self._chance.uniform(*DELAY_S) if fate == "delayed" else 0.0
        late = [(url, held)] if held is not None else []
        match fate:
            case "lost" | "refused" | "reordered":
                return fate, pause, late
            case "doubled":
                return fate, pause, [post, post, *late]
            case _:
                return fate, pause, [post, *late]


class Passage(BaseHTTPRequestHandler):
    """One post of a mod."""

    protocol_version = "HTTP/1.1"
    server: Sink

    def do_POST(self) -> None:
        """Pass it on, or not."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fate, pause, posts = self.server.fate((self.path[1:], body))
        time.sleep(pause)
        answers = [pass_on(*post) for post in posts]
        status, answer = (500, b"") if fate == "refused" else answers[0] if answers else (200, b"{}")
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def pass_on(url: str, body: bytes) -> tuple[int, bytes]:
    """Post this to the daemon; its status and body."""
    try:
        reply = client.post(url, body, path=urlsplit(url).path, limit_s=LIMIT_S)
    except OSError:  # its process is over
        return 500, b""
    return reply.status, reply.body


def main() -> None:
    """The daemon."""
    sink, real = os.environ[VARIABLE], mod.environment
    mod.environment = lambda pieces, plan="": real(f"{sink}/{pieces}", plan)
    sys.exit(under_test.run())


if __name__ == "__main__":
    main()
