"""Answers that the API cuts or refuses, from the real Claude Code, which makes errors of some and goes on after others."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from relayd.doctor import conversations, standin
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from relayd.doctor.script import Plan, plan_for
from tests.helpers import ask, blocks_of_stream, events_of, post

pytestmark = pytest.mark.real

DETAILS = {"type": "refusal", "category": "cyber", "explanation": "This is why."}
THINK: dict[str, Any] = {"max_tokens": 80_000, "thinking": {"type": "enabled", "budget_tokens": 2000}}


def refusal(text: str, details: dict[str, Any] | None) -> str:
    """A prompt that is refused after this text."""
    return f"[[say {text}]][[stop refusal]]" + (f"[[details {json.dumps(details)}]]" if details else "")


@pytest.mark.parametrize("text", ["", "half an ans"])
@pytest.mark.parametrize("details", [None, DETAILS, DETAILS | {"category": "bio"}, DETAILS | {"category": "frontier_llm"}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_an_answer(real: Harness, text: str, details: dict[str, Any] | None, stream: bool) -> None:
    """Claude Code makes an error of one without content; it was 400 "API Error: … safeguards flagged this message" after 5 s."""
    real.api.clear()
    status, _, body = post(real.url, ask(refusal(text, details), stream=stream))
    assert status == 200
    if stream:
        events = events_of(body)
        assert "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta") == text
        end, usage = events[-2]["delta"], events[-2]["usage"]
    else:
        end = json.loads(body)
        usage = end["usage"]
        assert [block["text"] for block in end["content"]] == ([text] if text else [])
        assert end["id"].startswith("msg_01standin")
    assert (end["stop_reason"], end["stop_details"]) == ("refusal", details)
    assert (usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) == (11, 7)
    assert usage["input_tokens"] > 1
    assert len(real.api.messages()) == 1  # nobody asked again


@pytest.mark.parametrize("stream", [False, True])
def test_the_chat_route_calls_a_refusal_a_content_filter(real: Harness, stream: bool) -> None:
    status, _, body = post(real.url, ask(refusal("", DETAILS), stream=stream), "/v1/chat/completions")
    assert status == 200
    if stream:
        assert b'"finish_reason":"content_filter"' in body
    else:
        choice = json.loads(body)["choices"][0]
        assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", "")


@pytest.mark.parametrize("reason", ["max_tokens", "refusal"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_long_answer_that_was_cut_is_whole(real: Harness, reason: str, stream: bool) -> None:
    """Each of its lines names the reason; the line after a long one was read later, and lost."""
    thought = "hm " * 50_000
    status, _, body = post(real.url, ask(f"[[think {thought}]][[say text]][[stop {reason}]]", stream=stream, **THINK))
    assert status == 200
    content = blocks_of_stream(body) if stream else json.loads(body)["content"]
    assert [block["type"] for block in content] == ["thinking", "text"]
    assert (len(content[0]["thinking"]), content[1]["text"]) == (len(thought), "text")


MEDIA = {
    "image": conversations.image(random.Random(1)),
    "pdf": {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}},
}
REFUSALS = [
    ("image", "messages.0.content.0.image.source.base64.data: Could not process image"),
    ("image", "messages.0.content.0.image.source: image dimensions exceed max allowed size: 8000 pixels"),
    ("pdf", "messages.0.content.0.pdf.source.base64.data: The PDF specified was not valid."),
    ("pdf", "The PDF specified is password protected."),
]


@pytest.mark.parametrize(("kind", "message"), REFUSALS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_picture_that_the_api_refuses_is_its_error(
    real: Harness, monkeypatch: pytest.MonkeyPatch, kind: str, message: str, stream: bool
) -> None:
    """Claude Code puts a note in its place and asks again: the client got 200, for another question than its own."""

    def plan(body: dict[str, Any], salt: str) -> Plan:
        has_media = any(b["type"] in ("image", "document") for m in body["messages"] for b in m["content"])
        return Plan(error_status=400, error_text=message) if has_media else plan_for(body, salt)

    monkeypatch.setattr(standin, "plan_for", plan)
    body = ask("", stream=stream)
    body["messages"][0]["content"] = [MEDIA[kind], {"type": "text", "text": "[[say ok]] so"}]
    status, _, answer = post(real.url, body)
    error = events_of(answer)[-1] if stream and status == 200 else json.loads(answer)
    assert (error["error"]["type"], error["error"]["message"]) == ("invalid_request_error", message)


@pytest.mark.parametrize(("model", "limit"), [("claude-sonnet-4-6", 100), ("claude-sonnet-5", 600)])
def test_more_pictures_than_claude_code_hands_over_are_refused(real: Harness, model: str, limit: int) -> None:
    """It leaves out the oldest, in silence."""
    for count, status in ((limit, 200), (limit + 1, 400)):
        body = ask("", model=model)
        body["messages"][0]["content"] = [MEDIA["image"]] * count + [{"type": "text", "text": "[[say ok]] so"}]
        found, _, answer = post(real.url, body)
        assert (found, b"at most" in answer) == (status, status == 400)
        if status == 200:
            assert differences(body, real.api.messages()[-1].body) == []


@pytest.mark.parametrize("stream", [False, True])
def test_no_tokens_at_all_warm_the_apis_cache(real: Harness, stream: bool) -> None:
    status, _, body = post(real.url, ask("warm up", max_tokens=0, stream=stream))
    assert status == 200
    assert real.api.messages()[-1].body["max_tokens"] == 0
    end = events_of(body)[-2]["delta"] if stream else json.loads(body)
    assert end["stop_reason"] == "max_tokens"
    assert b'"content_block_start"' not in body if stream else end["content"] == []
