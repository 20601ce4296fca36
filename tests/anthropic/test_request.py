"""Requests: what the API refuses is refused in its words; what it accepts gets through as it came."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic import request as requests
from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import MessagesRequest, Thinking
from relayd.anthropic.tools import Choice, Tool
from relayd.errors import ApiError

NEW = {"anthropic-version": "2026-10-21"}
USER = {"role": "user", "content": "hi"}
OBJECT = {"type": "object"}
F = {"name": "f", "input_schema": OBJECT}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
CALL: dict[str, Any] = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]}
ANSWERED = {"role": "user", "content": [RESULT | {"tool_use_id": "toolu_2"}, RESULT]}
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}


DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}


def parse(data: bytes, headers: dict[str, str]) -> MessagesRequest:
    return requests.parse(requests.document(data), headers.get("anthropic-version", requests.VERSION_OLD))


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
    (body(max_tokens=-1), "max_tokens: Input should be greater than or equal to 0"),
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
    (body(messages=user({"type": "text", "text": " \n"})), "messages: text content blocks must contain non-whitespace text"),
    (body(messages=[{"role": "user", "content": "\ufeff\u2028\ufeff"}]), "messages: text content blocks must contain non-white"),
    (body(messages=[{"role": "user", "content": "\t"}]), "messages: text content blocks must contain non-whitespace text"),
    (body(model=""), "model: String should have at least 1 character"),
    (body(messages=["hi"]), "messages.0: Input should be an object"),
    (body(messages=[USER | {"content": 3}]), "messages.0.content: Input should be a valid list"),
    (body(messages=user({"text": "x"})), "messages.0.content.0.type: Field required"),
    (body(messages=user({"type": "text"})), "messages.0.content.0.text.text: Field required"),
    (body(messages=user({"type": "image"})), "messages.0.content.0.image.source: Field required"),
    (
        body(messages=user({"type": "image", "source": {"type": "file", "file_id": "file_1"}})),
        "messages.0.content.0.image.source.file_id: a file can be named in a call of /v1/messages or a batch only",
    ),
    (
        body(messages=user({"type": "document", "source": PNG})),
        "messages.0.content.0.document.source.base64.media_type: Input should be 'application/pdf'",
    ),
    (
        body(messages=user(*[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5)),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (body(messages=[CALL, ANSWERED]), "messages.1.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_2."),
    (
        body(messages=[CALL, {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]}]),
        "messages.0: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
    ),
    (
        body(messages=[CALL, {"role": "user", "content": [RESULT, RESULT]}]),
        "messages.1.content.1: each tool_use must have a single result. Found multiple `tool_result` blocks with id: toolu_1",
    ),
    (
        body(messages=[CALL | {"content": CALL["content"] * 2}, {"role": "user", "content": [RESULT]}]),
        "messages.0.content.1: `tool_use` ids must be unique",
    ),
    (
        body(thinking={"type": "adaptive", "display": "loud"}),
        "thinking.adaptive.display: Input should be 'summarized', 'omitted' or 'updates'",
    ),
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
    (body(tools={}), "tools: Input should be a valid list"),
    (body(tools=["f"]), "tools.0: Input should be an object"),
    (body(tools=[{"input_schema": OBJECT}]), "tools.0.custom.name: Field required"),
    (body(tools=[{"name": "f"}]), "tools.0.custom.input_schema: Field required"),
    (body(tools=[{"name": "f", "input_schema": {}}]), "tools.0.custom.input_schema.type: Field required"),
    (
        body(tools=[{"name": "f", "input_schema": {"type": "string"}}]),
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    (body(tools=[F, F]), "tools: Tool names must be unique."),
    (body(tools=[F | {"name": "a b"}]), "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
    (body(tools=[F | {"name": "a" * 129}]), "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
    (body(tools=[F | {"name": "a" * 120}]), "tools.0.custom.name: relayd supports tool names of up to 112 characters"),
    (body(tools=[F | {"description": 3}]), "tools.0.custom.description: Input should be a valid string"),
    (
        body(tools=[F, {"type": "code_execution_20250825", "name": "x"}, {"type": "computer_20250124", "name": "computer"}]),
        "tools: not supported by relayd: code_execution_20250825, computer_20250124. "
        "Only custom tools, web_search and web_fetch can be used.",
    ),
    (
        body(tools=[{"type": "web_search_20260318", "name": "search"}]),
        "tools.0.web_search_20260318.name: Input should be 'web_search'",
    ),
    (body(tools=[{"type": "web_search_20260318"}]), "tools.0.name: Field required"),
    (
        body(tools=[F | {"name": "web_search"}, {"type": "web_search_20260318", "name": "web_search"}]),
        "tools: Tool names must be unique.",
    ),
    (body(tools=[{"type": 3, "name": "web_search"}]), "tools.0.type: Input should be a valid string"),
    (body(tools=[F], tool_choice="any"), "tool_choice: Input should be an object"),
    (body(tools=[F], tool_choice={}), "tool_choice.type: Field required"),
    (body(tools=[F], tool_choice={"type": "some"}), "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'"),
    (body(tools=[F], tool_choice={"type": "tool"}), "tool_choice.tool.name: Field required"),
    (body(tools=[F], tool_choice={"type": "tool", "name": "g"}), "tool_choice: Tool 'g' not found in provided tools"),
    (
        body(tools=[F], tool_choice={"type": "any", "disable_parallel_tool_use": "no"}),
        "tool_choice.disable_parallel_tool_use: Input should be a valid boolean",
    ),
    (body(output_config={"format": {"type": "json_schema"}}), "output_config.format.schema: Field required"),
    (body(output_config={"format": {"type": "xml"}}), "output_config.format.type: Input should be 'json_schema'"),
    (body(output_format={"schema": {}}), "output_format.type: Field required"),
    (body(mcp_servers=[{"type": "url"}]), "mcp_servers: not supported by relayd"),
    (
        body(messages=[{"role": "system", "content": "x"}, USER]),
        "messages.0: use the top-level 'system' parameter for the initial",
    ),
    (
        body(messages=[USER, {"role": "system", "content": "x"}, USER]),
        "messages: a system message must be followed by an assistant message or end the conversation",
    ),
    (
        body(messages=[USER, {"role": "system", "content": [{"type": "image", "source": PNG}]}]),
        "messages.1.content: system messages may hold text blocks only",
    ),
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
    odd = {"brand_new": {"x": 1}, "bad name\r\n": 1, "service_tier": None, "output_config": {"task_budget": 3}}
    request = parse(body(metadata={"user_id": "u"}, **odd), NEW | {"anthropic-beta": "never-heard-2030-01-01"})
    assert request.ignored == ("metadata", "brand_new", "output_config.task_budget")
    assert request.messages == (Message("user", ({"type": "text", "text": "hi"},)),)


def test_what_never_reaches_the_model_is_dropped() -> None:
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "citations": None}
    request = parse(
        body(messages=user(block), system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]), {}
    )
    assert request.messages[0].content == ({"type": "text", "text": "a"},)
    assert request.system == ("s",)
    assert request.ignored == ("cache_control",)


def test_tools_and_choices_are_typed() -> None:
    tools = [F | {"description": "does", "strict": True, "cache_control": {"type": "ephemeral"}}, F | {"name": "g", "type": None}]
    choice = {"type": "tool", "name": "g", "disable_parallel_tool_use": True}
    request = parse(body(tools=tools, tool_choice=choice), {})
    assert request.tools == (Tool("f", "does", OBJECT), Tool("g", "", OBJECT))
    assert request.choice == Choice("tool", "g", parallel=False)
    assert request.ignored == ("tools.strict", "cache_control")


def test_structured_output_has_two_spellings() -> None:
    format_ = {"type": "json_schema", "schema": OBJECT}
    assert parse(body(output_config={"format": format_}), {}).schema == OBJECT
    assert parse(body(output_format=format_), {}).schema == OBJECT


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


@pytest.mark.parametrize(
    ("content", "tools", "may_cite"),
    [
        ([{"type": "text", "text": "a"}], [], False),
        ([{"type": "text", "text": "a"}], [{"type": "web_fetch_20260309", "name": "web_fetch"}], True),
        ([DOCUMENT], [], False),
        ([DOCUMENT | {"citations": {"enabled": True}}], [], True),
    ],
)
def test_what_an_answer_may_cite(content: list[dict[str, Any]], tools: list[dict[str, Any]], may_cite: bool) -> None:
    found = parse(body(messages=[{"role": "user", "content": content}], tools=tools), {})
    assert found.may_cite is may_cite
    assert list(found.server_tools) == tools
