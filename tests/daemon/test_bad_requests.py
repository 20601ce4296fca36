"""More than sixty wrong requests over HTTP: each gets the API's status, type and words, and the daemon serves on."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from relayd.doctor.harness import Harness
from tests import shapes
from tests.anthropic.test_request import NEW, REFUSED, body
from tests.core.test_edge import CHAT, COUNT, MESSAGES
from tests.helpers import ask, connect, post, read_answer, text_of

GET = "GET"
BY_ID = b"file_1"  # which there is not; named where no file can be named it is a 400
NOT_FOUND = (404, "not_found_error", "Not Found")
# Method, path, headers, body; then status, error type, start of the message.
OTHERS: list[tuple[str, str, dict[str, str], bytes, int, str, str]] = [
    (GET, "/v1/nothing", {}, b"", *NOT_FOUND),
    ("POST", "/v1/complete", {}, body(), *NOT_FOUND),
    ("POST", "/v1/messages/batches", {}, body(), 400, "invalid_request_error", "requests: Field required"),
    ("POST", "/hooks/abcdefghij0123456789", {}, b"{}", *NOT_FOUND),
    ("POST", "/mcp/abcdefghij0123456789", {}, b"{}", *NOT_FOUND),
    (GET, "/v1/models/gpt-17", {}, b"", 404, "not_found_error", "model: gpt-17"),
    (GET, "/v1/models?limit=0", {}, b"", 400, "invalid_request_error", "limit: Input should be greater than or equal to 1"),
    (GET, "/v1/models?limit=1001", {}, b"", 400, "invalid_request_error", "limit: Input should be less than or equal to 1000"),
    (GET, "/v1/models?lifecycle[]=x", {}, b"", 400, "invalid_request_error", "lifecycle.0: Input should be 'active', "),
    (GET, "/v1/sessions/none", {}, b"", 404, "not_found_error", "session: none"),
    (GET, "/v1/messages", {}, b"", 405, "invalid_request_error", "Method Not Allowed"),
    ("DELETE", "/v1/messages", {}, b"", 405, "invalid_request_error", "Method Not Allowed"),
    ("PUT", "/v1/models", {}, b"", 405, "invalid_request_error", "Method Not Allowed"),
    ("POST", "/v1/messages", {"content-type": "text/plain"}, body(), 415, "invalid_request_error", "content-type must be"),
    ("POST", "/v1/messages", {"host": "evil.example"}, body(), 403, "permission_error", "Host is not this daemon's"),
    ("POST", "/v1/messages", {"origin": "https://evil.example"}, body(), 403, "permission_error", "Origin is not allowed"),
    ("POST", "/v1/messages", {"content-encoding": "br"}, body(), 400, "invalid_request_error", "content-encoding br"),
    (
        "POST",
        "/v1/messages",
        {"content-encoding": "gzip"},
        body(),
        400,
        "invalid_request_error",
        "The request body is not",
    ),
    (
        *("POST", "/v1/messages", {"content-encoding": "gzip"}, gzip.compress(b" " * 400_000)),
        *(413, "request_too_large", "Request exceeds the maximum size"),
    ),
    (
        "POST",
        "/v1/messages",
        {"x-relayd-session": "x" * 129},
        body(),
        400,
        "invalid_request_error",
        "x-relayd-session: must",
    ),
    (
        *("POST", "/v1/messages", {"x-relayd-session": "a", "x-ir-session-id": "b"}, body()),
        *(400, "invalid_request_error", "a request can name one conversation only"),
    ),
    (
        "POST",
        "/v1/messages",
        {},
        body(thread={"type": "x"}),
        400,
        "invalid_request_error",
        "thread.type: Input should",
    ),
    (
        *("POST", "/v1/messages", {}, body(thread={"type": "continue"})),
        *(400, "invalid_request_error", "thread.continue.previous_message_id: Field required"),
    ),
    (
        *("POST", "/v1/messages", {}, body(thread={"type": "continue", "previous_message_id": "msg_1"})),
        *(404, "not_found_error", "thread: not found"),
    ),
    (
        "POST",
        "/v1/messages",
        NEW,
        body(temperature=1),
        400,
        "invalid_request_error",
        "temperature: Extra inputs",
    ),
    (
        *(
            "POST",
            "/v1/messages",
            NEW,
            body(messages=[{"role": "user", "content": [{"type": "text", "text": "x", "citations": [1]}]}]),
        ),
        *(400, "invalid_request_error", "messages.0.content.0.text.citations: "),
    ),
    ("POST", "/v1/messages", {}, b" " * 300_000, 413, "request_too_large", "Request exceeds the maximum size"),
    ("POST", "/v1/messages/count_tokens", {}, body(messages=[]), 400, "invalid_request_error", "messages: at least one message"),
]


def send(url: str, method: str, path: str, headers: dict[str, str], data: bytes) -> tuple[int, dict[str, str], Any]:
    host = url.removeprefix("http://")
    fields = {"host": host, "content-type": "application/json", "content-length": str(len(data))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with connect(url) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
        status, found, answer = read_answer(sock)
    return status, found, json.loads(answer)


def test_the_table_is_long_enough() -> None:
    assert len(REFUSED) + len(OTHERS) >= 60


def test_each_wrong_request_is_told_so_in_the_apis_words_and_the_daemon_serves_on(daemon: Callable[..., Harness]) -> None:
    url = daemon(body_max_bytes=200_000).url
    table = [
        ("POST", "/v1/messages", {}, data, 400, "invalid_request_error", message)
        for data, message in REFUSED
        if BY_ID not in data
    ] + OTHERS
    wrong = []
    for method, path, headers, data, status, kind, message in table:
        found, answered, value = send(url, method, path, headers, data)
        error = value["error"]
        right = (found, value["type"], error["type"]) == (status, "error", kind) and error["message"].startswith(message)
        if not right or value["request_id"] != answered["request-id"]:
            wrong.append((method, path, data[:80], found, error))
    assert not wrong
    assert text_of(post(url, ask("echo on"))[2]) == "on"


STORIES = [
    b'{"model":"m","max_tokens":1e20,"messages":[{"role":"user","content":"x"}]}',  # ended the daemon
    b'{"model":"a\\u0000b","max_tokens":9,"messages":[{"role":"user","content":"x"}]}',  # made it fork a copy of itself
    b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":5}],"tools":5}',
    b'{"model":"m","max_tokens":9,"messages":' + b"[" * 1000 + b"]" * 1000 + b"}",
    body(output_config={"format": {"type": "json_schema", "schema": {"$ref": "file:///etc/hostname"}}}),
    body(output_config={"format": {"type": "json_schema", "schema": {"$ref": "http://127.0.0.1:1/internal"}}}),
]


def test_a_sample_of_wrong_parts_through_a_daemon(daemon: Callable[..., Harness]) -> None:
    """What the edge lets through must start a process, too; drawn through a relay by the thousand in `test_edge`."""
    url = daemon().url
    right = ask("echo on") | {
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_k": 3,
        "system": "s",
        "metadata": {"user_id": "u"},
    }
    chance = random.Random(7)
    sample = [(shapes.wronged(right, chance.randbytes(8)), path) for _ in range(12) for path in (MESSAGES, CHAT, COUNT)]
    found = []
    for data, path in [*sample, *((story, path) for story in STORIES for path in (MESSAGES, CHAT))]:
        status, headers, answer = post(url, data, path)
        found.append(status)
        assert status == 200 or 400 <= status < 500, (data[:200], answer)
        assert headers["content-type"].startswith("application/json"), data[:200]
        assert ("error" in json.loads(answer)) is (status != 200)
    assert {200, 400, 404} <= set(found)
    assert 200 not in found[len(sample) :: 2]
    assert text_of(post(url, ask("echo on"))[2]) == "on"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 2}, "n: must be 1"),
        ({"messages": None}, "messages: Input should be a valid list"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: Input should be"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages.0.content.0: input_audio: these models take no audio",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, "messages.0.content.0: unexpected `tool_use_id`"),
        ({"tools": [{"type": "function"}]}, "tools.0.function: Input should be an object"),
        ({"tool_choice": "some", "tools": [{"function": {"name": "f"}}]}, "tool_choice: Input should be"),
        ({"response_format": {"type": "xml"}}, "response_format.type: Input should be"),
        ({"model": None}, "model: Input should be a valid string"),
    ],
)
def test_wrong_chat_requests_get_errors_that_openai_clients_read(
    daemon: Callable[..., Harness], fields: dict[str, Any], message: str
) -> None:
    status, _, answer = post(daemon().url, ask("x") | fields, "/v1/chat/completions")
    error = json.loads(answer)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith(message)
    assert set(error) == {"message", "type", "param", "code"}
