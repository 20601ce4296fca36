"""Attackers at the daemon's inner doors (hooks, MCP, telemetry): with guessed secrets, and with the right ones of a process
that betrays them.

A hostile call makes its process write down its doors and wait; meanwhile whatever stands there is told. Only that call may
fail.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import threading
from typing import Any

from tests.siege.hostile import Family
from tests.siege.shapes import SIMPLE, Shape
from tests.siege.wire import Client

EVENTS = ("MessageDisplay", "Stop", "StopFailure", "UserPromptSubmit", "SessionStart", "\x00", "", "PreToolUse")
WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e300,
    2**70,
    "",
    "x",
    "x" * 70_000,
    "\ud800",
    "\x00",
    [],
    {},
    [[]],
    {"a": {}},
    "9" * 5000,
    "²",
    "٣",
    1.5,
)


class Guessers(Family):
    """Secrets that are not there."""

    name, rate = "guessed secrets", 3.0

    def once(self) -> None:
        secret = "".join(self.chance.choice("abcXYZ019_-") for _ in range(self.chance.choice((15, 16, 22, 64, 65))))
        path = self.chance.choice((f"/hooks/{secret}", f"/mcp/{secret}", f"/telemetry/{secret}/v1/logs"))
        got = self.exchange(Shape(path, b'{"hook_event_name": "Stop"}', {}))
        if got.end == "whole" and got.status not in (404, 405):
            self.tally.fault(f"{self.name}: {got.status} for a guessed secret")


class Insiders(Family):
    """The right secrets, wrong contents. `secrets` is the directory in which processes betray them."""

    name, rate = "right secrets", 1.2

    @property
    def _secrets(self) -> pathlib.Path:
        return pathlib.Path(self._root, "secrets")

    def __init__(self, *rest: Any, root: str) -> None:
        super().__init__(*rest)
        self._root = root
        self._old: list[dict[str, Any]] = []

    def once(self) -> None:
        """One betrayed process, told a few dozen things; then one that has ended."""
        tool = (
            {"tools": [{"name": "get", "description": "", "input_schema": {"type": "object"}}]}
            if self.chance.random() < 0.5
            else {}
        )
        text = "betray 0.25 words\nof it"
        value = SIMPLE | {"messages": [{"role": "user", "content": text}], "stream": self.chance.random() < 0.5} | tool
        caller = Client(self.url, 20.0)
        thread = threading.Thread(target=lambda: self._call(caller, value))
        thread.start()
        for doors in self._betrayed(thread):
            for _ in range(self.chance.randrange(5, 30)):
                self._tell(doors)
            self._old = [*self._old[-50:], doors]
        thread.join(25.0)
        if self._old:
            self._tell(self.chance.choice(self._old), is_gone=True)

    def _call(self, caller: Client, value: Any) -> None:
        """The attacker's own call: its process has been lied about, so any well-formed end of it will do."""
        got = caller.ask(value)
        verdict = got.verdict("words\nof it")
        outcome = "lied to" if " instead of " in verdict or " before its error" in verdict else verdict
        self.tally.count(f"{self.name}: own calls", outcome)
        if outcome.startswith("BAD"):
            self.tally.fault(f"{self.name}: the attacker's own call is malformed: {verdict}")
        if got.end == "hangs":
            self.tally.fault(f"{self.name}: the attacker's own call hangs")
        caller.close()

    def _betrayed(self, thread: threading.Thread) -> list[dict[str, Any]]:
        """The doors of a process that has just written them down. Each is taken by one attacker."""
        while thread.is_alive():
            for path in self._secrets.glob("*[0-9a-f]"):
                with contextlib.suppress(OSError, ValueError):
                    doors: dict[str, Any] = json.loads(path.read_text())
                    path.unlink()
                    return [doors]
            thread.join(0.01)
        return []

    def _tell(self, doors: dict[str, Any], is_gone: bool = False) -> None:
        name = self.chance.choice(("hooks", "hooks", "mcp", "telemetry"))
        url = doors[name] or doors["hooks"].replace("/hooks/", "/mcp/")
        path = "/" + url.split("/", 3)[3]
        value = {"hooks": self._hook, "mcp": self._mcp, "telemetry": self._telemetry}[name](doors)
        text = json.dumps(value)
        if self.chance.random() < 0.1:
            text = self.chance.choice(("", "{", "[" * 100_000, '{"a":' * 2000, "\xff", "1e400", "null", "[]", '"x"', text[:-1]))
        body = text.encode("utf-8", "surrogatepass")
        client = Client(self.url, 0.3 if name == "mcp" else 5.0)  # a tool's call is answered when its result comes
        request = client.bytes_of("POST", path, body)
        got = client.exchange("POST", path, body)
        client.close()
        if got.end == "hangs" and name == "mcp":
            self.tally.count(self.name, "waits")
        else:
            self.judged(got, request)
        if is_gone and got.end == "whole" and got.status == 200:
            self.tally.count(self.name, "200 late")

    def _hook(self, doors: dict[str, Any]) -> Any:
        wrong = self.chance.choice(WRONG)
        value = {
            "hook_event_name": self.chance.choice(EVENTS),
            "session_id": doors["session"],
            "message_id": "m",
            "index": 0,
            "final": False,
            "delta": "lie",
        }
        value |= {
            "last_assistant_message": "lie",
            "prompt": "lie",
            "error": "rate_limit",
            "error_details": "resets at 99999999999999999999",
        }
        value[self.chance.choice(list(value))] = wrong
        return value if self.chance.random() < 0.95 else wrong

    def _mcp(self, doors: dict[str, Any]) -> Any:
        method = self.chance.choice(("tools/call", "tools/call", "tools/list", "initialize", "ping", "x", "notifications/x"))
        meta = {"claudecode/toolUseId": self.chance.choice(("toolu_lie", f"toolu_{doors['session'].replace('-', '')}"))}
        value: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {"name": "get", "arguments": {}, "_meta": meta},
        }
        wrong = self.chance.choice(WRONG)
        place = self.chance.choice((value, value["params"], meta))
        place[self.chance.choice(list(place))] = wrong
        return value

    def _telemetry(self, doors: dict[str, Any]) -> Any:
        fields: dict[str, Any] = {
            "event.name": "api_request",
            "query_source": "repl_main_thread",
            "model": "m",
            "input_tokens": "5",
        }
        fields |= {"output_tokens": "3", "cache_read_tokens": "2", "status_code": "429", "error": "lie", "request_id": "r"}
        if self.chance.random() < 0.3:
            fields["event.name"] = "api_error"
        fields[self.chance.choice(list(fields))] = self.chance.choice(WRONG)
        attributes = [{"key": k, "value": {"stringValue": v}} for k, v in fields.items()]
        value: dict[str, Any] = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": attributes}]}]}]}
        place = self.chance.choice(
            (value, value["resourceLogs"][0], value["resourceLogs"][0]["scopeLogs"][0], attributes[0], attributes[-1])
        )
        if self.chance.random() < 0.5:
            place[self.chance.choice(list(place))] = self.chance.choice(WRONG)
        return value


FAMILIES: tuple[type[Family], ...] = (Guessers,)
