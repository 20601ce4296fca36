"""A stand-in for the Anthropic API on loopback: records what reached it, answers by script.

It is what tests and `relayd serve --demo` put behind the real `claude`. It must never be
reachable from another machine and never holds a real credential: header values that could be
one are replaced before they are recorded. Threads are fine here: the daemon never imports it.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from relayd.doctor.script import ERROR_TYPES, Plan, plan_for

SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie"})
HANG_LIMIT_S = 600.0
SSE_TYPE = "text/event-stream; charset=utf-8"


@dataclass
class Recorded:
    """One request as it reached the stand-in. Times are `time.monotonic()` seconds."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    arrived: float
    finished: float | None = None
    aborted: bool = False
    sent: list[float] = field(default_factory=list)  # when each piece left, of a slow answer


@dataclass
class StandIn:
    """The server with its records. `with StandIn() as api: api.url`."""

    port: int = 0
    records: list[Recorded] = field(default_factory=list)
    keep: int = 100_000
    headers: dict[str, str] = field(default_factory=dict)  # sent with every answer of the Messages API
    go_on: threading.Event = field(default_factory=threading.Event)  # what `[[hold]]` waits for
    server: ThreadingHTTPServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __repr__(self) -> str:
        return f"<StandIn {self.url} records={len(self.records)}>"

    @property
    def url(self) -> str:
        """Base URL without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> StandIn:
        """Listen on a free port (or `port`) and serve in a thread."""
        handler = type("Handler", (_Handler,), {"standin": self})
        self.server = _Server(("127.0.0.1", self.port), handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening; answers under way are dropped."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()

    __enter__ = start

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def messages(self) -> list[Recorded]:
        """The recorded calls of the Messages API that carried a conversation."""
        with self._lock:
            return [r for r in self.records if r.path.split("?")[0] == "/v1/messages" and r.method == "POST"]

    def clear(self) -> None:
        """Forget every record."""
        with self._lock:
            self.records.clear()

    def add(self, record: Recorded) -> None:
        """Keep one record, dropping the oldest past the limit."""
        with self._lock:
            self.records.append(record)
            del self.records[: -self.keep]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is an ordinary event here."""


class _Handler(BaseHTTPRequestHandler):
    standin: StandIn
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: records are the log."""

    def do_HEAD(self) -> None:
        self._record(None)
        self._json(200, {})

    do_OPTIONS = do_HEAD

    def do_GET(self) -> None:
        self._record(None)
        self._json(404, _error(404, "Not Found"))

    def do_POST(self) -> None:
        body = self._read_body()
        record = self._record(body)
        path = self.path.split("?")[0]
        if path == "/v1/messages/count_tokens":
            self._json(200, {"input_tokens": _tokens(body)})
        elif path != "/v1/messages" or not isinstance(body, dict):
            self._json(404, _error(404, "Not Found"))
        else:
            try:
                self._answer(plan_for(body, f"{time.monotonic_ns():016d}"), body, record)
            except (BrokenPipeError, ConnectionResetError):
                record.aborted = True
                self.close_connection = True
        record.finished = time.monotonic()

    def _read_body(self) -> Any:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            return raw.decode("utf-8", "replace")

    def _record(self, body: Any) -> Recorded:
        headers = {k.lower(): ("*" if k.lower() in SECRET_HEADERS else v) for k, v in self.headers.items()}
        record = Recorded(self.command, self.path, headers, body, time.monotonic())
        self.standin.add(record)
        return record

    def _answer(self, plan: Plan, body: dict[str, Any], record: Recorded) -> None:
        time.sleep(plan.first_pause_s)
        if plan.fault == "hang":
            self._hang()
        elif plan.fault == "reset":
            self.close_connection = True
        elif plan.error_status:
            extra = ({"retry-after": plan.retry_after} if plan.retry_after else {}) | _limit_headers(plan)
            self._json(plan.error_status, _error(plan.error_status, plan.error_text), extra)
        elif body.get("stream"):
            self._stream(plan, body, record)
        else:
            self._json(200, message_json(plan, body), self.standin.headers)

    def _hang(self) -> None:
        deadline = time.monotonic() + HANG_LIMIT_S
        self.connection.settimeout(0.2)
        while time.monotonic() < deadline:
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
        raise BrokenPipeError

    def _json(self, status: int, value: Any, extra: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        headers = {"content-type": "application/json", "request-id": _request_id(), **(extra or {})}
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def _stream(self, plan: Plan, body: dict[str, Any], record: Recorded) -> None:
        self.send_response(200)
        self.send_header("content-type", SSE_TYPE)
        for name, text in ({"request-id": _request_id()} | self.standin.headers).items():
            self.send_header(name, text)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        events = list(stream_events(plan, body))
        held = _last_of_first_block(events) if plan.holds else -1
        for number, event in enumerate(events):
            if event["type"] == "content_block_delta" and plan.piece_pause_s:
                time.sleep(plan.piece_pause_s)
            if event["type"] == "message_delta" and plan.last_pause_s:
                self.wfile.flush()
                time.sleep(plan.last_pause_s)
            if number == held:
                self.wfile.flush()
                self.standin.go_on.wait(HANG_LIMIT_S)
            if number == len(events) // 2 and (plan.fault == "cut" or plan.midway_status):
                self._break_stream(plan)
                return
            self._chunk(event)
            if event["type"] == "content_block_delta" and plan.piece_pause_s:
                self.wfile.flush()
                record.sent.append(time.monotonic())
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _break_stream(self, plan: Plan) -> None:
        self.close_connection = True
        if plan.midway_status:
            self._chunk(_error(plan.midway_status, "the stand-in failed midway"))
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _chunk(self, event: dict[str, Any]) -> None:
        data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))


def message_json(plan: Plan, body: dict[str, Any]) -> dict[str, Any]:
    """The whole answer, as the API gives it without `stream`."""
    return {
        "id": _message_id(body),
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "?"),
        "content": plan.blocks,
        "stop_reason": plan.stop_reason,
        "stop_sequence": plan.stop_sequence,
        "stop_details": plan.stop_details,
        "usage": _usage(body, plan),
    }


def stream_events(plan: Plan, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a streamed answer, in order."""
    start = message_json(plan, body) | {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    start["usage"] = start["usage"] | {"output_tokens": 1}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(plan.blocks):
        clip = plan.input_chars if index == len(plan.blocks) - 1 else None
        yield from _block_events(index, block, plan.piece_chars, clip)
    delta = {"stop_reason": plan.stop_reason, "stop_sequence": plan.stop_sequence, "stop_details": plan.stop_details}
    yield {"type": "message_delta", "delta": delta, "usage": _usage(body, plan)}
    yield {"type": "message_stop"}


def _last_of_first_block(events: list[dict[str, Any]]) -> int:
    return next(number for number, event in enumerate(events) if event["type"] == "content_block_stop") - 1


def _block_events(index: int, block: dict[str, Any], piece_chars: int, clip: int | None) -> Iterator[dict[str, Any]]:
    kind = block["type"]
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
        "server_tool_use": {"input": {}},
    }
    begun = block | empty.get(kind, {}) | ({"citations": []} if block.get("citations") else {})
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    for delta in _deltas(block, piece_chars, clip):
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _deltas(block: dict[str, Any], chars: int, clip: int | None) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        yield from ({"type": "citations_delta", "citation": each} for each in block.get("citations") or [])
        yield from ({"type": "text_delta", "text": p} for p in _pieces(block["text"], chars))
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": p} for p in _pieces(block["thinking"], chars))
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif "input" in block:
        raw = json.dumps(block["input"])[:clip]
        yield from ({"type": "input_json_delta", "partial_json": p} for p in _pieces(raw, chars))


def _pieces(text: str, chars: int) -> Iterator[str]:
    size = max(chars, len(text) // 2000)
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _message_id(body: dict[str, Any]) -> str:
    return f"msg_01standin{time.monotonic_ns():020d}"


def _request_id() -> str:
    """Each its own: Claude Code names a file by it."""
    return f"req_01standin{time.monotonic_ns():020d}"


def _tokens(body: Any) -> int:
    return max(1, len(json.dumps(body)) // 4)


def _usage(body: dict[str, Any], plan: Plan) -> dict[str, Any]:
    return {
        "input_tokens": _tokens(body.get("messages")),
        "cache_creation_input_tokens": 11,
        "cache_read_input_tokens": 7,
        "output_tokens": _tokens(plan.blocks),
        "service_tier": "standard",
    } | ({"server_tool_use": {"web_search_requests": plan.searches, "web_fetch_requests": 0}} if plan.searches else {})


def _limit_headers(plan: Plan) -> dict[str, str]:
    """What the API tells a subscription past its usage limit."""
    if not plan.resets:
        return {}
    values = {"status": "rejected", "reset": plan.resets, "representative-claim": "five_hour"}
    values |= {"5h-status": "rejected", "5h-reset": plan.resets, "5h-utilization": "1.0"}
    return {f"anthropic-ratelimit-unified-{name}": text for name, text in values.items()}


def _error(status: int, message: str) -> dict[str, Any]:
    kind = ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": _request_id()}


def main() -> None:
    """`python -m relayd.doctor.standin --port N`: serve until the parent's pipe on stdin closes."""
    parser = argparse.ArgumentParser(description="stand-in for the Anthropic API, on loopback")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    with StandIn(port=arguments.port, keep=100) as api:
        print(api.url, flush=True)
        try:
            while input():
                pass
        except (EOFError, KeyboardInterrupt):
            pass


if __name__ == "__main__":
    main()
