"""Another API answers what Claude Code cannot: every client gets one right answer or one error, whatever either side does."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from relayd.doctor.harness import Harness
from tests.helpers import ask, connect, events_of, post, read_answer, request_bytes, text_of, until
from tests.other_side import (
    JSON_HEAD,
    SSE_HEAD,
    certificate,
    chunk,
    event,
    events,
    halves,
    hang,
    json_answer,
    message,
    other_side,
    stream_answer,
)

Make = Callable[..., Harness]
LIMITED = "fail rate_limit API Error: Request rejected (429) · all used up"
QUICK: dict[str, Any] = {
    "silence_limit_s": 1,
    "transcript_lag_s": 0.3,
    "term_limit_s": 0.3,
    "idle": 1,
    "max": 3,
    "failure_lag_s": 0.05,
}


def limited(harness: Harness) -> None:
    """Let it know of a limit: the calls that follow go elsewhere at once, without a process."""
    post(harness.url, ask("fail rate_limit API Error: Request rejected (429) · try again in 100 seconds"))


def records(harness: Harness) -> list[dict[str, Any]]:
    path = pathlib.Path(harness.state_dir) / "recent-calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize(
    "prompt",
    [
        LIMITED,
        "fail authentication_failed API Error: 401 no",
        "fail server_error API Error: Connection error.",
        "screen Select login method",
        "screen Do you want this?",
        "crash starting",
        "crash running",
        "kill",
        "hang",
    ],
)
def test_what_claude_code_cannot_answer_is_answered_elsewhere(daemon: Make, prompt: str) -> None:
    with other_side(json_answer(message())) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        status, headers, body = post(harness.url, ask(prompt), x_api_key="sent-to-relayd", cookie="a=b")
        assert (status, text_of(body)) == (200, "from elsewhere"), body
        assert headers["x-relayd-answered-by"] == "fallback"
        assert headers["request-id"].startswith("req_01")
        other.answer = stream_answer()
        status, headers, body = post(harness.url, ask(prompt, stream=True))
        assert (status, headers["x-relayd-answered-by"]) == (200, "fallback")
        assert body == b"".join(events())
        assert len(other.requests) == 2
        found = until(lambda: len(records(harness)) == 2 and records(harness))
        assert [(r["status"], r["road"], r["tokens"]["output_tokens"]) for r in found] == [
            (200, "fallback", 2),
            (200, "fallback", 9),
        ]


@pytest.mark.parametrize(
    "prompt",
    [
        "echo fine",
        "fail invalid_request API Error: 400 no",
        "fail model_not_found no such model",
        "fail overloaded API Error: 529 busy",
        "fail server_error API Error: 500 sorry",
    ],
)
def test_other_errors_are_the_clients_to_know(daemon: Make, prompt: str) -> None:
    with other_side(json_answer(message())) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        _, headers, _ = post(harness.url, ask(prompt))
        assert "x-relayd-answered-by" not in headers
        assert other.requests == []


def test_the_other_side_gets_the_request_as_it_was_sent_and_no_secret_but_the_users_own_key(
    daemon: Make, tmp_path: pathlib.Path
) -> None:
    key, token = tmp_path / "key", tmp_path / "token"
    key.write_text("sk-own-key\n")
    token.write_text("relayd-token")
    for path in (key, token):
        path.chmod(0o600)
    with other_side(json_answer(message())) as other:
        harness = daemon(fallback_url=f"{other.url}/gateway/v1", fallback_key_file=key, token_file=token, **QUICK)
        sent = json.dumps(ask(LIMITED, temperature=0.25), indent=3).encode()
        fields = {
            "x_api_key": "relayd-token",
            "anthropic_beta": "a-beta,another",
            "anthropic_version": "2023-01-01",
            "x_other": "1",
        }
        with connect(harness.url) as sock:
            sock.sendall(request_bytes(harness.url, sent, "/v1/messages?beta=true", **fields))
            assert read_answer(sock)[0] == 200
        line, headers, body = other.requests[0]
        assert line == "POST /gateway/v1/messages?beta=true HTTP/1.1"
        assert body == sent
        assert headers == {
            "host": f"127.0.0.1:{other.port}",
            "user-agent": headers["user-agent"],
            "accept-encoding": "identity",
            "x-api-key": "sk-own-key",
            "anthropic-version": "2023-01-01",
            "anthropic-beta": "a-beta,another",
            "content-type": "application/json",
            "x-relayd-fallback": "1",
            "content-length": str(len(sent)),
            "connection": "close",
        }
        assert "sk-own-key" not in "".join(harness.log)


def test_models_have_other_names_there_and_a_key_may_come_from_a_variable(daemon: Make) -> None:
    with other_side(json_answer(message())) as other:
        flags = {
            "fallback_models": "claude-opus*=big, *=small",
            "fallback_key_variable": "OWN_KEY",
            "model_aliases": "fast=claude-opus-5",
        }
        harness = daemon(
            fallback_url=other.url, fallback_key_header="authorization", environment={"OWN_KEY": "sk-x"}, **flags, **QUICK
        )
        for name, there in (("claude-opus-5", "big"), ("fast", "big"), ("claude-sonnet-4-6", "small")):
            assert post(harness.url, ask(LIMITED, model=name))[0] == 200
            _, headers, body = other.requests[-1]
            assert json.loads(body) == ask(LIMITED, model=there)
            assert headers["authorization"] == "Bearer sk-x"


WRONG: dict[str, Any] = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "nothing": b"",
    "not JSON": json_answer(b"<html>"),
    "no message": json_answer({"type": "completion"}),
    "a list": json_answer([1]),
    "another status": json_answer({}, 302, location="http://elsewhere"),
    "no content": b"HTTP/1.1 204 x\r\n\r\n",
    "another type": JSON_HEAD.replace("application/json", "text/html").encode() + b"content-length: 2\r\n\r\n{}",
    "compressed": json_answer(message(), content_encoding="gzip"),
    "cut off": json_answer(message())[:-3],
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-ty",
    "broken chunks": JSON_HEAD.encode() + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "too many lines": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n",
    "too large": JSON_HEAD.encode() + b"\r\n" + b"x" * (9 * 1024 * 1024),
    "slow": hang,
}


def test_a_fallback_that_is_wrong_slow_or_down_leaves_the_first_error_with_a_word(daemon: Make) -> None:
    with other_side() as other:
        harness = daemon(fallback_url=other.url, turn_limit_s=1, **QUICK)
        limited(harness)
        for name, answer in WRONG.items():
            other.answer = answer
            status, headers, body = post(harness.url, ask(LIMITED))
            error = json.loads(body)["error"]
            assert (status, error["type"]) == (429, "rate_limit_error"), name
            assert error["message"].startswith("try again in 100 seconds (the fallback gave no answer either: it"), (name, error)
            assert "x-relayd-answered-by" not in headers
        other.close()
        status, _, body = post(harness.url, ask(LIMITED))
        assert status == 429
        assert "could not be reached" in json.loads(body)["error"]["message"]
        assert post(harness.url, ask("echo on", model="claude-haiku-4-5"))[0] == 200


WRONG_STREAMS: dict[str, Any] = {
    "whole": json_answer(message()),
    "no events": SSE_HEAD.encode() + b"\r\nhello",
    "not JSON": stream_answer([b"event: message_start\ndata: hello\n\n"]),
    "another stream": stream_answer([b'data: {"choices": []}\n\n']),
    "empty": stream_answer([]),
}


def test_a_stream_that_does_not_begin_well_leaves_the_first_error(daemon: Make) -> None:
    with other_side() as other:
        harness = daemon(fallback_url=other.url, turn_limit_s=1, **QUICK)
        limited(harness)
        for name, answer in WRONG_STREAMS.items():
            other.answer = answer
            status, _, body = post(harness.url, ask(LIMITED, stream=True))
            assert status == 429, name
            assert "the fallback gave no answer either" in json.loads(body)["error"]["message"], name


BROKEN_STREAMS: dict[str, Any] = {
    "cut between events": halves(stream_answer(events()[:4])[:-5]),
    "cut within one": halves(stream_answer([*events()[:4], b"event: conte"])[:-5]),
    "ends too early": stream_answer(events()[:4]),
    "garbage": stream_answer([*events()[:4], b"event: x\ndata: {\n\n"]),
    "silent": lambda sock: (sock.sendall(stream_answer(events()[:4])[:-5]), hang(sock)),
    "a reset": lambda sock: (
        sock.sendall(stream_answer(events()[:4])[:-5]),
        time.sleep(0.1),  # so that what was sent is read before the reset throws it away
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"),
    ),
}


def test_a_stream_that_breaks_off_ends_in_one_error(daemon: Make) -> None:
    with other_side() as other:
        harness = daemon(fallback_url=other.url, turn_limit_s=1, **QUICK)
        limited(harness)
        for name, answer in BROKEN_STREAMS.items():
            other.answer = answer
            status, headers, body = post(harness.url, ask(LIMITED, stream=True))
            assert (status, headers["x-relayd-answered-by"]) == (200, "fallback"), name
            found = events_of(body)
            assert [e["type"] for e in found][:3] == ["message_start", "content_block_start", "ping"], name
            assert [e for e in found if e["type"] == "error"] == found[-1:], name
            assert "did not finish" in found[-1]["error"]["message"], name
        assert post(harness.url, ask("echo on", model="claude-haiku-4-5"))[0] == 200


def test_errors_of_the_other_side_come_in_the_apis_shape(daemon: Make) -> None:
    own = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
    cases: list[tuple[bytes, int, str, str]] = [
        (json_answer(own, 401), 401, "authentication_error", "invalid x-api-key"),
        (json_answer({"error": "model not found"}, 404), 404, "not_found_error", "model not found"),
        (json_answer({"error": {"message": "busy", "code": 1}}, 503), 503, "api_error", "busy"),
        (json_answer(b"<html>bad gateway</html>", 522), 502, "api_error", "it answered with HTTP status 522"),
        (json_answer(own, 429, retry_after="17"), 429, "rate_limit_error", "invalid x-api-key"),
    ]
    with other_side() as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        limited(harness)
        for answer, status, kind, words in cases:
            for stream in (False, True):
                other.answer = answer
                found, headers, body = post(harness.url, ask(LIMITED, stream=stream))
                error = json.loads(body)
                assert (found, error["error"]["type"], error["error"]["message"]) == (status, kind, words)
                assert headers["x-relayd-answered-by"] == "fallback"
                assert error["request_id"] == headers["request-id"]
        assert headers["retry-after"] == "17"
        other.answer = stream_answer([event("error", error={"type": "overloaded_error", "message": "later"})])
        status, _, body = post(harness.url, ask(LIMITED, stream=True))
        assert (status, json.loads(body)["error"]["message"]) == (529, "later")
        late = event("error", error={"type": "overloaded_error", "message": "later"})
        other.answer = stream_answer([*events()[:4], late])
        assert post(harness.url, ask(LIMITED, stream=True))[2] == b"".join([*events()[:4], late])


def test_after_the_first_byte_nobody_else_is_asked(daemon: Make) -> None:
    with other_side(stream_answer()) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        status, _, body = post(harness.url, ask("echo one\n\ntwo\nthree slow 0.1 die-slowly", stream=True))
        assert status == 200
        assert events_of(body)[-1]["type"] == "error"
        assert other.requests == []


def test_a_known_limit_leads_there_at_once(daemon: Make) -> None:
    with other_side(json_answer(message())) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        prompt = "fail rate_limit API Error: Request rejected (429) · try again in 100 seconds"
        assert post(harness.url, ask(prompt))[0] == 200
        begun = time.monotonic()
        status, headers, _ = post(harness.url, ask("echo never typed"))
        assert (status, headers["x-relayd-answered-by"]) == (200, "fallback")
        assert time.monotonic() - begun < 0.5
        assert len(other.requests) == 2


def test_a_claude_that_is_missing_at_the_start_or_later(daemon: Make, fake_claude: str, tmp_path: pathlib.Path) -> None:
    own = tmp_path / "claude"
    own.write_bytes(pathlib.Path(fake_claude).read_bytes())
    own.chmod(0o755)
    with other_side(json_answer(message())) as other:
        harness = daemon(claude=own, fallback_url=other.url, **(QUICK | {"idle": 0}))
        assert text_of(post(harness.url, ask("echo here"))[2]) == "here"
        os.unlink(own)
        assert text_of(post(harness.url, ask("echo gone"))[2]) == "from elsewhere"
        harness = daemon(claude=own, fallback_url=other.url, **(QUICK | {"idle": 0}))
        assert text_of(post(harness.url, ask("echo never there"))[2]) == "from elsewhere"
        assert any("no `claude`" in line or "not an executable" in line for line in harness.log)


def test_two_daemons_that_fall_back_on_each_other_stop(daemon: Make) -> None:
    with other_side(json_answer(message())) as other:
        second = daemon(fallback_url=other.url, **QUICK)
        first = daemon(fallback_url=second.url, **QUICK)
        status, headers, body = post(first.url, ask(LIMITED))
        assert (status, json.loads(body)["error"]["message"]) == (429, "all used up")
        assert headers["x-relayd-answered-by"] == "fallback"
        assert other.requests == []


def test_a_sticky_session_is_not_taken(daemon: Make) -> None:
    """Its conversation is here, and not whole in the request."""
    with other_side(json_answer(message())) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        assert post(harness.url, ask(LIMITED), x_relayd_session="s")[0] == 429
        assert other.requests == []


def test_a_client_that_leaves_ends_the_other_connection(daemon: Make) -> None:
    left: list[bytes] = []
    with other_side(lambda sock: left.append(sock.recv(1))) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        sock = connect(harness.url)
        sock.sendall(request_bytes(harness.url, ask(LIMITED)))
        until(lambda: other.requests)
        sock.close()
        until(lambda: left == [b""])


def test_a_huge_answer_is_read_as_fast_as_its_client_takes_it(daemon: Make) -> None:
    """Back-pressure: what the client does not read stays on the other side, and memory stays small."""
    sent = [0]
    piece = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 100_000})
    total = 120

    def flood(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        sock.sendall(SSE_HEAD.encode() + b"transfer-encoding: chunked\r\n\r\n" + b"".join(map(chunk, events()[:2])))
        for _ in range(total):
            sock.sendall(chunk(piece))
            sent[0] += 1
        sock.sendall(b"".join(map(chunk, events()[-3:])) + b"0\r\n\r\n")

    with other_side(flood) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        with connect(harness.url) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            sock.sendall(request_bytes(harness.url, ask(LIMITED, stream=True)))
            until(lambda: sent[0] > 3)
            time.sleep(0.5)  # in which it could have sent all, if somebody read on
            assert sent[0] < total / 2
            status, _, body = read_answer(sock)
        assert status == 200
        assert body == b"".join([*events()[:2], *([piece] * total), *events()[-3:]])
        assert sent[0] == total


def test_tls_with_a_certificate_of_ones_own(daemon: Make, tmp_path: pathlib.Path) -> None:
    context, trusted = certificate(tmp_path)
    big = "y" * 300_000
    with other_side(json_answer(message(big)), context) as other:
        harness = daemon(fallback_url=other.url, environment={"SSL_CERT_FILE": str(trusted)}, **QUICK)
        assert text_of(post(harness.url, ask(LIMITED + " " + "z" * 300_000))[2]) == big
        other.answer = stream_answer()
        assert post(harness.url, ask(LIMITED, stream=True))[2] == b"".join(events())
        wary = daemon(fallback_url=other.url, **QUICK)
        status, _, body = post(wary.url, ask(LIMITED))
        assert status == 429
        assert "certificate is not trusted" in json.loads(body)["error"]["message"]
        by_name = daemon(
            fallback_url=other.url.replace("127.0.0.1", "localhost"), environment={"SSL_CERT_FILE": str(trusted)}, **QUICK
        )
        other.answer = json_answer(message())
        assert post(by_name.url, ask(LIMITED))[0] == 200
    with other_side(b"no TLS at all") as plain:
        harness = daemon(fallback_url=plain.url.replace("http", "https"), **QUICK)
        assert "fallback gave no answer either" in json.loads(post(harness.url, ask(LIMITED))[2])["error"]["message"]


def test_a_name_is_looked_up_by_a_process_and_one_that_is_unknown_is_an_error(daemon: Make) -> None:
    with other_side(json_answer(message())) as other:
        host = socket.gethostname()
        harness = daemon(fallback_url=f"http://{host}:{other.port}", fallback_plain=True, **QUICK)
        status, _, body = post(harness.url, ask(LIMITED))  # the server listens on 127.0.0.1 only: the name may be elsewhere
        assert status in (200, 429)
        assert status == 200 or "could not be reached" in json.loads(body)["error"]["message"]
        harness = daemon(fallback_url=f"http://nobody.invalid:{other.port}", **QUICK)
        status, _, body = post(harness.url, ask(LIMITED))
        assert status == 429
        assert "its name is not known" in json.loads(body)["error"]["message"]


def test_the_daemon_ends_when_the_last_answer_from_elsewhere_is_out(daemon: Make) -> None:
    with other_side(halves(b"", json_answer(message()), pause_s=1.0)) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        with connect(harness.url) as sock:
            sock.sendall(request_bytes(harness.url, ask(LIMITED)))
            until(lambda: other.requests)
            assert harness.process is not None
            harness.process.terminate()
            assert read_answer(sock)[0] == 200
        assert harness.process.wait(10) == 0


def test_no_more_than_so_many_at_once(daemon: Make) -> None:
    with other_side(hang) as other:
        harness = daemon(fallback_url=other.url, **(QUICK | {"max": 4, "turn_limit_s": 30}))
        prompt = "fail rate_limit API Error: Request rejected (429) · try again in 100 seconds"
        socks = []
        for _ in range(34):
            sock = connect(harness.url)
            sock.sendall(request_bytes(harness.url, ask(prompt)))
            socks.append(sock)
            until(lambda: len(other.requests) >= min(len(socks), 32))
        assert read_answer(socks[-1])[0] == 429
        for sock in socks:
            sock.close()
        assert len(other.requests) == 32


def test_the_sdk_reads_whole_and_streamed_answers(daemon: Make) -> None:
    anthropic = pytest.importorskip("anthropic")
    with other_side(json_answer(message())) as other:
        harness = daemon(fallback_url=other.url, **QUICK)
        client = anthropic.Anthropic(base_url=harness.url, api_key="x", max_retries=0)
        found = client.messages.create(**ask(LIMITED))
        assert found.content[0].text == "from elsewhere"
        other.answer = stream_answer()
        with client.messages.stream(**ask(LIMITED)) as stream:
            assert stream.get_final_text() == "from elsewhere "
        other.answer = halves(stream_answer(events()[:4])[:-5])
        with pytest.raises(anthropic.APIStatusError, match="did not finish"), client.messages.stream(**ask(LIMITED)) as stream:
            stream.get_final_text()
        client.close()
