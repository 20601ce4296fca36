"""A Responses request as the Messages request that it becomes: honoured, named, or refused, never another conversation."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from relayd.anthropic import conversation_rules as rules
from relayd.anthropic.request import MessagesRequest, parse
from relayd.errors import ApiError
from relayd.openai import reasoning, responses
from tests import shapes

OLD, NEW = "claude-sonnet-4-6", "claude-opus-5-5"  # without and with messages of the role `system`
HI = {"role": "user", "content": "hi"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
GET = {"type": "function", "name": "get", "parameters": {"type": "object"}}


def translated(given: Any = "hi", **fields: Any) -> tuple[MessagesRequest, responses.Translation]:
    """A request as the checked request that it becomes, and what is said of it."""
    found = responses.translate({"model": OLD, "input": given, **fields})
    return parse(found.value, "2023-06-01"), found


def called(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "get", "arguments": "{}", **more}


def result(name: str, output: Any = "x") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": name, "output": output}


def said(request: MessagesRequest) -> list[tuple[str, list[str]]]:
    """Roles, and the kinds of their blocks."""
    return [(message.role, [block["type"] for block in message.content]) for message in request.messages]


def test_a_text_is_a_question_and_instructions_are_the_system_prompt() -> None:
    request, told = translated("hello", instructions="Be brief.")
    assert (request.system, request.messages[0].content[0]["text"]) == (("Be brief.",), "hello")
    assert (told.ignored, told.emulated, told.inexact) == ((), (), ())
    assert request.max_tokens == responses.OUTPUT_MAX_DEFAULT


def test_flat_items_become_turns_and_thinking_comes_back_as_it_was() -> None:
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": reasoning.sealed(THOUGHT)}
    items = [HI, sealed, called("a"), called("b"), result("a"), result("b"), HI]
    request, told = translated(items, tools=[GET])
    assert said(request) == [
        ("user", ["text"]),
        ("assistant", ["thinking", "tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result", "text"]),
    ]
    assert request.messages[1].content[0] == THOUGHT
    assert (told.ignored, told.inexact) == ((), ())


@pytest.mark.parametrize("content", ["gAAAAA", None, reasoning.MARK + "!", reasoning.MARK + "e30="])
def test_reasoning_of_another_maker_is_left_out_and_named(content: str | None) -> None:
    request, told = translated([HI, {"type": "reasoning", "summary": [], "encrypted_content": content}, called("a"), result("a")])
    assert said(request)[1] == ("assistant", ["tool_use"])
    assert told.ignored == ("input.1",)


def test_results_come_first_and_what_had_to_move_is_named() -> None:
    """Who says something before a call's result came got 400."""
    request, told = translated([HI, called("a"), {"role": "user", "content": "wait"}, result("a")])
    assert said(request)[2] == ("user", ["tool_result", "text"])
    assert told.inexact == ("input.2", "input.3")


@pytest.mark.parametrize(
    ("model", "roles"), [(OLD, ["user", "assistant", "user"]), (NEW, ["user", "assistant", "user", "system"])]
)
def test_instructions_stay_where_they_are_if_the_model_takes_them_there(model: str, roles: list[str]) -> None:
    note = {"role": "developer", "content": "now in French"}
    items = [{"role": "developer", "content": "first"}, HI, {"role": "assistant", "content": "hello"}, HI, note]
    request, told = translated(items, model=model)
    assert [message.role for message in request.messages] == roles
    assert request.system == (("first",) if model == NEW else ("first", "now in French"))
    assert told.inexact == (() if model == NEW else ("input.4",))


def test_instructions_after_an_answer_alone_are_a_question() -> None:
    request, told = translated([HI, {"role": "assistant", "content": "hello"}, {"role": "system", "content": "go on"}])
    assert said(request)[-1] == ("user", ["text"])
    assert told.inexact == ("input.2",)


def test_a_namespace_is_in_the_names_and_custom_tools_take_a_text() -> None:
    request, told = translated(
        [
            HI,
            called("a", namespace="n"),
            {"type": "custom_tool_call", "call_id": "b", "name": "code", "input": "1"},
            *(result("a"), {"type": "custom_tool_call_output", "call_id": "b", "output": "2"}),
        ],
        tools=shapes.RESPONSE_TOOLS,
    )
    names = [tool.name for tool in request.tools]
    assert names == ["get", "n__get", "code", "local_shell", "apply_patch", "shell"]
    calls = [(block["name"], block["input"]) for block in request.messages[1].content]
    assert calls == [("n__get", {}), ("code", {"input": "1"})]
    assert "start: /.+/" in request.tools[2].description
    assert request.tools[1].description == "More."
    assert "tools.web_search" in told.ignored
    assert set(told.emulated) == {"tools.custom", "tools.local_shell", "tools.apply_patch", "tools.shell"}


@pytest.mark.parametrize(
    ("choice", "kind", "name"),
    [
        ("required", "any", ""),
        ("none", "none", ""),
        ({"type": "function", "name": "get", "namespace": "n"}, "tool", "n__get"),
        ({"type": "custom", "name": "code"}, "tool", "code"),
        ({"type": "shell"}, "tool", "shell"),
    ],
)
def test_choices(choice: Any, kind: str, name: str) -> None:
    request, _ = translated(tools=shapes.RESPONSE_TOOLS, tool_choice=choice, parallel_tool_calls=False)
    assert (request.choice.kind, request.choice.name) == (kind, name)
    assert request.choice.parallel == (kind == "none")


def test_a_choice_among_few_tools_leaves_out_the_others() -> None:
    few = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "code"}]}
    request, _ = translated(tools=shapes.RESPONSE_TOOLS, tool_choice=few)
    assert ([tool.name for tool in request.tools], request.choice.kind) == (["code"], "any")


@pytest.mark.parametrize(
    ("model", "asked", "thinking", "effort", "ignored"),
    [
        (OLD, {"summary": "auto"}, ("adaptive", "summarized"), "", ()),
        (OLD, {"effort": "high"}, ("adaptive", ""), "high", ()),
        (OLD, {"effort": "minimal"}, ("absent", ""), "low", ()),
        (NEW, {"effort": "low"}, ("absent", ""), "low", ()),
        (NEW, {"effort": "none"}, ("absent", ""), "", ("reasoning.effort",)),
        (NEW, {"effort": "ultra", "summary": "detailed"}, ("adaptive", "summarized"), "", ("reasoning.effort",)),
        ("claude-sonnet-4-5", {"summary": "auto"}, ("absent", ""), "", ("reasoning.summary",)),
    ],
)
def test_reasoning(model: str, asked: Any, thinking: tuple[str, str], effort: str, ignored: tuple[str, ...]) -> None:
    request, told = translated(model=model, reasoning=asked)
    assert ((request.thinking.kind, request.thinking.display), request.effort) == (thinking, effort)
    assert told.ignored == ignored


def test_thinking_is_not_asked_for_where_the_api_refuses_it() -> None:
    for more in ({"tools": [GET], "tool_choice": "required"}, {"temperature": 0.5}):
        request, told = translated(reasoning={"effort": "high", "summary": "auto"}, **more)
        assert request.thinking.kind == "absent"
        assert told.ignored == ("reasoning.summary",)


def test_what_asks_for_nothing_is_not_named_and_what_does_is() -> None:
    plain = {"truncation": "disabled", "top_logprobs": 0, "service_tier": "auto", "background": False, "user": None}
    assert translated(**plain, include=["reasoning.encrypted_content"])[1].ignored == ()
    _, told = translated(truncation="auto", max_tool_calls=3, include=["message.output_text.logprobs"], text={"verbosity": "low"})
    assert told.ignored == ("truncation", "max_tool_calls", "text.verbosity", "message.output_text.logprobs")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"background": True}, "background: not supported"),
        ({"conversation": "conv_1"}, "conversation: not supported"),
        ({"prompt": {"id": "p"}}, "prompt: not supported"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0.type: 'item_reference' is not supported"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input.0.type: 'compaction' is not supported"),
        ({"tools": [{"type": "mcp", "server_url": "u"}]}, "tools.0: mcp: not supported"),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "tools.0.environment: only `local`"),
        ({"tool_choice": {"type": "web_search"}, "tools": [GET]}, "tool_choice.type: Input should be"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input.0.content.0.file_id: files"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input.0.content.0: input_audio: these models"),
    ],
)
def test_what_would_make_another_answer_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        responses.translate({"model": OLD, "input": "hi", **fields})
    assert caught.value.message.startswith(message)


def test_errors_have_the_names_of_this_shape() -> None:
    with pytest.raises(ApiError) as caught:
        translated(text={"format": {"type": "json_schema", "schema": {"type": 5}}})
    assert responses.renamed(caught.value.message).startswith("text.format.schema")


def test_files_are_pdfs_or_texts() -> None:
    text = base64.b64encode("naïve".encode()).decode()
    request, _ = translated([{"role": "user", "content": [{"type": "input_file", "file_data": f"data:text/csv;base64,{text}"}]}])
    assert request.messages[0].content[0]["source"]["data"] == "naïve"
    for data in ("data:application/zip;base64,aGk=", "data:text/csv;base64,/w==", "aGk="):
        with pytest.raises(ApiError, match="file_data"):
            translated([{"role": "user", "content": [{"type": "input_file", "file_data": data}]}])


@pytest.mark.parametrize("seed", range(50))
def test_any_flat_history_of_calls_is_a_conversation(seed: int) -> None:
    """Calls, results, words and notes of a client in any order that it can make: each result is with its call, once."""
    chance = random.Random(seed)
    items: list[dict[str, Any]] = [HI]
    made = 0
    for _ in range(chance.randint(1, 5)):
        ids = [chance.choice(("call_0", "c", "functions.get:0")) + str(chance.randint(0, 1)) for _ in range(chance.randint(1, 3))]
        items += [{"role": "assistant", "content": "so"}] * chance.randint(0, 1)
        items += [called(name, arguments=json.dumps({"n": made + n})) for n, name in enumerate(ids)]
        told = [result(name, str(made + n)) for n, name in enumerate(ids)]
        others = chance.sample([HI, {"role": "developer", "content": "note"}], chance.randint(0, 2))
        for other in others:
            told.insert(chance.randint(0, len(told)), other)
        items += told
        made += len(ids)
    request, _ = translated(items, model=chance.choice((OLD, NEW)))
    rules.check(request.messages)
    blocks = [block for message in request.messages for block in message.content]
    calls = {b["id"]: b["input"]["n"] for b in blocks if b["type"] == "tool_use"}
    results = {b["tool_use_id"]: int(b["content"]) for b in blocks if b["type"] == "tool_result"}
    assert len(calls) == made
    assert results == calls


def test_every_kind_of_part_and_item_has_its_place() -> None:
    found = responses.translate(shapes.WHOLE_RESPONSE)
    request = parse(found.value, "2023-06-01")
    asked, called_, told = request.messages
    assert [block["type"] for block in asked.content] == ["text", "image", "document", "document", "document"]
    assert [block.get("name") for block in called_.content] == [None, "n__get", "code", "local_shell", "shell", "apply_patch"]
    assert called_.content[3]["input"] == {"command": ["ls"]}
    assert [block["type"] for block in told.content] == ["tool_result"] * 5
    results = [block["content"] for block in told.content[:5]]
    assert [part["type"] for part in results[0]] == ["text", "image", "document", "document", "document"]
    assert results[1:] == ["x", "x", "a\nexit: timeout", "no"]
    assert told.content[4]["is_error"] is True
    assert request.system == ("be brief", "be kind", "now")  # Sonnet 5 takes no messages of the role
    assert found.inexact == ("input.14",)
    assert "input.2" in found.ignored
    assert {"input.detail", "tools.strict", "truncation", "stream_options.include_obfuscation"} <= set(found.ignored)
    assert responses.translate({"model": OLD, "input": [{"role": "user", "content": [{"type": "refusal", "refusal": "no"}]}]})


def test_searches_of_another_provider_are_left_out_and_named() -> None:
    request, told = translated([HI, {"type": "web_search_call", "id": "ws_1"}, {"role": "assistant", "content": "so"}, HI])
    assert said(request) == [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])]
    assert told.ignored == ("input.1",)


def test_thinking_that_led_to_nothing_is_left_out_and_named() -> None:
    """The API refuses an answer that ends in thinking; a client may hold one that was cut off."""
    cut = {"type": "reasoning", "summary": [], "encrypted_content": reasoning.sealed(THOUGHT)}
    request, told = translated([HI, {"role": "assistant", "content": "so"}, cut, HI])
    assert said(request)[1] == ("assistant", ["text"])
    assert told.ignored == ("input.2",)
    assert said(translated([HI, cut, HI])[0]) == [("user", ["text", "text"])]


@pytest.mark.parametrize("content", ["", "  ", [], [{"type": "input_text", "text": ""}], None])
def test_what_says_nothing_is_left_out(content: Any) -> None:
    request, _ = translated([{"role": "user", "content": content}, HI])
    assert [block["text"] for block in request.messages[0].content] == ["hi"]
