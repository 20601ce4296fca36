"""Starts relayd under Wine and calls it over every road; a line for each, and the time it took. Run by scripts/wine-test.

calls.py PYTHON.EXE CLAUDE.EXE

The stand-in for the API, the clients and the judge run here, on this side of Wine: ports are the same ones. Each answer
must be the expected one, and what reached the stand-in just what was sent. Ends with 1 if anything was not.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from relayd.doctor import client, under_test
from relayd.doctor.client import Reply
from relayd.doctor.exactness import differences
from relayd.doctor.isolation import Isolation
from relayd.doctor.standin import StandIn

LISTENS = re.compile(r"listens on (http://\S+),")
START_LIMIT_S, CALL_LIMIT_S, WAIT_LIMIT_S, GONE_LIMIT_S, END_LIMIT_S = 120.0, 120.0, 60.0, 30.0, 60.0
LIMITS = {"spawn_limit_s": 90, "start_limit_s": 90, "submit_limit_s": 30}  # for a machine that others use, too
MODEL = "claude-sonnet-4-6"
TOOL = {"name": "get", "description": "Gets", "input_schema": {"type": "object", "properties": {"k": {"type": "integer"}}}}
SECRET = "violet-anchor"  # in every conversation; must be nowhere afterwards
REUSES_TRIED = 8
RESTS = ({"ready"}, {"primed"}, {"kept"}, {"ready", "kept"}, {"primed", "kept"})


class Wrong(Exception):
    """Something was not as it must be."""


class Windows:
    """A daemon under Wine, with a fresh state directory and a fresh Claude Code, and the stand-in that it calls."""

    def __init__(self, python: str, claude: str, root: str) -> None:
        self.api = StandIn()
        self.url = ""
        self.log: list[str] = []
        self._python, self._claude, self._root = python, claude, root
        drive = pathlib.Path(os.environ["WINEPREFIX"], "drive_c", "users")
        (profile,) = (p for p in drive.iterdir() if p.name != "Public")
        self.state = profile / "AppData" / "Local" / "relayd"
        self.claude_home = pathlib.Path(root, "claude")

    def __enter__(self) -> Windows:
        self.api.start()
        shutil.rmtree(self.state, ignore_errors=True)
        isolation = Isolation(self._root, self.api.url).prepare()
        kept = {name: os.environ[name] for name in ("PATH", "WINEPREFIX", "WINEDEBUG", "WINEDLLOVERRIDES", "DISPLAY")}
        environ = isolation.environment() | kept | {"CLAUDE_CONFIG_DIR": as_windows(self.claude_home)}
        environ |= {"RELAYD_PORT": "0", "RELAYD_CLAUDE": as_windows(self._claude), "RELAYD_KEPT": "1", "RELAYD_IDLE": "1"}
        environ[under_test.VARIABLE] = json.dumps(LIMITS | {"warm_model": MODEL})
        command = ["wine", self._python, "-m", under_test.__name__, "serve"]
        # Python there starts with pipes only.
        self._process = subprocess.Popen(
            command,
            env=environ,
            cwd=self._root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(ready,), daemon=True).start()
        if not ready.wait(START_LIMIT_S) or not self.url:
            raise Wrong("relayd did not start:\n" + "\n".join(self.log))
        return self

    def _read(self, ready: threading.Event) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line.rstrip())
            found = LISTENS.search(line)
            if found:
                self.url = found[1]
                ready.set()
        ready.set()

    def interrupt(self) -> int | None:
        """Ctrl-C; the exit status, None if it did not end."""
        pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and self._is_daemon(p)]
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(END_LIMIT_S)
        return None

    def _is_daemon(self, pid: str) -> bool:
        with contextlib.suppress(OSError):
            words = pathlib.Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
            return under_test.__name__.encode() in words and b"serve" in words
        return False

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.api.stop()

    def status(self) -> list[dict[str, Any]]:
        """The processes that there are."""
        found: list[dict[str, Any]] = client.get(self.url, "/v1/status", CALL_LIMIT_S).value["slots"]
        return found

    def wait_for(self, *states: str) -> dict[str, Any]:
        """The first process to be in one of these states."""
        return until(
            lambda: next((s for s in self.status() if s["state"] in states), None), f"no process was {' or '.join(states)}"
        )

    def wait_for_rest(self) -> None:
        """Until there is a process, and none starts or is at work: one that has answered may stand for a free one."""
        until(lambda: {s["state"] for s in self.status()} in RESTS, "no process came to rest")

    def call(self, value: dict[str, Any], *roads: str, text: str | None = None) -> Reply:
        """A call that must be answered, by one of these roads, exactly."""
        self.api.clear()
        reply = client.post(self.url, value, limit_s=CALL_LIMIT_S)
        if reply.status != 200:
            raise Wrong(f"{reply.status}: {reply.body[:300].decode('utf-8', 'replace')}")
        if roads and reply.road not in roads:
            raise Wrong(f"it went the road {reply.road}")
        if text is not None and text_of(reply) != text:
            raise Wrong(f"the answer was {text_of(reply)!r}")
        found = differences(value, self.api.messages()[-1].body)
        if found:
            raise Wrong(found[0])
        return reply


def as_windows(path: str | os.PathLike[str]) -> str:
    """A path of this side as Wine names it."""
    return "Z:" + os.fspath(path).replace("/", "\\")


def until(look: Callable[[], Any], otherwise: str, limit_s: float = WAIT_LIMIT_S) -> Any:
    """What `look` finds, in time."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise Wrong(otherwise)


def text_of(reply: Reply) -> str:
    """The words of an answer, of a stream too."""
    if reply.headers.get("content-type", "").startswith("application/json"):
        return "".join(b.get("text", "") for b in reply.value["content"])
    data = [json.loads(line[6:]) for line in reply.body.decode().splitlines() if line.startswith("data: ")]
    return "".join(d["delta"].get("text", "") for d in data if d["type"] == "content_block_delta")


def ask(text: str, **fields: Any) -> dict[str, Any]:
    """A small request."""
    body = {"model": MODEL, "max_tokens": 1024, "system": f"Be brief. {SECRET}"}
    return body | {"messages": [{"role": "user", "content": text}], **fields}


def follow(value: dict[str, Any], answer: str | list[Any], text: str | list[Any], **fields: Any) -> dict[str, Any]:
    """The next request of a conversation."""
    more = [{"role": "assistant", "content": answer}, {"role": "user", "content": text}]
    return value | {"messages": value["messages"] + more} | fields


# What is tried


def first_call(on: Windows) -> str:
    """A machine on which Claude Code has never seen the workspace: it asks whether it may trust it."""
    reply = on.call(ask("[[say one]] please", system=f"Be quick. {SECRET}"), text="one")
    if not any("trust dialog" in line for line in on.log):
        raise Wrong("nothing was asked: the machine was not fresh")
    return f"{reply.road}, after the trust dialog"


def ready(on: Windows) -> str:
    on.wait_for("ready")
    return on.call(ask("[[say zwei]] please", system=f"Be slow. {SECRET}"), "ready", text="zwei").road


def cold(on: Windows) -> str:
    return on.call(ask("\ttab and ✓\r\n[[say drei]]"), "cold", text="drei").road


def warm(on: Windows) -> str:
    on.wait_for_rest()
    value = ask("[[say four]] please")
    on.call(value, "ready", "primed", "reused", text="four")
    on.wait_for_rest()
    return on.call(follow(value, "four", "Grüße, 世界 [[say fünf]]"), "warm", text="fünf").road


def warm_stream(on: Windows) -> str:
    on.wait_for_rest()
    value = ask("[[say six]] please", stream=True)
    on.call(value, "ready", "primed", "reused", text="six")
    on.wait_for_rest()
    words = "word " * 40
    reply = on.call(follow(value, "six", f"[[say {words}]]"), "warm", text=words)
    pieces = reply.body.count(b'"text_delta"')
    return f"{reply.road}, {pieces} pieces"


def primed(on: Windows) -> str:
    for _ in range(2):
        on.call(ask("[[say seven]] please"), text="seven")
    on.wait_for("primed")
    return on.call(ask("[[say eight]] please"), "primed", text="eight").road


def reused(on: Windows) -> str:
    for number in range(REUSES_TRIED):
        road = on.call(ask(f"[[say {number}]] please", system=f"Number {number}. {SECRET}"), text=str(number)).road
        if road == "reused":
            return f"{road}, the call number {number + 1} of a series"
    raise Wrong(f"none of {REUSES_TRIED} calls in a row")


def parked(on: Windows) -> str:
    value = ask('[[tools 2 get {"k": 1}]] [[final done]]', tools=[TOOL])
    roads = []
    for _ in range(2):
        reply = on.call(value)
        content = reply.value["content"]
        results = [{"type": "tool_result", "tool_use_id": b["id"], "content": "it"} for b in content if b["type"] == "tool_use"]
        value = follow(value, content, results)
        roads.append(reply.road)
    roads.append(on.call(value, "parked", text="done").road)
    return ", then ".join(roads)


def api_error(on: Windows) -> str:
    reply = client.post(on.url, ask("[[error 429 slow down]]"), limit_s=CALL_LIMIT_S)
    if reply.status != 429 or b"slow down" not in reply.body:
        raise Wrong(f"{reply.status}: {reply.body[:200]!r}")
    return "429, in the API's words"


def client_leaves(on: Windows) -> str:
    on.api.clear()
    connection = http.client.HTTPConnection(urlsplit(on.url).netloc, timeout=CALL_LIMIT_S)
    connection.request("POST", "/v1/messages", json.dumps(ask("[[hang]] please")), {"content-type": "application/json"})
    until(on.api.messages, "no request reached the stand-in")
    (pid,) = (s["pid"] for s in on.status() if s["state"] == "running")
    connection.close()
    left = time.monotonic()
    until(lambda: all(s["pid"] != pid for s in on.status()), "its process lives on", GONE_LIMIT_S)
    return f"its process is gone after {time.monotonic() - left:.1f} s"


def killed(on: Windows) -> str:
    """`claude.exe` dies in the middle of a turn, before anything was shown: the call goes to another one."""
    on.api.clear()
    answers: list[Reply] = []
    body = ask("[[wait 4]] [[say nine]] please")
    thread = threading.Thread(target=lambda: answers.append(client.post(on.url, body, limit_s=CALL_LIMIT_S)), daemon=True)
    thread.start()
    until(on.api.messages, "no request reached the stand-in")
    (pid,) = (s["pid"] for s in on.status() if s["state"] == "running")
    subprocess.run(["wine", "taskkill", "/f", "/pid", str(pid)], capture_output=True, check=False, timeout=GONE_LIMIT_S)
    thread.join(CALL_LIMIT_S)
    if not answers or answers[0].status != 200 or text_of(answers[0]) != "nine":
        raise Wrong(f"{answers[0].status if answers else 'no answer'}: {answers[0].body[:300] if answers else b''!r}")
    return f"replayed, {answers[0].road}"


def nothing_typed_stays(on: Windows) -> str:
    """A moment after the answers, no word of a conversation is in Claude Code's list of prompts or in a transcript at rest."""
    until(lambda: not holding(on), "words of the conversations stay in " + ", ".join(map(str, holding(on))), GONE_LIMIT_S)
    return "in no file"


def a_clean_end(on: Windows) -> str:
    code = on.interrupt()
    left = list((on.state / "slots").glob("*")) + holding(on)
    if code != 0 or left:
        raise Wrong(f"exit {code}; left: {', '.join(map(str, left))}; {on.log[-1]}")
    return "Ctrl-C: exit 0, and nothing left"


def holding(on: Windows) -> list[pathlib.Path]:
    """Files of relayd and of Claude Code that hold words of the conversations."""
    found = []
    for place in (on.state, on.claude_home):
        for path in place.rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and (SECRET.encode() in path.read_bytes() or b"[[say" in path.read_bytes()):
                    found.append(path)
    return found


TRIALS: tuple[tuple[str, Callable[[Windows], str]], ...] = (
    ("first call", first_call),
    ("ready", ready),
    ("cold", cold),
    ("warm", warm),
    ("stream", warm_stream),
    ("primed", primed),
    ("reused", reused),
    ("parked", parked),
    ("API error", api_error),
    ("client leaves", client_leaves),
    ("killed", killed),
    ("privacy", nothing_typed_stays),
    ("end", a_clean_end),
)


@contextlib.contextmanager
def timed() -> Iterator[Callable[[], float]]:
    begun = time.monotonic()
    yield lambda: time.monotonic() - begun


def main() -> int:
    python, claude = sys.argv[1:]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="relayd-wine-") as root, timed() as took, Windows(python, claude, root) as on:
        print(f"ok    {'start':<13} {took():6.2f} s  {on.log[-1]}", flush=True)
        for name, trial in TRIALS:
            with timed() as took:
                try:
                    mark, seen = "ok   ", trial(on)
                except (Wrong, OSError, http.client.HTTPException, ValueError, KeyError) as error:
                    wrong, mark, seen = wrong + 1, "WRONG", f"{type(error).__name__}: {error}"
            print(f"{mark} {name:<13} {took():6.2f} s  {seen}", flush=True)
        if wrong:
            print("\n".join(on.log[-40:]), file=sys.stderr)
    print(f"{len(TRIALS) - wrong} of {len(TRIALS)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
