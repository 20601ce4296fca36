"""What chats hold every day and the Messages API refuses: it is honoured, or named."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from relayd.anthropic import conversation_rules as rules
from relayd.anthropic.answer import Answer, Usage
from relayd.anthropic.request import MessagesRequest, parse
from relayd.errors import ApiError
from relayd.openai import decode
from relayd.openai.encode import ChatEncoder

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,aGk="}}
USER = {"role": "user", "content": "hi"}


def translated(*messages: dict[str, Any], **fields: Any) -> tuple[MessagesRequest, decode.Translation]:
    """A chat request as the checked request that it becomes, and what is said of it."""
    found = decode.translate({"model": "claude-sonnet-4-6", "messages": list(messages), **fields})
    return parse(found.value, "2023-06-01"), found


def call(name: str, arguments: str = "{}") -> dict[str, Any]:
    """A tool call of the history."""
    return {"id": name, "type": "function", "function": {"name": "get", "arguments": arguments}}


def said(*calls: dict[str, Any], content: Any = None) -> dict[str, Any]:
    """An answer of the history."""
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(name: str, content: Any) -> dict[str, Any]:
    """A tool's result."""
    return {"role": "tool", "tool_call_id": name, "content": content}


@pytest.mark.parametrize("seed", range(100))
def test_ids_of_any_kind_keep_calls_and_results_together(seed: int) -> None:
    """Two rounds with `call_0` got a 200: the second call and its result were gone. Each result here names its call."""
    chance = random.Random(seed)
    messages, number = [USER], 0
    for _ in range(chance.randint(1, 5)):
        ids = [chance.choice(("call_0", "call_0_2", "functions.get:0", "", "a b")) for _ in range(chance.randint(1, 3))]
        numbers = range(number, number + len(ids))
        messages.append(said(*(call(i, json.dumps({"n": n})) for i, n in zip(ids, numbers, strict=True))))
        messages += [result(i, str(n)) for i, n in zip(ids, numbers, strict=True)]
        number += len(ids)
    request, _ = translated(*messages)
    rules.check(request.messages)
    blocks = [block for message in request.messages for block in message.content]
    given = {b["id"]: b["input"]["n"] for b in blocks if b["type"] == "tool_use"}
    assert len(given) == number
    assert {b["tool_use_id"]: int(b["content"]) for b in blocks if b["type"] == "tool_result"} == given


def test_an_id_that_will_do_stays() -> None:
    """A parked turn is found by it."""
    request, _ = translated(USER, said(call("toolu_01abc")), result("toolu_01abc", "x"))
    assert request.tool_results[0]["tool_use_id"] == "toolu_01abc"


def test_a_picture_in_a_tools_message_reaches_the_model() -> None:
    """It was dropped, and nothing named."""
    request, _ = translated(USER, said(call("a")), result("a", [{"type": "text", "text": "see"}, PICTURE]))
    kinds = [block["type"] for block in request.tool_results[0]["content"]]
    assert kinds == ["text", "image"]
    assert request.tool_results[0]["content"][1]["source"]["media_type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("messages", "roles"),
    [
        ([{"role": "user", "content": [{"type": "text", "text": ""}, PICTURE]}], ["user"]),
        ([USER, {"role": "assistant", "content": None}, USER], ["user"]),
        ([USER, {"role": "assistant", "content": ""}, USER], ["user"]),
        ([USER, said(call("a"), content="\n\n"), result("a", None)], ["user", "assistant", "user"]),
        ([USER, said(call("a"), content=[]), result("a", [])], ["user", "assistant", "user"]),
        ([{"role": "user", "content": " "}, USER], ["user"]),
    ],
)
def test_what_says_nothing_is_left_out(messages: list[dict[str, Any]], roles: list[str]) -> None:
    """Such texts got 400: `text content blocks must be non-empty`."""
    request, _ = translated(*messages)
    assert [m.role for m in request.messages] == roles
    assert all(b.get("text") != "" for m in request.messages for b in m.content)


def test_stop_sequences_of_white_space_are_named_and_the_others_work() -> None:
    """OpenAI takes them, the Messages API does not: a call with one failed."""
    request, told = translated(USER, stop=["\n", "END", ""])
    assert request.stop_sequences == ("END",)
    assert told.ignored == ("stop.0", "stop.2")


@pytest.mark.parametrize(("arguments", "exact"), [('{"a": 1', False), ("[1]", False), ("null", False), ("", True), (" ", True)])
def test_broken_arguments_of_the_past_are_no_error(arguments: str, exact: bool) -> None:
    """A model wrote them; the client can only send them back."""
    request, told = translated(USER, said(call("a", arguments)), result("a", "x"))
    given = request.messages[1].content[0]["input"]
    assert given == ({} if exact else {"arguments": arguments})
    assert told.inexact == (() if exact else ("messages.1.tool_calls.0",))


def test_functions_of_before_tools_work_as_tools() -> None:
    """They were ignored, and the role `function` got 400."""
    function = {"name": "get", "description": "Gets.", "parameters": {"type": "object"}}
    request, told = translated(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "get", "arguments": '{"n": 1}'}},
        {"role": "function", "name": "get", "content": "one"},
        {"role": "assistant", "content": None, "function_call": {"name": "get", "arguments": '{"n": 2}'}},
        {"role": "function", "name": "get", "content": "two"},
        functions=[function],
        function_call={"name": "get"},
    )
    assert [t.name for t in request.tools] == ["get"]
    assert (request.choice.kind, request.choice.name, request.choice.parallel) == ("tool", "get", False)
    results = [b for m in request.messages for b in m.content if b["type"] == "tool_result"]
    assert [b["content"] for b in results] == ["one", "two"]
    assert told.is_legacy
    assert not told.ignored


def test_the_answer_to_functions_calls_one() -> None:
    """Its clients read `function_call`, whole and in a stream."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"n": 1}}
    answer = Answer("msg_1", "m", (block,), "tool_use", Usage())
    encoder = ChatEncoder("msg_1", "m", 0, False, is_legacy=True)
    choice = json.loads(encoder.whole(answer))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "get", "arguments": '{"n":1}'}
    assert choice["finish_reason"] == "function_call"
    streamed = encoder.block(block) + encoder.block(block) + encoder.finish(answer)
    assert streamed.count(b'"name":"get"') == 1
    assert b'"finish_reason":"function_call"' in streamed


def test_instructions_alone_are_the_question() -> None:
    """A chat of a system message alone got 400."""
    request, told = translated({"role": "system", "content": "Say hello."})
    assert (request.system, request.messages[0].role) == ((), "user")
    assert told.emulated == ("messages.0.role",)


@pytest.mark.parametrize(("model", "given"), [("claude-opus-5", ()), ("claude-sonnet-4-6", (("temperature", 0.2),))])
def test_sampling_is_left_out_and_named_for_models_that_refuse_it(model: str, given: tuple[Any, ...]) -> None:
    """Editors send a temperature with each call."""
    request, told = translated(USER, model=model, temperature=0.2)
    assert request.sampling == given
    assert told.ignored == (() if given else ("temperature",))


def test_thinking_is_passed_on() -> None:
    """As Anthropic's own layer takes it."""
    request, told = translated(USER, thinking={"type": "enabled", "budget_tokens": 2000}, reasoning_effort="max")
    assert (request.thinking.kind, request.thinking.budget, request.effort) == ("enabled", 2000, "max")
    assert not told.ignored


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "input_audio: these models"),
        ({"messages": [USER], "modalities": ["text", "audio"]}, "modalities: these models give no audio"),
    ],
)
def test_audio_is_refused_by_name(fields: dict[str, Any], error: str) -> None:
    """It got an error about the types of parts."""
    with pytest.raises(ApiError, match=error):
        decode.translate({"model": "m", **fields})


def test_errors_have_the_names_of_the_chats_fields() -> None:
    """A client that sent `stop` read of `stop_sequences`."""
    with pytest.raises(ApiError) as caught:
        translated(USER, stop=[5])
    assert decode.renamed(caught.value.message) == "stop.0: Input should be a valid string"
