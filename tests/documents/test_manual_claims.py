"""What relayd-http(7) says of requests, asked of a running daemon: the page's own lists are the questions."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from relayd.doctor.harness import Harness
from relayd.openai import decode
from tests.daemon.test_http import raw
from tests.helpers import ask, post

Make = Callable[..., Harness]
PAGE = (pathlib.Path(__file__).parents[2] / "man" / "relayd-http.7").read_text()
MARK = {"type": "ephemeral"}
TOOL = {"name": "look", "description": "Looks", "input_schema": {"type": "object", "properties": {}}}
# A request that has the field, for each name in the page's list.
IGNORED: dict[str, dict[str, Any]] = {
    "metadata": {"metadata": {"user_id": "u"}},
    "service_tier": {"service_tier": "auto"},
    "inference_geo": {"inference_geo": "us"},
    "speed": {"speed": "fast"},
    "container": {"container": "c"},
    "context_management": {"context_management": {"edits": []}},
    "cache_control": {"system": [{"type": "text", "text": "s", "cache_control": MARK}]},
    "tools.strict": {"tools": [TOOL | {"strict": True}]},
    "tools.defer_loading": {"tools": [TOOL | {"defer_loading": True}]},
}
IGNORED_CHAT: dict[str, Any] = {"seed": 1, "logprobs": True, "logit_bias": {"1": 1}, "user": "u"}
REFUSED = (
    {"tools": [{"type": "code_execution_20250522", "name": "code_execution"}]},
    {"tools": [{"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1}]},
    {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    {"tools": [TOOL | {"name": "n" * 113}]},
    {"messages": [{"role": "user", "content": "[Request interrupted by user]"}]},
    {"messages": [{"role": "user", "content": "[Request interrupted by user for tool use]"}]},
)


def part(heading: str) -> str:
    """The source of a section or subsection."""
    return re.split(r"^\.S[hs] ", PAGE.partition(f" {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def literals(text: str) -> list[str]:
    """The words that the page sets as literals, without the ellipses and notes between them."""
    lines = re.findall(r"^\.(?:Pq )?(?:It )?Li (.*)$", text, re.MULTILINE)
    words = [word for line in lines for word in re.sub(r" No .*?(?= Li |$)", "", line).replace(" Li ", " ").split()]
    return [word for word in words if re.fullmatch(r"[a-z][\w.]*", word)]


def chat(url: str, **fields: Any) -> tuple[int, dict[str, str], Any]:
    value = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "echo hi"}]} | fields
    status, headers, body = raw(url, "POST", "/v1/chat/completions", json.dumps(value).encode(), content_type="application/json")
    return status, headers, json.loads(body)


def test_what_the_page_calls_ignored_is_named_in_the_header_and_refused_when_strict(daemon: Make) -> None:
    named = set(literals(part("Named in x-relayd-ignored"))) - {"strict"}
    assert named == set(IGNORED) | set(IGNORED_CHAT)
    url, strict = daemon().url, daemon(strict=True).url
    for name, fields in IGNORED.items():
        status, headers, _ = post(url, ask("echo hi") | fields)
        assert (status, headers["x-relayd-ignored"]) == (200, name)
        assert post(strict, ask("echo hi") | fields)[0] == 400
    status, headers, _ = chat(url, **IGNORED_CHAT)
    assert (status, set(headers["x-relayd-ignored"].split(", "))) == (200, set(IGNORED_CHAT))


@pytest.mark.parametrize("fields", REFUSED, ids=lambda f: str(f)[:60])
def test_what_the_page_calls_refused_is_a_400(daemon: Make, fields: dict[str, Any]) -> None:
    status, headers, answer = post(daemon(idle=0).url, ask("echo hi") | fields)
    assert (status, headers["x-should-retry"]) == (400, "false"), answer


def test_the_metrics_of_the_page_are_those_that_are_served(daemon: Make) -> None:
    told = {name for name in literals(part("METRICS")) if name not in ("relayd_",)}
    served = re.findall(r"^# TYPE relayd_(\w+) ", raw(daemon(idle=0).url, "GET", "/metrics")[2].decode(), re.MULTILINE)
    assert told == set(served)


def test_what_the_page_says_of_openai_clients(daemon: Make) -> None:
    decoded = decode.translate({"messages": [], "temperature": 1.7}).value
    assert (decoded["max_tokens"], decoded["temperature"]) == (8192, 1)
    url = daemon(idle=0).url
    assert chat(url, n=2)[0] == 400
    status, _, answer = chat(url, messages=5)
    assert (status, set(answer)) == (400, {"error"})


def test_what_the_page_says_of_headers_and_counts(daemon: Make) -> None:
    url = daemon(idle=1).url
    status, headers, _ = post(url, ask("echo hi"))
    assert status == 200
    assert re.fullmatch(
        r'queue;dur=[\d.]+, claude;dur=[\d.]+;desc="(parked|warm|primed|reused|ready|waiting|cold)"', headers["server-timing"]
    )
    newer = {"anthropic_version": "2026-10-21"}
    for name, number in (("temperature", 1), ("top_p", 1), ("top_k", 5)):
        assert post(url, ask("echo hi") | {name: number}, **newer)[0] == 400
        assert post(url, ask("echo hi") | {name: number})[0] == 200
    assert post(url, ask("echo hi"), x_relayd_session="s" * 129)[0] == 400
    assert post(url, ask("echo hi"), x_ir_session_id="s" * 128)[0] == 200
    body = json.dumps({"model": "m", "messages": ask("hi")["messages"]}).encode()
    status, headers, _ = raw(url, "POST", "/v1/messages/count_tokens", body, content_type="application/json")
    assert (status, headers["x-relayd-emulated"]) == (200, "input_tokens")
    assert raw(url, "GET", "/v1/models/opus")[0] == 200
    status, headers, _ = raw(url, "GET", "/v1/messages")
    assert (status, headers["allow"]) == (405, "POST")
    for path in ("/v1/messages/batches", "/v1/files"):
        assert raw(url, "GET", path)[0] == 200
