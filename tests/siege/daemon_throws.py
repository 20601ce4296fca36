"""Throws from each method of the runtime (and of what parses its bytes) in turn, in a running daemon, under a call.

As `core_throws.py`, with sockets, processes and files instead of a simulation. What must hold: the daemon lives; every
client has its answer, one well-formed error or a closed connection, at most one without its answer; the next calls are
right; processes, fds, and directories of processes are what they were.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from relayd.http.keys import NamedKey, digest_of, dump
from relayd.runtime.files import write_private
from tests.other_side import OtherSide, stream_answer
from tests.siege.daemon import Daemon
from tests.siege.methods import Method
from tests.siege.wire import KEY, Client, Got

MODEL = "claude-sonnet-5"
LIMITS = {
    "silence_limit_s": 2,
    "start_limit_s": 2,
    "spawn_limit_s": 3,
    "transcript_lag_s": 0.5,
    "kill_limit_s": 0.5,
    "idle_limit_s": 5,
}
SETTLE_LIMIT_S = 6.0
OWN = {"x_relayd_fallback": "1"}  # not forwarded: what Claude Code answers, or an error
FORM = b'--b\r\ncontent-disposition: form-data; name="file"\r\ncontent-type: text/plain\r\n\r\nwords\r\n--b--'
UPGRADE = {
    "upgrade": "websocket",
    "connection": "upgrade",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec_websocket_version": "13",
}


@dataclass(frozen=True)
class Case:
    """One throw."""

    method: Method
    use: int

    def __str__(self) -> str:
        return f"{self.method}, use {self.use}"


@dataclass
class Base:
    """What a daemon holds at rest."""

    fds: int
    children: int


@dataclass
class Siege:
    """A daemon that is thrown in; made anew when a throw has done it harm."""

    root: pathlib.Path
    starts: int = 0
    daemon: Daemon | None = None
    other: OtherSide | None = None  # answers what Claude Code cannot
    base: Base = field(default_factory=lambda: Base(0, 0))

    def __enter__(self) -> Siege:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> None:
        """End the daemon."""
        if self.daemon is not None:
            self.daemon.__exit__()
            self.daemon = None
        if self.other is not None:
            self.other.close()
            self.other = None

    def fresh(self) -> Daemon:
        """A daemon at rest."""
        if self.daemon is None:
            self.starts += 1
            self.other = OtherSide(stream_answer())
            flags = LIMITS | {"token_file": self._keys(), "fallback_url": self.other.url}
            self.daemon = Daemon(self.root / str(self.starts), idle=2, max=5, binary_check_s=0.05, **flags)
            self.daemon.__enter__()
            with Client(self.daemon.harness.url) as client:
                client.ask(_body("echo warm"))
            _until(lambda: self._rests())
            self.base = Base(self.daemon.fds(), len(self.daemon.children()))
        return self.daemon

    def _keys(self) -> str:
        """A token, and the named key that clients send; the path of the first."""
        self.root.mkdir(parents=True, exist_ok=True)
        token = self.root / "token"
        write_private(str(token), b"siege-token\n")
        write_private(str(self.root / "keys.json"), dump((NamedKey("siege", digest_of(KEY), ("claude-*",)),)))
        return str(token)

    def _rests(self) -> bool:
        assert self.daemon is not None
        got = self._health()
        if got.status != 200:
            return False
        pool = json.loads(got.body)["pool"]
        return (
            pool["processes"] == {"waiting": 2}
            and not pool["running"]
            and not pool["queued"]
            and len(self.daemon.children()) == 2
        )

    def _health(self) -> Got:
        assert self.daemon is not None
        with Client(self.daemon.harness.url, 2.0) as client:
            return client.exchange("GET", "/v1/health")

    def uses(self) -> Counter[Method]:
        """What the script uses, and how often."""
        daemon = self.fresh()
        problems = self._script(daemon, daemon.record, 0)
        assert not problems, f"the script fails without an exception: {problems}"
        return daemon.uses()

    def throw(self, case: Case) -> list[str]:
        """What was wrong after this throw; nothing if all was as it must be."""
        daemon = self.fresh()
        problems = self._script(daemon, lambda: daemon.throw(case.method, case.use), 1)
        if len(problems) or not daemon.lives:
            _until(lambda: not daemon.lives, 0.5)
        if daemon.lives:
            try:
                if not daemon.has_thrown() and not problems:
                    return []  # the timing of this run has not reached it
            except RuntimeError:
                problems.append("its loop stands still")
            problems += self._afterwards(daemon)
        else:
            problems = [f"the daemon has ended: {problems}"]
        if problems:
            self.end()
        return problems

    def _script(self, daemon: Daemon, arm: Callable[[], None], may_lose: int) -> list[str]:
        """A streamed call under way; then others of every kind."""
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(daemon.harness.url)) for _ in range(6)]
            return self._play(clients, arm, may_lose)

    def _play(self, clients: list[Client], arm: Callable[[], None], may_lose: int) -> list[str]:
        victim, beside, kept, viewer, leaver, limited = clients
        file = _id_of(kept.exchange("POST", "/v1/files", FORM, content_type="multipart/form-data; boundary=b"))
        victim.send("POST", "/v1/messages", _body("pause 0.03 a\nb\nc", stream=True), **OWN)
        kept.exchange("GET", "/v1/health")
        arm()
        paper = {"type": "document", "source": {"type": "file", "file_id": file}}
        beside.send("POST", "/v1/messages", _body([paper, {"type": "text", "text": "echo beside"}]), **OWN)
        viewer.send("GET", "/v1/live", **UPGRADE)
        leaver.send("POST", "/v1/messages", _body("pause 0.05 x\ny"), **OWN)
        limited.send("POST", "/v1/messages", _body("fail rate_limit API Error: 429 no", stream=True))
        wrong = kept.exchange("POST", "/v1/messages", b"{")
        leaver.close()
        another = _id_of(kept.exchange("POST", "/v1/files", FORM, content_type="multipart/form-data; boundary=b"))
        for each in (file, another):
            kept.exchange("DELETE", f"/v1/files/{each}")
        answers = {"the call": victim.receive().verdict("a\nb\nc"), "the call beside it": beside.receive().verdict("beside")}
        answers["a wrong request"] = "right" if wrong.status == 400 else wrong.verdict("")
        answers["a limited call"] = limited.receive().verdict("from elsewhere ")
        answers["a viewer"] = _upgraded(viewer)
        bad = [f"{who}: {verdict}" for who, verdict in answers.items() if verdict.startswith("BAD")]
        lost = [f"{who}: {verdict}" for who, verdict in answers.items() if verdict != "right" and not verdict.startswith("BAD")]
        return bad + ([f"{len(lost)} were lost: {lost}"] if len(lost) > may_lose else [])

    def _afterwards(self, daemon: Daemon) -> list[str]:
        problems = []
        client = Client(daemon.harness.url, 5.0)
        for stream in (True, False):
            verdict = client.ask(_body("echo next\nwords", stream=stream), **OWN).verdict("next\nwords")
            if verdict != "right":
                problems.append(f"the next call: {verdict}")
        client.close()
        if not daemon.lives:
            problems.append("the daemon has ended")
        elif not _until(self._rests):
            got = self._health()
            problems.append(
                f"it does not come to rest: {got.body[:300]!r}, children {len(daemon.children()) if daemon.lives else '-'}"
            )
        elif not _until(lambda: daemon.lives and daemon.fds() <= self.base.fds):
            problems.append(f"{daemon.fds() - self.base.fds} fds are left")
        elif not _until(lambda: len(os.listdir(f"{daemon.harness.state_dir}/slots")) <= 2):
            problems.append("a directory of a process is left")
        return problems


def cases(used: Counter[Method], methods: list[Method], each: int) -> Iterator[Case]:
    """The throws: at the first uses, and at later ones."""
    for method in methods:
        count = used[method]
        chosen = dict.fromkeys((1, 2, max(1, count // 2), count))
        yield from [Case(method, use) for use in chosen if 1 <= use <= count][:each]


def _id_of(got: Got) -> str:
    """The id of what was made; one of nothing, if it was not."""
    return str(json.loads(got.body)["id"]) if got.status == 200 and got.end == "whole" else "file_none"


def _body(text: object, **fields: object) -> dict[str, object]:
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}


def _upgraded(viewer: Client) -> str:
    """Whether a dashboard has got its connection, or an answer."""
    try:
        head = viewer.sock.recv(4096)
    except TimeoutError:
        return "BAD: it hangs"
    except OSError:
        return "closed"
    return "right" if head.startswith(b"HTTP/1.1 101") else "error" if head.startswith(b"HTTP/1.1 ") else "closed"


def _until(condition: Callable[[], bool], limit_s: float = SETTLE_LIMIT_S) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


__all__ = ["Case", "Got", "Siege", "cases"]
