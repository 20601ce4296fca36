"""Token by token from the real Claude Code: what the stand-in has sent is with the client before the block ends.

Asserted by order, never by a clock: the stand-in holds the end of the block back until the client has seen its beginning.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from relayd.doctor.harness import Harness
from tests.helpers import ask, blocks_of_stream, connect, post, request_bytes

pytestmark = pytest.mark.real

HUNG_S = 60.0  # for hung tests only
THINK = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
TOOL: dict[str, Any] = {"name": "get", "input_schema": {"type": "object"}}
LINES = (
    "# Überschrift, 見出し",
    "- a *list* of `things`",
    "| a | b |\n|---|---|",
    "```py\nprint('\t')\n```",
    "$$\\int_0^1 x\\,dx$$ \\(y\\)",
    "四五六七八九十、そして👩‍👩‍👧 e\u0301",
    "windows\r",
    "\x1b[31m\x07 control \u2028 \ufeff",
    "",
    "   indented   ",
)


@contextlib.contextmanager
def chunks(url: str, body: dict[str, Any], path: str = "/v1/messages") -> Iterator[Iterator[bytes]]:
    """The chunks of a streamed answer, as they come."""
    with connect(url) as sock:
        sock.sendall(request_bytes(url, body, path))
        with sock.makefile("rb") as file:
            while file.readline().strip():
                pass
            yield _chunks(file)


def _chunks(file: Any) -> Iterator[bytes]:
    while size := int(file.readline(), 16):
        yield file.read(size)
        file.readline()


@pytest.fixture(scope="module")
def real(claude: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A daemon with the mod, shared by the module."""
    root = str(tmp_path_factory.mktemp("live"))
    with Harness(root, claude, {"warm_model": "claude-sonnet-4-6", "live": True}) as harness:
        yield harness
        assert harness.stop() == 0


def seen_while_held(harness: Harness, body: dict[str, Any], sign: bytes, path: str = "/v1/messages") -> bytes:
    """The whole stream; the stand-in ends the first block only after the client has seen `sign`."""
    harness.api.go_on.clear()
    found = b""
    try:
        with chunks(harness.url, body, path) as stream:
            deadline = time.monotonic() + HUNG_S
            for chunk in stream:
                found += chunk
                assert time.monotonic() < deadline, found  # pings go on
                if sign in found:
                    harness.api.go_on.set()
            assert harness.api.go_on.is_set(), found
    finally:
        harness.api.go_on.set()
    return found


PARAGRAPH = "one long paragraph without an end of line, " * 5


def test_text_is_there_before_its_paragraph_ends(real: Harness) -> None:
    """By lines, a paragraph came when it was whole."""
    found = seen_while_held(real, ask(f"[[say {PARAGRAPH}]][[hold]]", stream=True), b'"text_delta"')
    assert blocks_of_stream(found) == [{"type": "text", "text": PARAGRAPH}]


def test_thinking_is_there_before_it_ends_and_then_its_signature_and_the_text(real: Harness) -> None:
    body = ask(f"[[think {PARAGRAPH}]][[say done]][[hold]]", stream=True, **THINK)
    blocks = blocks_of_stream(seen_while_held(real, body, b'"thinking_delta"'))
    assert blocks == [
        {"type": "thinking", "thinking": PARAGRAPH, "signature": "c3RhbmQtaW4gc2lnbmF0dXJl"},
        {"type": "text", "text": "done"},
    ]


def test_a_calls_input_is_there_before_it_ends(real: Harness) -> None:
    body = ask(f"[[tool get {json.dumps({'k': PARAGRAPH})}]][[tool get {{}}]][[hold]]", stream=True, tools=[TOOL])
    found = seen_while_held(real, body, b'{\\"k\\": \\"one')
    blocks = blocks_of_stream(found)
    assert [(b["name"], b["input"]) for b in blocks] == [("get", {"k": PARAGRAPH}), ("get", {})]
    assert [b["id"].startswith("toolu_01standin") for b in blocks] == [True, True]


@pytest.mark.parametrize(
    ("prompt", "fields", "sign"),
    [
        (f"[[say {PARAGRAPH}]][[hold]]", {}, b'"content":"one'),
        pytest.param(
            f"[[tool get {json.dumps({'k': PARAGRAPH})}]][[hold]]",
            {"tools": [{"type": "function", "function": {"name": "get"}}]},
            b'\\"k\\": \\"one',
        ),
    ],
)
def test_the_chat_route_streams_the_same(real: Harness, prompt: str, fields: dict[str, Any], sign: bytes) -> None:
    body = ask(prompt, stream=True, **fields)
    found = seen_while_held(real, body, sign, "/v1/chat/completions")
    assert found.endswith(b"data: [DONE]\n\n")


def test_after_tool_results_the_parked_process_streams_on(real: Harness) -> None:
    """The next request of the same turn is another step."""
    body = ask(f'[[tools 1 get {{"k": 1}}]][[final {PARAGRAPH}]][[hold]]', stream=True, tools=[TOOL])
    content = blocks_of_stream(seen_while_held(real, body, b'"tool_use"'))
    results = [{"type": "tool_result", "tool_use_id": b["id"], "content": "it"} for b in content]
    body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    assert blocks_of_stream(seen_while_held(real, body, b'"text_delta"')) == [{"type": "text", "text": PARAGRAPH}]


def test_a_kept_process_streams_its_next_answer(real: Harness) -> None:
    body = ask(f"[[say {PARAGRAPH}]][[hold]]", stream=True)
    for _ in range(3):
        found = seen_while_held(real, body, b'"text_delta"')
        content = blocks_of_stream(found)
        assert content == [{"type": "text", "text": PARAGRAPH}]
        again = {"role": "user", "content": f"[[say {PARAGRAPH}]][[hold]]"}
        body["messages"] += [{"role": "assistant", "content": PARAGRAPH}, again]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("thinks", [False, True])
def test_markdown_of_every_kind_comes_exactly(real: Harness, seed: int, thinks: bool) -> None:
    chance = random.Random(seed)
    text = "\n".join(chance.choices(LINES, k=60))
    pace = f"[[pieces {chance.randint(1, 12)}]]"
    body = ask(f"[[say {text}]]{pace}" + ("[[think 考え\n\n…]]" if thinks else ""), stream=True, **(THINK if thinks else {}))
    status, _, found = post(real.url, body)
    assert status == 200
    blocks = blocks_of_stream(found)
    assert "".join(b["text"] for b in blocks if b["type"] == "text") == text
    assert [b["type"] for b in blocks] == (["thinking", "text"] if thinks else ["text"])


@pytest.mark.parametrize("fault", ["raise", "syntax", "missing", "refused", "hang"])
def test_a_mod_that_fails_costs_no_answer(claude: str, tmp_path: pathlib.Path, fault: str) -> None:
    """Whatever becomes of it, text comes line by line, as it did before there was one."""
    program = ("-m", "tests.real.broken_mod", fault)
    with Harness(str(tmp_path), claude, {"warm_model": "claude-sonnet-4-6", "idle": 1, "live": True}, program=program) as harness:
        text = "one\n\ntwo " * 5
        status, _, found = post(harness.url, ask(f"[[say {text}]][[pieces 3]]", stream=True))
        assert status == 200
        assert blocks_of_stream(found) == [{"type": "text", "text": text}]


def test_without_it_lines_come_as_before(claude: str, tmp_path: pathlib.Path) -> None:
    with Harness(str(tmp_path), claude, {"warm_model": "claude-sonnet-4-6", "idle": 1, "live": False}) as harness:
        status, _, found = post(harness.url, ask("[[say one\n\ntwo]][[pieces 1]]", stream=True))
        assert status == 200
        assert blocks_of_stream(found) == [{"type": "text", "text": "one\n\ntwo"}]
        assert found.count(b'"text_delta"') < 4
