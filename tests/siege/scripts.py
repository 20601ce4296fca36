"""Scripts for `core_throws.py`: what happens to a relay in a simulated world, so that most of its methods are used."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relayd.core import events as ev
from relayd.core.session.states import State
from relayd.core.timers import SlotDue, SlotTimer
from relayd.errors import ApiError
from tests.siege.actors import Process
from tests.siege.elsewhere import SAYS
from tests.siege.simulation import Simulation

MODEL = "claude-sonnet-5"
TOOL = {"name": "get", "description": "Gets", "input_schema": {"type": "object", "properties": {"k": {"type": "integer"}}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CHAT_TOOL = {"type": "function", "function": {"name": "get", "description": "Gets", "parameters": TOOL["input_schema"]}}
ANSWER_LIMIT_S = 40.0  # of the simulation's time: every deadline of a call has passed long before
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
HEADS = (b"\xff\xd8\xff\xc0\x00\x11\x08\x01\x00\x01\x00" + bytes(9), b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(20))
ZOO = (
    b"\x1b[2J\x1b[H\x1b[5;5Hx\x1b[3A\x1b[2B\x1b[1C\x1b[1D\x1b[1E\x1b[1F\x1b[5G\x1b[5d\x1b[1K\x1b[J\x1b[2X\x1b[2P\x1b[2@\x1b[L\x1b[M\x1b[S\x1b[T"
    b"\x1b[2;9r\x1b7\x1b8\x1bM\x1bD\x1bE\x1b[3b\x1b[c\x1b[>c\x1b[6n\x1b[5n\x1b[?25l\x1b[?1049h\x1b[?1049l\x1b[4h\x1b[?u\x1b[>1u\x1b[m\te\xcc\x81\r\n\x08"
    b"\x1b]0;title\x07\x1bPq\x1b\\\x1b[?2026$p\x1b[s\x1b[u\x1bc\xe6\xbc\xa2\xff"
)
DIALOG = "\x1b[2J\x1b[HSelect login method\r\n ❯ 1. Claude account\r\n   2. API\r\n Enter to confirm · Esc to cancel".encode()
TRUST = "\x1b[2J\x1b[HAccessing workspace:\r\n /state/workspace\r\n ❯ No, exit\r\n   Yes, I trust this folder\r\n".encode()
TRUST += b" Enter to confirm"
PATHS = {False: "/v1/messages", True: "/v1/chat/completions"}


@dataclass
class Wanted:
    """What a client must get: `text` to the letter, an error if that is empty, any answer at all for a small question."""

    client: int
    what: str
    text: str | None = ""
    is_chat: bool = False
    may_fail: bool = False  # an error is as good, unprovoked too


@dataclass
class Play:
    """One script being played. `arm` switches the hook on."""

    sim: Simulation
    arm: Callable[[], None]
    wanted: list[Wanted] = field(default_factory=list)

    @property
    def _key(self) -> dict[str, str]:
        return {"x_api_key": self.sim.token} if self.sim.token else {}

    def ask(self, text: str, says: str | None = None, is_chat: bool = False, **fields: Any) -> int:
        """A call with one message, or with a whole conversation in `messages`; headers in `headers`."""
        headers, may_fail = fields.pop("headers", {}), fields.pop("may_fail", False)
        value = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}], **fields}
        client = self.sim.call("POST", PATHS[is_chat], value, **self._key | headers)
        what = f"{'chat' if is_chat else 'call'} {text!r}{' streamed' if fields.get('stream') else ''}"
        self.wanted.append(Wanted(client, what, text.removeprefix("echo ") if says is None else says, is_chat, may_fail))
        return client

    def question(self, method: str, path: str, value: Any = None, **headers: str) -> int:
        """A small question, right or wrong: it must be answered."""
        path, _, query = path.partition("?")
        client = self.sim.call(method, path, value, query, **headers)
        self.wanted.append(Wanted(client, f"{method} {path}", None))
        return client

    def wait(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        self.sim.run(seconds)

    def settle(self) -> None:
        """Until all that were asked have answers, or none can come any more."""
        replies = [self.sim.replies[w.client] for w in self.wanted]
        self.sim.run(ANSWER_LIMIT_S, lambda: all(r.has_come or r.status == 101 for r in replies))

    def value(self, client: int) -> dict[str, Any]:
        """A whole answer; nothing unless it is one."""
        reply = self.sim.replies[client]
        return json.loads(reply.body) if reply.status == 200 and not reply.is_stream and reply.is_over else {}


Script = Callable[[Play], None]


def messages(play: Play) -> None:
    """Whole and streamed calls, one that leaves, a dashboard that looks on."""
    sim = play.sim
    play.ask("slow a\nb\nc\nd", "slow a\nb\nc\nd", stream=True)
    play.arm()
    viewer = play.question(
        "GET", "/v1/live", upgrade="websocket", connection="upgrade", sec_websocket_key="x", sec_websocket_version="13"
    )
    play.ask("echo one\ntwo", system="Be brief.", temperature=0.5, metadata={})
    gone = play.ask("slow gone\naway", stream=True)
    play.wait(0.15)
    sim.tell(ev.FrameArrived(viewer, json.dumps({"watch": next(iter(sim.processes), "")})))
    sim.tell(ev.ViewerCaughtUp(viewer))
    sim.leave(gone)
    play.wanted = [w for w in play.wanted if w.client != gone]
    play.wait(0.2)
    sim.tell(ev.FrameArrived(viewer, "no JSON"))
    play.settle()
    play.wait(3.0)


def chat(play: Play) -> None:
    """The other shape."""
    play.ask("slow a\nb\nc", "slow a\nb\nc", True, stream=True, stream_options={"include_usage": True})
    play.arm()
    play.ask("echo one\ntwo", is_chat=True, seed=1)
    play.ask('echo {"a":1}', is_chat=True, response_format={"type": "json_object"})
    play.ask("", "", True, messages=[{"role": "user", "content": 5}])
    play.settle()


def tools(play: Play) -> None:
    """Calls that park, whose results are brought, or other ones."""
    clients = []
    for is_chat, is_stream in ((False, False), (False, True), (True, False)):
        kind = CHAT_TOOL if is_chat else TOOL
        clients.append(play.ask(f"tool {is_chat} {is_stream}", 'using[get {"k": 1}]', is_chat, tools=[kind], stream=is_stream))
        play.arm()
    play.settle()
    for client, result in zip(clients[:1] * 2, ("a result", "another"), strict=True):
        answer = play.value(client)
        if answer:
            call = next(b for b in answer["content"] if b["type"] == "tool_use")
            said = [{"role": "user", "content": "tool False False"}, {"role": "assistant", "content": answer["content"]}]
            brought = {"type": "tool_result", "tool_use_id": call["id"], "content": result}
            history = [*said, {"role": "user", "content": [brought]}]
            play.ask("results", f"got {result}", tools=[TOOL], messages=history)
            play.settle()
    play.wait(12.0)


def live(play: Play) -> None:
    """Answers in pieces, and a tool call whose lines must be hurried."""
    play.ask("live one two three", "one two three", stream=True)
    play.arm()
    play.ask("live four", "four")
    play.settle()
    client = play.ask("late-tool", 'using[get {"k": 1}]', tools=[TOOL])
    play.settle()
    answer = play.value(client)
    for call in (b for b in answer.get("content", ()) if b["type"] == "tool_use"):
        brought = {"type": "tool_result", "tool_use_id": call["id"], "content": "late"}
        said = [{"role": "user", "content": "late-tool"}, {"role": "assistant", "content": answer["content"]}]
        play.ask("results", "got late", tools=[TOOL], messages=[*said, {"role": "user", "content": [brought]}])
        play.settle()


def sessions(play: Play) -> None:
    """Sticky sessions: calls in order, one that leaves, deletion under a call; counting."""
    name = {"x_relayd_session": "s"}
    play.ask("slow first\nline", "slow first\nline", headers=name)
    play.arm()
    play.ask("echo second", headers=name, stream=True)
    gone = play.ask("echo third", headers=name)
    play.question("POST", "/v1/messages/count_tokens", {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})
    play.question("GET", "/v1/sessions")
    play.question("GET", "/v1/sessions/s")
    play.sim.leave(gone)
    play.wanted = [w for w in play.wanted if w.client != gone]
    play.settle()
    play.ask("slow fourth\nx", headers=name)
    play.question("DELETE", "/v1/sessions/s")
    play.ask("echo fifth", headers=name)
    play.settle()
    play.wait(1900.0)


def failures(play: Play) -> None:
    """What goes wrong without anybody's throwing: crashes, API errors, silence, wrong requests, a full queue."""
    play.ask("crash now", "")
    play.arm()
    play.ask("fail rate_limit API Error: Request rejected (429) · slow", "", stream=True)
    play.settle()
    play.ask("hang", "", stream=True)
    play.ask("echo not JSON", "not JSON", is_chat=True)
    for number in range(8):
        play.ask(f"echo {number}", may_fail=True)
    refused = ApiError(400, "wrong framing")
    play.sim.tell(ev.RequestRefused(play.question("GET", "/v1/nothing") + 1_000_000, refused))
    play.question("POST", "/v1/messages", b"{")
    play.question("GET", "/v1/messages")
    play.question("POST", "/hooks/" + "x" * 22, {})
    play.settle()
    play.wait(65.0)


def questions(play: Play) -> None:
    """Everything that is answered at once, beside a call."""
    play.ask("slow a\nb\nc\nd\ne\nf", "slow a\nb\nc\nd\ne\nf")
    play.arm()
    for path in (
        "health",
        "version",
        "availability",
        "license",
        "models",
        "models?limit=3",
        "models/claude-sonnet-5",
        "status",
        "usage",
    ):
        play.question("GET", f"/v1/{path}")
    for path in ("/metrics", "/", "/dashboard/app.js", "/api/hello"):
        play.question("GET", path)
    play.question("POST", "/v1/license/refresh", {})
    play.question("OPTIONS", "/v1/messages", origin="https://mine.example")
    play.question("GET", "/v1/health", origin="https://mine.example")
    play.question("GET", "/v1/health", host="evil.example")
    for process in list(play.sim.processes.values())[:1]:
        door = process.door("hooks").replace("/hooks/", "/mcp/")
        for method in ("initialize", "ping", "notifications/x", "nonsense"):
            play.question("POST", door, {"jsonrpc": "2.0", "id": 1, "method": method})
        play.question("POST", process.door("hooks"), b"nonsense")
        play.question("POST", process.door("telemetry"), b"nonsense")
    play.settle()


def typed(play: Play) -> None:
    """Messages that are typed into processes that stand at their prompt, by keys and by the editor."""
    play.ask("echo zero")
    play.arm()
    play.settle()
    play.wait(2.0)
    play.ask("echo one")
    play.settle()
    play.wait(2.0)
    talk = [{"role": "user", "content": "echo one"}, {"role": "assistant", "content": "one"}]
    play.ask("two", "two", messages=[*talk, {"role": "user", "content": "echo two"}], stream=True)
    play.ask("echo with\ta tab")
    play.settle()
    play.wait(130.0)


def rich(play: Play) -> None:
    """Every kind of content, in both shapes; packed bodies; threads; the token."""
    key = {"x_api_key": "token"}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}}
    paper = {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"k": 1}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "x"}, picture],
    }
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, picture, paper]},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "using"}, call]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": "well"},
        {"role": "user", "content": "echo rich"},
    ]
    play.ask("slow a\nb\nc", "slow a\nb\nc", headers=key, stream=True)
    play.arm()
    play.ask("rich", "rich", messages=talk, tools=[TOOL], headers=key, stream=True)
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture['source']['data']}"}},
    ]
    said = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": parts},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get", "arguments": '{"k": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
        {"role": "user", "content": "echo parts"},
    ]
    play.ask("parts", "parts", True, messages=said, tools=[CHAT_TOOL], headers=key)
    play.ask("tool chat", 'using[get {"k": 1}]', True, tools=[CHAT_TOOL], headers=key, stream=True)
    play.ask("hang", "", True, headers=key, stream=True)
    play.question("POST", "/v1/messages", gzip.compress(b"{}"), content_encoding="gzip", **key)
    play.question("POST", "/v1/messages", b"x", content_encoding="br", **key)
    found = [{"type": "image", "source": picture["source"] | {"data": base64.b64encode(head).decode()}} for head in HEADS]
    counted = {"model": MODEL, "messages": [*talk, {"role": "user", "content": found}], "tools": [TOOL, SEARCH]}
    play.question("POST", "/v1/messages/count_tokens", counted, **key)
    play.question("GET", "/v1/health")
    play.question("GET", "/v1/health", authorization="Bearer wrong")
    play.question("GET", "/v1/health", origin="http://127.0.0.1:7421", authorization="Bearer token")
    viewer = play.question(
        "GET", "/v1/live", upgrade="websocket", connection="upgrade", sec_websocket_key="x", sec_websocket_version="13"
    )
    play.sim.tell(ev.FrameArrived(viewer, json.dumps({"token": "token"})))
    play.ask("echo named", headers={"x_api_key": "named"})
    play.sim.tell(ev.KeysChanged("token"))
    play.question("POST", "/v1/messages", b"{}", x_api_key="named")
    play.settle()
    play.wait(12.0)


def strays(play: Play) -> None:
    """Processes that do what none should: dialogs, terminals that close, files that fail, turns that nobody ordered."""
    sim = play.sim
    play.ask("slow a\nb\nc\nd\ne", "slow a\nb\nc\nd\ne", stream=True)
    play.arm()

    def process_of(client: int) -> Process:
        call = next(c for c in sim.relay.calls.by_number.values() if c.client == client)
        return sim.processes[call.slot or ""]

    def during(fault: Callable[[str, Process], None], text: str = "hang") -> None:
        client = play.ask(text, "" if text == "hang" else text, may_fail=True, stream=True)
        play.wait(0.05)
        for call in [c for c in sim.relay.calls.by_number.values() if c.client == client and c.slot in sim.processes]:
            fault(call.slot or "", process_of(client))
        play.settle()

    during(lambda slot, process: sim.tell(ev.PtyOutput(slot, ZOO)), "slow x\ny")
    during(lambda slot, process: sim.tell(ev.HandOverFailed(slot, "disk full")))
    during(lambda slot, process: sim.tell(ev.SlotBroke(slot, "an order failed")))
    during(lambda slot, process: sim.tell(ev.PtyClosed(slot)))
    during(lambda slot, process: sim.tell(ev.PtyOutput(slot, DIALOG)))
    during(lambda slot, process: sim.tell(ev.TranscriptGrew(slot, process.conversation, b"nonsense\n" + b"x" * 100)))
    during(lambda slot, process: sim.tell(ev.TimerFired(SlotTimer(slot, SlotDue.STATE))))
    for slot, process in list(sim.processes.items())[:1]:
        sim.stray(process)
        sim.tell(ev.PtyOutput(slot, TRUST))
    play.wait(1.0)
    sim.spawns_fail = 2
    play.ask("echo cold", "cold", may_fail=True, max_tokens=77)
    play.settle()
    play.wait(10.0)


def reused(play: Play) -> None:
    """One process, several conversations; what they begin with is loaded ahead; requests that were changed on the way."""
    sim = play.sim
    play.ask("echo zero", system="Be brief.")
    play.settle()
    play.arm()
    for number in range(3):
        play.ask(f"echo {number}", system="Be brief.")
        play.settle()
    sim.run(3.0, lambda: any(session.state is State.PRIMING for session in sim.relay.pool.sessions.values()))
    play.ask("echo while it loads", system="Be brief.")
    play.settle()
    play.wait(3.0)
    play.ask("echo primed", system="Be brief.", stream=True)
    play.settle()
    play.ask("echo other", system="Be long.")
    play.settle()
    shown = [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "1"}, {"role": "user", "content": "echo more"}]
    play.ask("more", "more", system="Be long.", messages=shown)
    play.settle()
    play.ask("cut short", 'short[get {"a": [1]}]')  # whole: the input of its call is no JSON in a stream
    play.settle()
    sim.changes = 1
    play.ask("changed once", "changed once", may_fail=True)
    play.settle()
    for slot in [name for name, session in sim.relay.pool.sessions.items() if session.state is State.KEPT][:1]:
        sim.tell(ev.RequestTold(slot, b"{}"))
    sim.changes = 2
    play.ask("changed twice", "changed twice", may_fail=True)
    play.settle()
    play.wait(5.0)


def responses(play: Play) -> None:
    """OpenAI's newer shape: whole, streamed, stored, with tools of several kinds."""

    def ask(said: Any, **fields: Any) -> int:
        return play.question("POST", "/v1/responses", {"model": MODEL, "input": said, **fields})

    picture = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    function = {"type": "function", "name": "get", "description": "Gets", "parameters": TOOL["input_schema"]}
    ask("slow a\nb\nc", stream=True)
    play.arm()
    said = [{"type": "input_text", "text": "echo look"}, {"type": "input_image", "image_url": picture}]
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    ask([{"role": "user", "content": said}], instructions="Be brief.", reasoning={"effort": "low", "summary": "auto"})
    ask('echo {"a":1}', text={"format": schema}, stream=True)
    ask("hang", stream=True)
    ask("fail rate_limit API Error: Request rejected (429) · slow", stream=True)
    for is_stream in (False, True):
        asked = ask("tool r", tools=[function, {"type": "custom", "name": "free"}, {"type": "local_shell"}], stream=is_stream)
    first = ask("tool r", tools=[function])
    play.settle()
    value = play.value(first)
    for call in (item for item in value.get("output", ()) if item["type"] == "function_call"):
        brought = {"type": "function_call_output", "call_id": call["call_id"], "output": "a result"}
        ask([brought], previous_response_id=value["id"], tools=[function], stream=True)
        thought = {"type": "reasoning", "summary": [], "encrypted_content": "nonsense"}
        ask([{"role": "user", "content": "tool r"}, thought, call, brought], tools=[function], store=False)
    play.settle()
    for method, tail in (("GET", ""), ("GET", "/input_items"), ("DELETE", ""), ("GET", "")):
        play.question(method, f"/v1/responses/{value.get('id', 'resp_none')}{tail}")
    play.question("POST", "/v1/responses/input_tokens", {"model": MODEL, "input": "hi"})
    ask("echo on", previous_response_id="resp_none")
    ask(5)
    play.sim.leave(asked)
    play.settle()


def stored(play: Play) -> None:
    """Files and batches: uploaded, named, listed, ended; a disk that is full, and one that has lost a file."""
    sim = play.sim
    form = {"content_type": "multipart/form-data; boundary=b"}

    def upload(data: bytes, kind: str, **headers: str) -> dict[str, Any]:
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: {kind}\r\n\r\n'
        expiry = b'--b\r\nContent-Disposition: form-data; name="expires_in_seconds"\r\n\r\n3600\r\n'
        client = play.question("POST", "/v1/files", expiry + head.encode() + data + b"\r\n--b--", **form, **headers)
        play.settle()
        return play.value(client)

    def batch(*texts: str, **fields: Any) -> str:
        made = [
            {
                "custom_id": f"r{n}",
                "params": {"model": MODEL, "max_tokens": 99, "messages": [{"role": "user", "content": t}]} | fields,
            }
            for n, t in enumerate(texts)
        ]
        client = play.question("POST", "/v1/messages/batches", {"requests": made})
        play.settle()
        return str(play.value(client).get("id", "msgbatch_none"))

    play.ask("slow a\nb\nc", "slow a\nb\nc", stream=True)
    play.arm()
    picture, note = (upload(PNG, "image/png"), upload(b"words", "text/plain"))
    source = {"type": "file", "file_id": picture.get("id", "file_none")}
    paper = {"type": "file", "file_id": note.get("id", "file_none")}
    content = [
        {"type": "image", "source": source},
        {"type": "document", "source": paper},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": source}]}},
        {"type": "text", "text": "echo look"},
    ]
    play.ask("look", "look", messages=[{"role": "user", "content": content}], may_fail=True)
    left = play.ask("look", "look", messages=[{"role": "user", "content": content}], may_fail=True)
    sim.leave(left)
    play.wanted = [w for w in play.wanted if w.client != left]
    first = batch("echo one", "fail rate_limit API Error: Request rejected (429) · slow", "crash", "echo four")
    play.question("GET", f"/v1/messages/batches/{first}")
    play.question("GET", f"/v1/messages/batches/{first}/results")
    batch("echo streamed", stream=True)
    batch("tool nobody", tools=[TOOL])
    second = batch(*["slow a\nb"] * 6)
    play.ask("echo between")
    play.question("POST", f"/v1/messages/batches/{second}/cancel")
    play.settle()
    play.wait(40.0)
    play.question("POST", f"/v1/messages/batches/{first}/cancel")  # one of it would be tried until its day is over
    play.wait(40.0)
    for path in (
        *("files?limit=1", "files?after_id=file_z", "files?before_id=file_0", "files?page=page_z", "files?ids[]=file_1"),
        *("files/file_none", f"files/{picture.get('id', 'file_none')}", f"files/{note.get('id', 'file_none')}/content"),
        *("messages/batches", f"messages/batches/{first}/results", f"messages/batches/{first}", "messages/batches?limit=x"),
    ):
        play.question("GET", f"/v1/{path}")
    sim.disk.is_full = True
    upload(b"x", "text/plain")
    batch("echo none")
    sim.disk.is_full = False
    third = batch("echo late")
    sim.disk.is_full = True
    play.wait(20.0)
    sim.disk.is_full = False
    play.wait(40.0)
    fourth = batch("slow a\nb", "slow c\nd", "slow e\nf")
    taken = sim.disk.files.pop(f"batches/{fourth}.requests", b"")
    play.wait(3.0)
    sim.disk.files[f"batches/{fourth}.requests"] = taken
    play.wait(33.0)
    sim.disk.files.pop(f"files/{picture.get('id')}", None)
    play.ask("echo lost", messages=[{"role": "user", "content": content}], may_fail=True, says="lost")
    for name in (first, second, third, fourth):
        play.question("DELETE", f"/v1/messages/batches/{name}")
    play.question("DELETE", f"/v1/files/{picture.get('id', 'file_none')}")
    play.question("POST", "/v1/messages/batches", b"{")
    play.settle()
    play.wait(610.0)


def updates(play: Play) -> None:
    """Another binary, another configuration, under a call."""
    play.ask("slow a\nb\nc", "slow a\nb\nc", stream=True)
    play.arm()
    play.sim.tell(ev.ClaudeChanged("another"))
    play.wait(0.3)
    play.ask("echo one", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048, stop_sequences=["never said"])
    play.ask("echo two", tools=[TOOL], tool_choice={"type": "none"})
    play.ask('echo {"a": 1}', output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}})
    play.settle()


def ending(play: Play) -> None:
    """The end, asked for under calls that take longer than it waits."""
    play.ask("slow a\nb\nc", "slow a\nb\nc", stream=True)
    play.ask("hang", "", stream=True)
    play.arm()
    play.wait(0.05)
    for number in range(6):
        play.ask(f"echo {number}", may_fail=True)
    play.sim.tell(ev.ShutdownAsked())
    play.ask("echo late", may_fail=True)
    play.settle()


def fallback(play: Play) -> None:
    """Calls that Claude Code cannot answer, and another API that does, refuses, breaks off or says nothing."""
    limit = "fail rate_limit API Error: Request rejected (429) · {} of 4 {}"
    play.ask("slow a\nb\nc\nd", "slow a\nb\nc\nd", True, stream=True)  # not forwarded, whatever its process meets
    play.arm()
    for stream in (False, True):
        for word in ("answers", "silent", "down", "refuses", "wrong", "breaks", "errs"):
            says = SAYS if word in ("answers", "breaks", "errs") else ""
            play.ask(limit.format(stream, word), says, stream=stream, may_fail=word != "answers")
            play.settle()
    play.ask(limit.format("try again in 20 seconds,", "answers"), SAYS)
    play.settle()
    play.ask(limit.format("known,", "answers"), SAYS, stream=True)
    play.ask("crash answers", SAYS, True, may_fail=True)  # the other shape is not forwarded
    gone = play.ask(limit.format("known,", "silent"))
    play.wait(0.1)
    play.sim.leave(gone)
    play.wanted = [w for w in play.wanted if w.client != gone]
    play.settle()


SCRIPTS: dict[str, tuple[Script, dict[str, Any]]] = {
    "messages": (messages, {}),
    "chat": (chat, {}),
    "tools": (tools, {}),
    "live": (live, {"mod_directory": "/state/mod", "live": True, "plan_stop_percent": 99}),
    "sessions": (sessions, {}),
    "failures": (failures, {"max": 2, "queue_max": 6, "idle": 1}),
    "questions": (
        questions,
        {"profiles": "work=/claude-work", "allowed_origins": "https://mine.example", "assets": {"": ("text/html", b"x")}},
    ),
    "typed": (typed, {"typing": True, "kept": 2, "mover": "/bin/mv"}),
    "responses": (responses, {}),
    "reused": (reused, {"typing": True, "kept": 1, "idle": 1, "max": 2}),
    "rich": (rich, {"token": "token"}),
    "strays": (strays, {"idle": 1}),
    "stored": (stored, {"stored_kept_s": 600.0, "typing": True, "kept": 1}),
    "updates": (updates, {}),
    "ending": (ending, {"max": 3}),
    "fallback": (fallback, {"fallback_url": "https://elsewhere.example", "fallback_models": "claude-*=other"}),
}
