"""A whole world around a pure `Relay`: clients, processes that stand for Claude Code, a clock, timers. No fds, no waiting.

It performs the relay's orders as the runtime would and tells it what would come back. An order about what is not there is a
fault, as is an answer after an answer. `tests/siege/core_throws.py` runs scripts in it, with an exception thrown somewhere.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from relayd.claude import bodies, mcp, prompt, unparsed_input
from relayd.claude.reminders import Machine
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.host import Host
from relayd.core.relay import Relay
from relayd.core.timers import Timer
from relayd.http.keys import Keys, NamedKey, digest_of
from relayd.http.messages import HttpRequest
from tests.disk import Disk
from tests.helpers import told_body
from tests.siege import elsewhere, methods
from tests.siege.actors import Process, Reply, asked_of

HEADERS = {"host": "127.0.0.1:7421", "content-type": "application/json"}
HEADING = "Claude Code v2.1.330\x1b]0;✳ Claude Code\x07".encode()
BUSY, IDLE = "\x1b]0;◐ Claude Code\x07".encode(), "\x1b]0;✳ Claude Code\x07".encode()
PASTED = re.compile(rb"\x1b\[200~(.*?)\x1b\[201~", re.DOTALL)
NEAR = Host(
    "/bin/claude",
    "/state",
    "/claude",
    "/state/workspace",
    "http://127.0.0.1:7421",
    {},
    True,
    Machine("linux", "bash", "Linux 6"),
    lambda now: "2026-01-01T00:00:00.000Z",
    lambda now: "2026-01-01",
    lambda now: 1.7e9 + now,
)
NEAR_FLAGS = ("token", "mover", "mod_directory", "assets", "gated", "no_tools")
LIMITS: dict[str, Any] = {
    "spawn_limit_s": 4.0,
    "start_limit_s": 4.0,
    "silence_limit_s": 5.0,
    "turn_limit_s": 8.0,
    "parked_limit_s": 8.0,
    "transcript_lag_s": 1.0,
    "kill_limit_s": 1.0,
    "term_limit_s": 1.0,
    "queue_wait_s": 10.0,
    "shutdown_limit_s": 10.0,
}
HELD_BYTES = 2**28  # by each process
STEP_S = 0.01
KEY = NamedKey("siege", digest_of("named"), ("claude-*",), 1000, 99)  # where there is a token
TICK_S = 1e-6  # no clock stands still while something is done


class Simulation:
    """See the module's text. `faults` are what no daemon should do; `hook` is on while the relay handles a fact."""

    def __init__(self, **flags: Any) -> None:
        near = {name: flags.pop(name) for name in NEAR_FLAGS if name in flags}
        self.token = str(near.pop("token", ""))
        near["keys"] = Keys(self.token, (KEY,) if self.token else ())
        self.config = Config(**({"typing": False, "kept": 0} | LIMITS | flags))
        self.relay = Relay(self.config, dataclasses.replace(NEAR, **near), [], 7421)
        self.now = 100.0
        self.faults: list[str] = []
        self.replies: dict[int, Reply] = {}
        self.processes: dict[str, Process] = {}
        self.timers: dict[Timer, float] = {}
        self.frames: dict[int, list[Any]] = {}
        self.logs: list[do.Log] = []
        self.is_finished = False
        self.spawns_fail = 0  # so many of the next starts
        self.changes = 0  # so many of the next requests are sent otherwise than they were asked
        self.hook: methods.Hook | None = None
        self.disk = Disk()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._internal: dict[int, Callable[[bytes], None]] = {}
        self._noted: dict[int, Callable[[], None]] = {}  # what Claude Code does at the first note on a call's progress
        self._turn(lambda: self.relay.start(self.now))

    def __repr__(self) -> str:
        return f"<Simulation {self.now:.2f} {self.relay!r}>"

    # Time

    def at(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do something later."""
        self._numbers += 1
        heapq.heappush(self._due, (self.now + delay_s, self._numbers, work))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        end = self.now + seconds
        while not until():
            timer = min(self.timers, key=lambda key: self.timers[key], default=None)
            timer_at = self.timers[timer] if timer is not None else end + 1
            work_at = self._due[0][0] if self._due else end + 1
            if min(timer_at, work_at) > end:
                break
            self.now = max(self.now, min(timer_at, work_at)) + TICK_S
            if timer is not None and timer_at < work_at:
                del self.timers[timer]
                self.tell(ev.TimerFired(timer))
            else:
                heapq.heappop(self._due)[2]()
        else:
            return
        self.now = max(self.now, end)

    def tell(self, event: Any) -> None:
        """A fact for the relay."""
        self._turn(lambda: self.relay.handle(event, self.now))

    def _turn(self, work: Callable[[], list[Any]]) -> None:
        try:
            orders = methods.hooked(self.hook, work) if self.hook else work()
        except Exception as error:
            self.faults.append(f"the daemon would end: {type(error).__name__}: {error}")
            return
        for order in orders:
            self._perform(order)

    # Clients

    def call(self, method: str, path: str, value: Any = None, query: str = "", **headers: str) -> int:
        """A request of a new client; its number."""
        self._numbers += 1
        client = self._numbers
        fields = HEADERS | {k.replace("_", "-"): v for k, v in headers.items()}
        data = value if isinstance(value, bytes) else json.dumps(value).encode() if value is not None else b""
        self.replies[client] = Reply(client)
        self.tell(ev.RequestArrived(client, HttpRequest(method, path, query, fields, data)))
        return client

    def leave(self, client: int) -> None:
        """A client hangs up."""
        reply = self.replies.get(client)
        if reply is not None and not reply.was_closed:
            reply.was_closed = True
            self.tell(ev.ClientLeft(client))

    def _post(self, path: str, value: Any, then: Callable[[bytes], None] = lambda body: None) -> int:
        """A request of a process."""
        self._numbers += 1
        client = self._numbers
        self.replies[client] = Reply(client)
        self._internal[client] = then
        self.tell(ev.RequestArrived(client, HttpRequest("POST", path, "", HEADERS, json.dumps(value).encode())))
        return client

    # What the relay orders

    def _perform(self, order: Any) -> None:
        slot = getattr(order, "slot", None)
        if slot is not None and not isinstance(order, do.SpawnSlot) and slot not in self.processes:
            self.faults.append(f"an order about a process that is not there: {type(order).__name__}")
            return
        match order:
            case do.Respond() | do.StartStream() | do.SendChunk() | do.EndStream() | do.CloseClient():
                self._answer(order)
            case do.SpawnSlot():
                self._numbers += 1
                process = self.processes[order.slot] = Process(order, self._numbers)
                self.at(STEP_S, lambda: self._boot(process))
            case do.HandOver():
                process = self.processes[order.slot]
                process.transcript = [json.loads(line) for line in order.transcript.splitlines()]
                if order.files is not None:
                    self._tell_late(process)
                    process.session = order.files.session_id
                if order.files is None and process.order.mode is not do.Mode.PROMPT:
                    self.at(STEP_S, lambda: self._run(process))
            case do.WritePty():
                self._type(self.processes[order.slot], order.data)
            case do.OpenEditor():
                process = self.processes[order.slot]
                process.typed = order.text
                self.at(STEP_S, lambda: self._told(process, ev.PtyOutput(order.slot, prompt.EDITOR_LEFT)))
                self.at(2 * STEP_S, lambda: self._painted(process))
            case do.ReadBodies(_, then) if then is not None:
                self.tell(then)
            case do.SignalChild():
                process = self.processes[order.slot]
                self.at(STEP_S, lambda: self._end(process, 0 if order.name == "TERM" else -9))
            case do.RemoveSlot():
                if self.processes[order.slot].lives:
                    self.faults.append("a process was removed that lives")
                del self.processes[order.slot]
            case do.SetTimer():
                self.timers[order.key] = order.at
            case do.CancelTimer():
                self.timers.pop(order.key, None)
            case do.Log():
                self.logs.append(order)
            case do.Upgrade():
                self.replies[order.client].status = 101
                self.frames[order.client] = []
            case do.SendFrame():
                if order.client in self.frames:
                    self.frames[order.client].append(json.loads(order.text))
            case do.Forward():
                for steps, fact in enumerate(elsewhere.facts(order)):
                    self.at((steps + 1) * STEP_S, partial(self.tell, fact))
            case do.SendFile(client, status, headers, path):
                self._answer(do.Respond(client, status, headers, self.disk.files.get(path, b"")))
            case do.WriteFile() | do.AppendFile() | do.ReadFile() | do.EraseFile():
                fact = self.disk.perform(order)
                if fact is not None:
                    self.at(STEP_S, lambda: self.tell(fact))
            case do.MeasureMemory(name):
                self.at(0.0, lambda: self.tell(ev.MemoryMeasured(name, HELD_BYTES)))
            case do.Finish():
                self.is_finished = True
            case _:
                pass  # files and hurry: nothing comes back

    def _answer(self, order: Any) -> None:
        reply = self.replies.get(order.client)
        if reply is None or reply.was_closed:
            return
        if isinstance(order, do.CloseClient):
            reply.was_closed = True
            self.tell(ev.ClientLeft(order.client))
            return
        if reply.is_over or (isinstance(order, (do.Respond, do.StartStream)) and reply.status):
            self.faults.append(f"{type(order).__name__} after an answer")
        elif isinstance(order, (do.SendChunk, do.EndStream)) and not reply.is_stream:
            self.faults.append(f"{type(order).__name__} without a stream")
        if isinstance(order, (do.Respond, do.StartStream)):
            reply.status, reply.headers = order.status, dict(order.headers)
        reply.is_stream = reply.is_stream or isinstance(order, do.StartStream)
        reply.is_over = reply.is_over or isinstance(order, (do.Respond, do.EndStream))
        reply.body += order.body if isinstance(order, do.Respond) else order.data if isinstance(order, do.SendChunk) else b""
        if isinstance(order, do.Respond) and order.client in self._internal:
            self._internal.pop(order.client)(order.body)
        elif isinstance(order, do.SendChunk) and b"notifications/progress" in order.data and order.client in self._noted:
            self._noted.pop(order.client)()
        elif isinstance(order, do.EndStream) and order.client in self._internal:
            self._internal.pop(order.client)(reply.body.split(b"data: ")[-1])

    # What processes do

    def _told(self, process: Process, event: Any) -> None:
        if process.lives:
            self.tell(event)

    def _later(self, process: Process, steps: int, work: Callable[[], Any]) -> None:
        self.at(steps * STEP_S, lambda: work() if process.lives else None)

    def _boot(self, process: Process) -> None:
        if not process.lives:
            return
        slot = process.order.slot
        if self.spawns_fail:
            self.spawns_fail -= 1
            process.lives = False
            self.tell(ev.SpawnFailed(slot, "OSError: no memory"))
            return
        self.tell(ev.SlotSpawned(slot, process.pid))
        if process.has_tools:
            self._later(process, 1, lambda: self._mcp(process, "tools/list", {}))
        if process.order.mode is do.Mode.PROMPT:
            self._later(process, 2, lambda: self.tell(ev.PtyOutput(slot, HEADING)))
        else:
            self._later(process, 2, lambda: self.tell(ev.GateOpened(slot)))

    def _end(self, process: Process, status: int) -> None:
        if process.lives:
            process.lives = False
            self.tell(ev.ChildExited(process.order.slot, status))
            self.tell(ev.PtyClosed(process.order.slot))
            for client in [c for c in self._internal if c == process.waits]:
                self._internal.pop(client)
                self.leave(client)

    def stray(self, process: Process) -> None:
        """A process tells of a turn that nobody has ordered."""
        self._hook(process, hook_event_name="MessageDisplay", message_id="stray", index=0, final=False, delta="stray")

    def _mcp(self, process: Process, method: str, params: Any, then: Callable[[bytes], None] = lambda body: None) -> int:
        return self._post(process.door("mcp"), {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, then)

    def _hook(self, process: Process, then: Callable[[bytes], None] = lambda body: None, **value: Any) -> None:
        self._post(process.door("hooks"), {"session_id": process.conversation} | value, then)

    def _grow(self, process: Process, value: Any) -> None:
        self.tell(ev.TranscriptGrew(process.order.slot, process.conversation, json.dumps(value).encode() + b"\n"))

    def _tell_late(self, process: Process) -> None:
        """What was read of a conversation's transcript is told after the process has taken up another one."""
        line = {"type": "user", "message": {"content": "of an earlier conversation"}}
        late = ev.TranscriptGrew(process.order.slot, process.conversation, json.dumps(line).encode() + b"\n")
        self.at(0.0, lambda: self._told(process, late))

    def _type(self, process: Process, data: bytes) -> None:
        """Keys reach a process at its prompt."""
        slot = process.order.slot
        pasted = b"".join(PASTED.findall(data)).decode()
        if pasted.startswith("/resume "):
            self._later(process, 1, lambda: self.tell(ev.PtyOutput(slot, BUSY)))
            self._later(process, 2, lambda: self.tell(ev.PtyOutput(slot, IDLE)))
        elif pasted or (data == prompt.ENTER and process.typed):
            text, process.typed = pasted or process.typed, ""
            self._later(process, 1, lambda: self._submit(process, text))

    def _painted(self, process: Process) -> None:
        self._told(process, ev.PtyOutput(process.order.slot, f"\x1b[2J\x1b[H❯ {process.typed}".encode()))

    def _submit(self, process: Process, text: str) -> None:
        def go(body: bytes) -> None:
            if b"block" not in body:
                process.transcript.append(
                    {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": text}]}}
                )
                self._later(process, 1, lambda: self._grow(process, process.transcript[-1]))
                self._later(process, 2, lambda: self._run(process))

        self._hook(process, go, hook_event_name="UserPromptSubmit", prompt=text)

    def _run(self, process: Process) -> None:
        """The turn: the words of the last message say what to do."""
        if not process.lives:
            return
        messages = [line["message"] for line in process.transcript if line["type"] in ("user", "assistant") and "message" in line]
        text = asked_of(messages)
        command, _, words = text.partition(" ")
        self.tell(ev.PtyOutput(process.order.slot, BUSY))
        self._tell_request(process, text)
        if command == "crash":
            self._later(process, 1, lambda: self._end(process, 3))
        elif command == "fail":
            self._fail(process, words)
        elif command == "tool":
            self._use_tool(process)
        elif command == "late-tool":
            self._use_tool(process, is_late=True)
        elif command == "live":
            self._stream(process, words)
        elif command == "cut":
            self._cut(process, words)
        elif command != "hang":
            self._say(process, text.removeprefix("echo ") if text.strip() else "nothing", 10 if command == "slow" else 1)

    def _tell_request(self, process: Process, text: str) -> None:
        """What it sends is what it was asked: the relay's own record of that serves as the request."""
        session = self.relay.pool.sessions.get(process.order.slot)
        witness = session.witness if session is not None else None
        if witness is not None and witness.is_awaited and process.order.launch.env.get(bodies.ADDRESS):
            body = told_body(witness.request)
            if self.changes and text.startswith("changed"):
                self.changes -= 1
                body = body.replace(b"changed", b"another")
            self.tell(ev.RequestTold(process.order.slot, body))
            self.tell(ev.BodiesRead(process.order.slot))

    def _say(self, process: Process, text: str, pace: int = 1) -> None:
        pieces = [line + "\n" for line in text.split("\n")]
        pieces[-1] = pieces[-1][:-1]
        message = f"u{self._numbers}"
        step = pace
        for index, piece in enumerate(pieces):
            shown = {"message_id": message, "index": index, "final": index == len(pieces) - 1, "delta": piece}
            self._later(process, step, lambda shown=shown: self._hook(process, hook_event_name="MessageDisplay", **shown))
            step += pace
        self._later(process, step, lambda: self._hook(process, hook_event_name="Stop", last_assistant_message=text.strip()))
        self._later(process, step + 1, lambda: self._grow(process, self._line([{"type": "text", "text": text}], "end_turn")))
        self._later(process, step + 2, lambda: self._report(process, "api_request", input_tokens=5, output_tokens=3))
        self._later(process, step + 3, lambda: self.tell(ev.PtyOutput(process.order.slot, IDLE)))

    def _fail(self, process: Process, words: str) -> None:
        name, _, text = words.partition(" ")
        self._hook(process, hook_event_name="StopFailure", error=name, last_assistant_message=text)
        self._report(process, "api_error", status_code=429, error=text)
        line = self._line([{"type": "text", "text": text}], "stop_sequence") | {"isApiErrorMessage": True, "error": name}
        self._later(process, 1, lambda: self._grow(process, line))

    def _stream(self, process: Process, text: str) -> None:
        """As `_say`, with the mod's pieces before the lines, and the raw answer."""
        pieces = [{"kind": "text", "index": 0, "text": word + " "} for word in text.split(" ")]
        pieces[-1]["text"] = str(pieces[-1]["text"])[:-1]
        pieces.append({"kind": "stop", "stopReason": "end_turn"})
        for number, piece in enumerate(pieces if process.has_mod else ()):
            told = {"step": 0, "from": number, "pieces": [piece]}
            self._later(process, number, lambda told=told: self._post(process.door("pieces"), told))
        self._tell_answer(process, self._line([{"type": "text", "text": text}], "end_turn"), len(pieces) + 1)
        self._later(process, len(pieces), lambda: self._say(process, text))

    def _tell_answer(self, process: Process, line: dict[str, Any], step: int) -> None:
        body = json.dumps(line["message"]).encode()
        self._later(process, step, lambda: self.tell(ev.AnswerTold(process.order.slot, body)))

    def _cut(self, process: Process, text: str) -> None:
        """The answer is cut within a call, and Claude Code asks for more by itself, which fails. Its lines come last."""
        note = {unparsed_input.NAME: {"raw": '{"a": [1, "tw', "len": 13}}
        call = mcp.to_wire({"type": "tool_use", "id": f"toolu_{self._numbers}", "name": "get", "input": note})
        line = self._line([{"type": "text", "text": text}, call], "max_tokens")
        witness = self.relay.pool.sessions[process.order.slot].current_witness()
        more = json.loads(told_body(witness.request))
        more["messages"] += [{"role": "assistant", "content": text}, {"role": "user", "content": "Resume."}]
        self._later(process, 1, lambda: self.tell(ev.RequestTold(process.order.slot, json.dumps(more).encode())))
        self._later(process, 2, lambda: self._hook(process, hook_event_name="StopFailure", error="overloaded"))
        self._later(process, 3, lambda: self._grow(process, line))
        own = {"type": "user", "isMeta": True, "message": {"role": "user", "content": "Resume."}}
        self._later(process, 4, lambda: self._grow(process, own))

    def _use_tool(self, process: Process, is_late: bool = False) -> None:
        """Late: the message ends after its call has begun, and its lines are written at the first note on the call."""
        self._numbers += 1
        block = {"type": "tool_use", "id": f"toolu_{self._numbers}", "name": "get", "input": {"k": 1}}
        shown = {"message_id": f"u{self._numbers}", "index": 0, "final": True, "delta": "using"}
        self._hook(process, hook_event_name="MessageDisplay", **shown)
        line = self._line([{"type": "text", "text": "using"}, mcp.to_wire(block)], "tool_use")
        if not is_late:
            self._grow(process, line)
        params = {"name": "get", "_meta": {mcp.TOOL_USE_ID: block["id"], "progressToken": 1}}

        def go(body: bytes) -> None:
            if self._noted.pop(process.waits, None):  # no note has come: the result is the change
                self._later(process, 1, lambda: self._grow(process, line))
            answer = json.loads(body)  # an HTTP error is told to the model as the tool's
            text = answer["result"]["content"][0]["text"] if "result" in answer else "error"
            result = {"type": "tool_result", "tool_use_id": block["id"], "content": text}
            self._later(
                process, 1, lambda: self._grow(process, {"type": "user", "message": {"role": "user", "content": [result]}})
            )
            self._later(process, 2, lambda: self._say(process, f"got {text}"))

        if not is_late:
            self._report(process, "api_request", input_tokens=5, output_tokens=3)
        process.waits = self._numbers + 1
        if is_late:
            self._noted[process.waits] = lambda: self._later(process, 1, lambda: self._grow(process, line))
        process.waits = self._mcp(process, "tools/call", params, go)
        if is_late and self._numbers % 2:
            self._tell_answer(process, line, 1)

    def _line(self, content: list[dict[str, Any]], stop_reason: str) -> dict[str, Any]:
        self._numbers += 1
        usage = {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1}
        message = {"id": f"msg_{self._numbers}", "type": "message", "role": "assistant", "model": "m", "content": content}
        message |= {"stop_reason": stop_reason, "stop_sequence": None, "usage": usage}
        return {"type": "assistant", "isSidechain": False, "message": message, "requestId": "req_x"}

    def _report(self, process: Process, name: str, **fields: Any) -> None:
        attributes = {"event.name": name, "query_source": "repl_main_thread", "model": "m", **fields}
        record = {"attributes": [{"key": k, "value": {"stringValue": str(v)}} for k, v in attributes.items()]}
        self._post(process.door("telemetry"), {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
        if process.has_mod:
            limit = {"kind": "five_hour", "percentUsed": 95, "resetsAt": "2090-01-01T00:00:00Z"}
            self._post(process.door("plan"), {"limits": [limit]})
