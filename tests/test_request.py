"""Requests: what the API refuses is refused in its words; what it accepts gets through as it came."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic.request import Message, Thinking, parse
from relayd.errors import ApiError

NEW = {"anthropic-version": "2026-10-21"}
USER = {"role": "user", "content": "hi"}
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}


def body(**changes: Any) -> bytes:
    base: dict[str, Any] = {"model": "m", "max_tokens": 10, "messages": [USER]}
    return json.dumps({k: v for k, v in (base | changes).items() if v is not Ellipsis}).encode()


def user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


REFUSED = [
    (b"", "The request body is not valid JSON: "),
    (b"{", "The request body is not valid JSON: "),
    (b"[]", "body: Input should be an object"),
    (b'{"model":"\\ud800"}', "The request body is not valid JSON: "),
    (body(model=...), "model: Field required"),
    (body(max_tokens=...), "max_tokens: Field required"),
    (body(messages=...), "messages: Field required"),
    (body(model=3), "model: Input should be a valid string"),
    (body(max_tokens="many"), "max_tokens: Input should be a valid integer"),
    (body(max_tokens=True), "max_tokens: Input should be a valid integer"),
    (body(max_tokens=-1), "max_tokens: Input should be greater than or equal to 1"),
    (body(messages="x"), "messages: Input should be a valid list"),
    (body(messages=[]), "messages: at least one message is required"),
    (body(messages=[{"role": "user"}]), "messages.0.content: Field required"),
    (
        body(messages=[{"role": "tool", "content": "x"}]),
        'messages: Unexpected role "tool". Allowed roles are "user" or "assistant".',
    ),
    (body(messages=[{"role": "user", "content": ""}]), "messages.0: user messages must have non-empty content"),
    (body(messages=[USER, {"role": "assistant", "content": ""}, USER]), "messages.1: all messages must have non-empty content"),
    (body(messages=user({"type": "text", "text": ""})), "messages: text content blocks must be non-empty"),
    (body(messages=user({"type": "nope"})), "messages.0.content.0: Input tag 'nope' found using 'type' does not match"),
    (
        body(messages=user({"type": "image", "source": PNG | {"data": "not base64!"}})),
        "messages.0.content.0.image.source.base64: invalid base64 data",
    ),
    (
        body(messages=user({"type": "image", "source": PNG | {"media_type": "image/bmp"}})),
        "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or ",
    ),
    (body(messages=[USER, {"role": "assistant", "content": "so"}]), "This model does not support assistant message prefill."),
    (
        body(
            messages=[
                USER,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
                USER,
            ]
        ),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
    ),
    (
        body(messages=user({"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"})),
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.",
    ),
    (body(system=3), "system: Input should be a valid list"),
    (body(system=[{"type": "text", "text": ""}]), "system: text content blocks must be non-empty"),
    (body(stream="yes"), "stream: Input should be a valid boolean"),
    (body(temperature="warm"), "temperature: Input should be a valid number"),
    (body(temperature=2), "temperature: range: 0..1"),
    (body(tool_choice={"type": "any"}), "tool_choice may only be specified while providing tools."),
    (body(tools=[{"name": "f", "input_schema": {}}]), "tools: not supported by this version"),
    (body(output_config={"format": {"type": "json_schema"}}), "output_config.format: not supported by this version"),
    (body(stop_sequences="x"), "stop_sequences: Input should be a valid list"),
    (body(stop_sequences=[" "]), "stop_sequences: each stop sequence must contain non-whitespace"),
    (body(stop_sequences=["x" * 5000]), "stop_sequences: together at most"),
    (
        body(thinking={"type": "enabled", "budget_tokens": 100}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    (body(thinking={"type": "enabled", "budget_tokens": 2000}), "`max_tokens` must be greater than `thinking.budget_tokens`."),
    (body(output_config="x"), "output_config: Input should be an object"),
    (body(messages=user({"type": []})), "messages.0.content.0.type: Input should be a valid string"),
    (body(output_config={"effort": "huge"}), "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED, ids=lambda v: repr(v)[:40])
def test_refusals_in_the_apis_words(data: bytes, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(data, {})
    assert caught.value.status == 400
    assert caught.value.kind == "invalid_request_error"
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_the_new_version_refuses_sampling_and_the_old_one_passes_it_on(name: str) -> None:
    assert parse(body(**{name: 1}), {}).sampling == ((name, 1),)
    with pytest.raises(ApiError, match=f"{name}: Extra inputs are not permitted"):
        parse(body(**{name: 1}), NEW)


def test_unknown_optional_fields_and_betas_are_accepted() -> None:
    request = parse(body(metadata={"user_id": "u"}, brand_new={"x": 1}), NEW | {"anthropic-beta": "never-heard-2030-01-01"})
    assert request.messages == (Message("user", ({"type": "text", "text": "hi"},)),)


def test_what_never_reaches_the_model_is_dropped() -> None:
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "citations": None}
    request = parse(
        body(messages=user(block), system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]), {}
    )
    assert request.messages[0].content == ({"type": "text", "text": "a"},)
    assert request.system == ("s",)


def test_neighbours_of_one_role_are_merged_as_the_api_does() -> None:
    request = parse(body(messages=[USER, USER, {"role": "assistant", "content": "a"}, USER]), {})
    assert [(m.role, len(m.content)) for m in request.messages] == [("user", 2), ("assistant", 1), ("user", 1)]


def test_images_and_documents_pass_as_they_came() -> None:
    blocks = [
        {"type": "image", "source": PNG},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": PNG | {"media_type": "application/pdf"},
            "title": "t",
            "context": "c",
            "citations": {"enabled": True},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
        {"type": "text", "text": "look"},
    ]
    assert list(parse(body(messages=user(*blocks)), {}).messages[0].content) == blocks


def test_thinking_and_effort() -> None:
    request = parse(
        body(max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 2000}, output_config={"effort": "low"}), {}
    )
    assert (request.thinking, request.effort) == (Thinking("enabled", 2000), "low")


def test_threads_are_refused_with_the_code_that_tool_runners_recover_from() -> None:
    with pytest.raises(ApiError) as caught:
        parse(body(thread={"type": "create"}), NEW)
    assert caught.value.details == {"error_code": "thread_unsupported_request"}


@pytest.mark.parametrize("name", ["x-relayd-session", "x-ir-session-id", "content-encoding"])
def test_headers_that_would_change_the_answer_are_not_dropped(name: str) -> None:
    """A client of a sticky session sends only what is new: answering that alone would be wrong without a word."""
    with pytest.raises(ApiError, match="not supported by this version") as caught:
        parse(body(), {name: "gzip"})
    assert caught.value.status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "text", "role", "content", "source", "id"]), inner, max_size=4)
    ),
    max_leaves=12,
)


FIELDS = ["model", "max_tokens", "messages", "system", "stream", "thinking", "output_config", "stop_sequences", "tools", "top_p"]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_json_is_a_request_or_an_api_error(value: dict[str, Any]) -> None:
    """Alone, and as one wrong field in a request that is right otherwise, so that the later checks are reached too."""
    for data in (json.dumps(value).encode(), *(body(**{name: field}) for name, field in value.items())):
        with contextlib.suppress(ApiError):
            parse(data, {})


@given(json_values, st.dictionaries(st.sampled_from(["type", "text", "source", "content", "id", "input"]), json_values))
def test_any_content_is_a_request_or_an_api_error(content: Any, block: dict[str, Any]) -> None:
    for value in (content, [content], [block], [{"type": "image", "source": block}], [{"type": "tool_result", **block}]):
        with contextlib.suppress(ApiError):
            parse(body(messages=[{"role": "user", "content": value}]), {})


@given(st.binary(max_size=60))
def test_any_body_is_a_request_or_an_api_error(data: bytes) -> None:
    with pytest.raises(ApiError):
        parse(data, {})
