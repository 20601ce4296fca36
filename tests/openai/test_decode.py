"""A chat request as the Messages request that it becomes, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.errors import ApiError
from relayd.openai import decode

USER = {"role": "user", "content": "hi"}
ASKED = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
PDF = "data:application/pdf;base64,QUJD"


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **fields}


def to_messages(value: dict[str, Any]) -> dict[str, Any]:
    return decode.translate(value).value


def ignored(value: dict[str, Any]) -> tuple[str, ...]:
    return decode.translate(value).ignored


def is_emulated(value: dict[str, Any]) -> bool:
    return "response_format" in decode.translate(value).emulated


def wants_usage(value: dict[str, Any]) -> bool:
    return decode.translate(value).with_usage


def block(part: dict[str, Any]) -> Any:
    """What one part of a user's message becomes."""
    return to_messages(chat(messages=[{"role": "user", "content": [part]}]))["messages"][0]["content"][0]


def test_the_least_request_gets_a_limit_and_no_more() -> None:
    assert to_messages(chat()) == {
        "model": "m",
        "max_tokens": decode.MAX_TOKENS_DEFAULT,
        "messages": [ASKED],
        "stream": False,
        "temperature": None,
        "top_p": None,
    }


def test_system_and_developer_messages_are_one_system_prompt_wherever_they_stand() -> None:
    parts = [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]
    messages = [{"role": "system", "content": "a"}, USER, {"role": "developer", "content": parts}]
    found = to_messages(chat(messages=messages))
    assert (found["system"], found["messages"]) == ("a\nbc", [ASKED])
    assert "system" not in to_messages(chat(messages=[{"role": "system", "content": None}, USER]))


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_completion_tokens": None, "max_tokens": 5}, 5),
    ],
)
def test_the_newer_name_of_the_limit_comes_first(fields: dict[str, Any], limit: int) -> None:
    assert to_messages(chat(**fields))["max_tokens"] == limit


def test_a_wrong_limit_is_refused_and_not_replaced() -> None:
    with pytest.raises(ApiError, match="max_tokens: Input should be greater than or equal to 1"):
        to_messages(chat(max_completion_tokens=0, max_tokens=5))


@pytest.mark.parametrize(
    ("given", "becomes", "named"),
    [(0.5, 0.5, False), (1, 1, False), (1.5, 1, True), (2, 1, True), (2.5, 2.5, False), (True, True, False)],
)
def test_a_temperature_that_only_openai_has_becomes_the_highest_and_is_named(given: Any, becomes: Any, named: bool) -> None:
    value = chat(temperature=given)
    assert to_messages(value)["temperature"] == becomes
    assert ("temperature" in ignored(value)) is named


def test_a_stop_may_be_one_text_or_many_or_nothing() -> None:
    assert to_messages(chat(stop="END"))["stop_sequences"] == ["END"]
    assert to_messages(chat(stop=["a", "b"]))["stop_sequences"] == ["a", "b"]
    assert "stop_sequences" not in to_messages(chat(stop=None))
    assert "stop_sequences" not in to_messages(chat(stop=[]))


def test_what_means_nothing_to_these_models_is_named() -> None:
    value = chat(seed=1, user=None, logprobs=False, n=1, reasoning_effort="most")
    assert ignored(value) == ("seed", "logprobs", "reasoning_effort")
    assert ignored(chat(reasoning_effort="high")) == ignored(chat()) == ()


def test_tool_calls_and_results_keep_their_order_and_ids() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    bare = {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}}
    answer = {"role": "assistant", "content": "so", "tool_calls": [call, bare]}
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]}
    said, got = to_messages(chat(messages=[answer, result]))["messages"]
    assert said["content"] == [
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
    ]
    assert got == {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "r"}]}
    silent = to_messages(chat(messages=[USER, {"role": "assistant", "content": ""}]))
    assert silent["messages"] == [ASKED]


def test_parts_become_blocks() -> None:
    assert block({"type": "text", "text": "t"}) == {"type": "text", "text": "t"}
    assert block({"type": "refusal", "refusal": "no"}) == {"type": "text", "text": "no"}
    inline = block({"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}})
    assert inline["source"] == {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    away = block({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})
    assert away["source"] == {"type": "url", "url": "https://example.com/a.png"}
    named = block({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}})
    assert (named["title"], named["source"]["data"]) == ("a.pdf", "QUJD")
    assert "title" not in block({"type": "file", "file": {"file_data": PDF}})


def test_tools_are_passed_on_with_their_choice() -> None:
    plain = {"name": "look", "description": "d", "input_schema": {"type": "object"}}
    assert to_messages(chat(tools=[TOOL]))["tools"] == [plain]
    strict = {"type": "function", "function": {"name": "x", "strict": True}}
    (found,) = to_messages(chat(tools=[strict]))["tools"]
    assert (found["input_schema"], found["strict"]) == ({"type": "object", "properties": {}}, True)


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, {"type": "tool", "name": "look"}),
        ({"parallel_tool_calls": True}, {"type": "auto"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_the_choice_of_a_tool(fields: dict[str, Any], choice: dict[str, Any]) -> None:
    assert to_messages(chat(tools=[TOOL], **fields))["tool_choice"] == choice


def test_a_choice_without_tools_goes_on_only_if_the_api_refuses_it() -> None:
    assert "tool_choice" not in to_messages(chat(tool_choice="auto"))
    assert "tool_choice" not in to_messages(chat(tool_choice="none", tools=[]))
    assert to_messages(chat(tool_choice="required"))["tool_choice"] == {"type": "any"}


def test_formats_and_efforts() -> None:
    schema = {"type": "object", "properties": {}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    found = to_messages(chat(response_format=wanted, reasoning_effort="minimal"))
    assert found["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}
    without = to_messages(chat(response_format={"type": "json_schema", "json_schema": {"name": "n"}}))
    assert without["output_config"]["format"]["schema"] == {"type": "object"}
    by_words = chat(response_format={"type": "json_object"})
    assert to_messages(by_words)["system"] == decode.JSON_OBJECT
    assert is_emulated(by_words)
    assert not is_emulated(chat(response_format=wanted))
    assert "output_config" not in to_messages(chat(response_format={"type": "text"}))


def test_counts_at_the_end_of_a_stream_are_asked_for() -> None:
    assert wants_usage(chat(stream_options={"include_usage": True}))
    assert not wants_usage(chat(stream_options={"include_usage": False}))
    assert not wants_usage(chat())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n": 2}, "n: must be 1"),
        ({"n": True}, "n: must be 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": ["x"]}, "messages.0"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "file.file_data: must be"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}]}, "messages.0.tool_calls.0.id"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"tools": [{"function": {"name": "x", "parameters": []}}]}, "tools.0.function.parameters"),
    ],
)
def test_what_cannot_be_said_in_messages_is_refused_by_its_place(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words.replace(".", r"\.")) as caught:
        to_messages(chat(**fields))
    assert caught.value.status == 400
