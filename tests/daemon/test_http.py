"""The daemon as clients see it over HTTP, with a scripted claude behind it."""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
import zlib
from collections.abc import Callable

import pytest

from relayd.doctor.harness import Harness
from tests.helpers import ask, connect, events_of, post, read_answer, request_bytes, text_of, until

Make = Callable[..., Harness]


def test_whole_and_streamed_answers(daemon: Make) -> None:
    url = daemon().url
    status, headers, body = post(url, ask("echo hello world"))
    assert (status, text_of(body)) == (200, "hello world")
    assert headers["request-id"].startswith("req_")
    status, headers, body = post(url, ask("echo a\n\nb\nc", stream=True))
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = events_of(body)
    assert "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta") == "a\n\nb\nc"
    assert events[-1]["type"] == "message_stop"


def test_both_versions_both_keys_and_the_beta_path(daemon: Make) -> None:
    url = daemon().url
    for headers in (
        {"x_api_key": "k"},
        {"authorization": "Bearer k", "anthropic_version": "2026-10-21", "anthropic_beta": "a,b"},
    ):
        status, _, body = post(url, ask("echo ok"), "/v1/messages?beta=true", **headers)
        assert (status, text_of(body)) == (200, "ok")


def test_what_was_ignored_is_named_in_a_header(daemon: Make) -> None:
    url = daemon().url
    fields = {"inference_geo": "eu", "service_tier": "auto", "cache_control": {"type": "ephemeral"}}
    _, headers, _ = post(url, ask("echo x", **fields))
    assert headers["x-relayd-ignored"] == "inference_geo, service_tier, cache_control"
    assert "x-relayd-ignored" not in post(url, ask("echo x"))[1]
    chat = ask("echo x", seed=4, logit_bias={}, response_format={"type": "json_object"})
    _, headers, _ = post(url, chat, "/v1/chat/completions")
    assert (headers["x-relayd-ignored"], headers["x-relayd-emulated"]) == ("seed, logit_bias", "response_format")


def test_a_strict_daemon_refuses_what_it_cannot_honour(daemon: Make) -> None:
    url = daemon(strict="true").url
    status, _, body = post(url, ask("echo x", service_tier="auto", metadata={}))
    message = "service_tier, metadata: cannot be honoured (strict is on)"
    assert (status, json.loads(body)["error"]["message"]) == (400, message)
    assert post(url, ask("echo x"))[0] == 200


def test_requests_on_one_connection_are_answered_in_order(daemon: Make) -> None:
    url = daemon().url
    with connect(url) as sock:
        sock.sendall(b"".join(request_bytes(url, ask(f"echo {n}")) for n in range(4)))
        buffer = bytearray()
        answers = [read_answer_kept(sock, buffer) for _ in range(4)]
    assert [text_of(body) for _, body in answers] == ["0", "1", "2", "3"]


def read_answer_kept(sock: socket.socket, buffer: bytearray) -> tuple[int, bytes]:
    """One sized answer of several on a connection; what follows stays in `buffer`."""
    while b"\r\n\r\n" not in buffer:
        buffer += sock.recv(65536)
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(rest) < length:
        rest += sock.recv(65536)
    buffer[:] = rest[length:]
    return int(head.split()[1]), rest[:length]


def test_a_request_byte_by_byte_and_one_in_chunks(daemon: Make) -> None:
    url = daemon().url
    with connect(url) as sock:
        for byte in request_bytes(url, ask("echo slowly")):
            sock.send(bytes([byte]))
        assert text_of(read_answer(sock)[2]) == "slowly"
    data = json.dumps(ask("echo chunked")).encode()
    host = url.removeprefix("http://")
    with connect(url) as sock:
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        sock.sendall(
            head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(data[i : i + 7]), data[i : i + 7]) for i in range(0, len(data), 7))
        )
        sock.sendall(b"0\r\n\r\n")
        assert text_of(read_answer(sock)[2]) == "chunked"


def test_expect_continue(daemon: Make) -> None:
    url = daemon().url
    head, _, body = request_bytes(url, ask("echo after"), expect="100-continue").partition(b"\r\n\r\n")
    with connect(url) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert text_of(read_answer(sock)[2]) == "after"


def test_a_body_over_the_limit_gets_its_413_although_it_is_still_being_sent(daemon: Make) -> None:
    """A close right after the answer would reset the connection and lose the answer: the close is staged."""
    url = daemon(body_max_bytes=100_000).url
    with connect(url) as sock:
        sock.sendall(request_bytes(url, b"x" * 5_000_000)[:2_000_000])
        status, headers, body = read_answer(sock)
    assert status == 413
    assert json.loads(body)["error"] == {"type": "request_too_large", "message": "Request exceeds the maximum size"}
    assert headers["connection"] == "close"


def test_slow_headers_and_idle_connections_are_ended(daemon: Make) -> None:
    url = daemon(header_limit_s=0.2, idle_limit_s=0.2, body_limit_s=0.2).url
    with connect(url) as idle, connect(url) as loris, connect(url) as stuck:
        loris.sendall(b"POST /v1/messages HT")
        stuck.sendall(request_bytes(url, ask("x"))[:-3])
        assert idle.recv(100) == b""
        assert read_answer(loris)[0] == 408
        assert read_answer(stuck)[0] == 408


def test_errors_have_the_apis_shape(daemon: Make) -> None:
    url = daemon().url
    for path, body, status, kind in (
        ("/v1/messages", b"{", 400, "invalid_request_error"),
        ("/v1/nothing", {}, 404, "not_found_error"),
    ):
        found, headers, answer = post(url, body, path)
        error = json.loads(answer)
        assert (found, error["type"], error["error"]["type"]) == (status, "error", kind)
        assert error["request_id"] == headers["request-id"]
    with connect(url) as sock:
        sock.sendall(b"GET /v1/messages HTTP/1.1\r\nhost: " + url.removeprefix("http://").encode() + b"\r\n\r\n")
        status, headers, _ = read_answer(sock)
        assert (status, headers["allow"]) == (405, "POST")


def test_web_pages_are_refused(daemon: Make) -> None:
    url = daemon().url
    assert post(url, ask("echo x"), origin="https://evil.example")[0] == 403
    assert post(url, ask("echo x"), content_type="text/plain")[0] == 415


def test_a_slow_reader_holds_up_nobody_and_loses_nothing(daemon: Make) -> None:
    url = daemon().url
    text = "line of text\n" * 500_000
    with connect(url) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(request_bytes(url, ask("echo " + text, stream=True)))
        assert slow.recv(1) == b"H"
        for number in range(3):
            assert text_of(post(url, ask(f"echo {number}"))[2]) == str(number)
        status_line = b"H"
        while chunk := slow.recv(65536):
            status_line += chunk
            if status_line.endswith(b"0\r\n\r\n"):
                break
    assert status_line.count(b"line of text") == 500_000


def test_a_reader_that_takes_nothing_is_dropped_at_the_limit(daemon: Make) -> None:
    harness = daemon(out_max_bytes=200_000)
    with connect(harness.url) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(request_bytes(harness.url, ask("echo " + "line of text\n" * 1_000_000, stream=True)))
        until(lambda: tcp_state(stuck) != 1)
    assert text_of(post(harness.url, ask("echo alive"))[2]) == "alive"


def tcp_state(sock: socket.socket) -> int:
    """The kernel's state of a TCP socket; 1 is established."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0]


def test_a_client_that_hangs_up_frees_its_process(daemon: Make) -> None:
    harness = daemon(max=1, idle=0)
    for how in ("close", "reset"):
        with connect(harness.url) as sock:
            sock.sendall(request_bytes(harness.url, ask("hang")))
            until(lambda: children(harness))
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert text_of(post(harness.url, ask("echo next"))[2]) == "next"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_has_only_finished_sending_gets_its_answer(daemon: Make, stream: bool) -> None:
    """`nc -N` and others shut their side down after the request. That looked like a client that had gone."""
    harness = daemon()
    with connect(harness.url) as sock:
        whole = request_bytes(harness.url, ask("echo one", stream=stream))
        sock.sendall(whole + whole)
        sock.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.count(b"HTTP/1.1 200 ") == data.count(b'"end_turn"') == 2
    with connect(harness.url) as sock:
        sock.sendall(whole[:-1])
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(sock)[0] == 400


def test_a_client_that_has_finished_sending_and_then_goes_frees_its_process(daemon: Make) -> None:
    harness = daemon(max=1, idle=0)
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("hang")))
        until(lambda: children(harness))
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.5)  # in which a daemon that took this for the client's leaving would end its process
        assert children(harness)
    assert text_of(post(harness.url, ask("echo next"))[2]) == "next"


def children(harness: Harness) -> list[int]:
    """Pids of the daemon's processes."""
    with open(f"/proc/{harness.pid}/task/{harness.pid}/children") as file:
        return [int(p) for p in file.read().split()]


def fds(harness: Harness) -> int:
    """How many fds the daemon has."""
    return len(os.listdir(f"/proc/{harness.pid}/fd"))


def test_twenty_clients_on_five_processes_are_not_mixed_up_and_leave_nothing(daemon: Make) -> None:
    from concurrent.futures import ThreadPoolExecutor

    harness = daemon(max=5, idle=0, term_limit_s=0.2)
    before = fds(harness)
    with ThreadPoolExecutor(20) as workers:
        answers = list(workers.map(lambda n: text_of(post(harness.url, ask(f"echo {n} " * 20))[2]), range(60)))
    assert answers == [(f"echo {n} " * 20).removeprefix("echo ") for n in range(60)]
    until(lambda: not children(harness))
    until(lambda: fds(harness) <= before)
    until(lambda: not os.listdir(f"{harness.state_dir}/slots"))


def test_more_connections_than_allowed_wait_and_are_served(daemon: Make) -> None:
    url = daemon(connections_max=8).url
    idle = [connect(url) for _ in range(20)]
    for sock in idle[:15]:
        sock.close()
    assert text_of(post(url, ask("echo served"))[2]) == "served"
    for sock in idle[15:]:
        sock.close()


def raw(url: str, method: str, path: str, data: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request of any kind on a connection of its own."""
    host = url.removeprefix("http://")
    fields = {"host": host, "content-length": str(len(data))} | {k.replace("_", "-"): v for k, v in headers.items()}
    head = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    with connect(url) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
        return read_answer(sock) if method != "HEAD" else (int(sock.recv(65536).split()[1]), {}, b"")


def test_compressed_bodies(daemon: Make) -> None:
    url = daemon().url
    data = json.dumps(ask("echo packed")).encode()
    for encoding, body in (
        ("gzip", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate, gzip", gzip.compress(zlib.compress(data))),
        ("identity", data),
    ):
        status, _, answer = post(url, body, content_encoding=encoding)
        assert (status, text_of(answer)) == (200, "packed")
    for encoding, body, code in (
        ("br", data, "request_body_encoding_unsupported"),
        ("gzip", gzip.compress(data)[:-9], "request_body_encoding_invalid"),
    ):
        status, _, answer = post(url, body, content_encoding=encoding)
        assert (status, json.loads(answer)["error"]["details"]["error_code"]) == (400, code)


def test_pages_of_allowed_origins_may_ask_and_read(daemon: Make) -> None:
    url = daemon(allowed_origins="https://mine.example, http://localhost:3000").url
    status, headers, _ = raw(url, "OPTIONS", "/v1/messages", origin="https://mine.example")
    assert (status, headers["access-control-allow-origin"]) == (204, "https://mine.example")
    assert "authorization" in headers["access-control-allow-headers"]
    status, headers, body = post(url, ask("echo page", stream=True), origin="http://localhost:3000")
    assert (status, headers["access-control-allow-origin"]) == (200, "http://localhost:3000")
    assert "request-id" in headers["access-control-expose-headers"]
    status, headers, _ = post(url, b"{", origin="https://mine.example")
    assert (status, headers["access-control-allow-origin"]) == (400, "https://mine.example")
    status, headers, _ = raw(url, "OPTIONS", "/v1/messages", origin="https://evil.example")
    assert status == 403
    assert "access-control-allow-origin" not in headers


def test_the_small_questions(daemon: Make) -> None:
    """The endpoints of the product that relayd replaces, and signs of life."""
    url = daemon().url
    for path in ("/api/hello", "/v1/health", "/v1/version", "/v1/availability", "/v1/license", "/v1/models"):
        status, headers, body = raw(url, "GET", path)
        assert (status, headers["content-type"]) == (200, "application/json"), path
        assert isinstance(json.loads(body), dict)
        assert raw(url, "HEAD", path)[0] == 200
    assert json.loads(post(url, {}, "/v1/license/refresh")[2])["valid"] is True
    assert json.loads(raw(url, "GET", "/v1/availability")[2]) == {"available": True}
    assert json.loads(raw(url, "GET", "/v1/models?lifecycle[]=retired&limit=3")[2])["data"] == []
    assert len(json.loads(raw(url, "GET", "/v1/models?lifecycle[]=active&lifecycle[]=retired&limit=3")[2])["data"]) == 3
