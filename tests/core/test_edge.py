"""The edge: whatever a client says, it gets an answer in its API's shape, or a process that can be started and told.

Through a real `Relay`, so that what is refused late shows. Each story is one that happened, and its kind is drawn below.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.anthropic import request as requests
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.launch_keys import load_keys
from relayd.core.session.states import State
from relayd.http.messages import HttpRequest
from tests import shapes
from tests.core.test_pool_and_relay import HEADERS, World
from tests.shapes import ASK

MESSAGES, CHAT, COUNT = "/v1/messages", "/v1/chat/completions", "/v1/messages/count_tokens"
RESPONSES = "/v1/responses"
DYING = (State.KILLING, State.REAPING)
STRING_MAX_BYTES = 128 * 1024  # Linux's MAX_ARG_STRLEN, of one argument or variable with its final NUL


def told(world: World, client: int) -> tuple[int, Any, dict[str, str]] | None:
    """The whole answer that a client got, if it got one."""
    found = [o for o in world.orders if isinstance(o, do.Respond) and o.client == client]
    assert len(found) <= 1
    return (found[0].status, json.loads(found[0].body), dict(found[0].headers)) if found else None


def post(body: bytes, path: str = MESSAGES, headers: dict[str, str] | None = None, **flags: Any) -> tuple[World, int]:
    """A relay without processes that has got one request, and the client's number."""
    world = World(idle=0, **flags)
    world.clients += 1
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", path, "", HEADERS | (headers or {}), body)))
    return world, world.clients


def refusal(body: Any, path: str = MESSAGES) -> tuple[int, str]:
    """Status and message of a request that must be refused before any process is touched."""
    world, client = post(body if isinstance(body, bytes) else json.dumps(body).encode(), path)
    assert not world.relay.pool.sessions
    answer = told(world, client)
    assert answer is not None, "the request was taken"
    return answer[0], answer[1]["error"]["message"]


def survived(body: bytes, path: str = MESSAGES, headers: dict[str, str] | None = None, **flags: Any) -> int:
    """Send it; see that every order can be carried out and every answer read. The status, 200 for a call that was taken."""
    world, client = post(body, path, headers, **flags)
    answer = told(world, client)
    if answer is not None:
        _check_answer(answer, path)
        assert not world.relay.pool.sessions
        _check_orders(world)
        return answer[0]
    for _ in range(world.config.answer_retries + 1):  # an answer that is not what was demanded is asked for again
        world.boot()
        if world.relay.calls:
            world.finish(world.slot_of(client), '{"a": 1}')
        for slot in [s.slot for s in world.relay.pool.sessions.values() if s.state in DYING]:
            world.die(slot)
    _check_orders(world)
    assert not world.relay.calls
    return 200


def _check_answer(answer: tuple[int, Any, dict[str, str]], path: str) -> None:
    status, body, headers = answer
    assert status == 200 or 400 <= status < 500, body
    assert all(name.isascii() and value.isascii() and value.isprintable() for name, value in headers.items())
    if status == 200:
        assert path == COUNT
        return
    error = body["error"]
    assert isinstance(error["message"], str)
    assert len(error["message"]) < 5000
    if path in (CHAT, RESPONSES):
        assert set(error) == {"message", "type", "param", "code"}
    else:
        assert (body["type"], body["request_id"]) == ("error", headers["request-id"])


def _check_orders(world: World) -> None:
    for order in world.orders:
        if isinstance(order, do.SpawnSlot):
            _check_launch(order.launch.argv, order.launch.env)
        elif isinstance(order, do.HandOver):
            assert all(isinstance(json.loads(line), dict) for line in order.transcript.splitlines())
        elif isinstance(order, do.Log):
            assert "met a bug" not in order.text
            assert all(str(v).isprintable() and len(str(v)) < 1000 for v in (order.text, *order.fields.values()))
    for session in world.relay.pool.sessions.values():
        assert str(session.spec.key).isprintable()


def _check_launch(argv: tuple[str, ...], env: dict[str, str]) -> None:
    for text in (*argv, *(f"{name}={value}" for name, value in env.items())):
        assert "\0" not in text
        assert len(os.fsencode(text)) < STRING_MAX_BYTES
    model = argv[argv.index("--model") + 1]
    assert not model.startswith("-")
    assert model.isascii()
    assert model.isprintable()


# Stories


@pytest.mark.parametrize("count", ["1e20", "1e308", str(2**63), "9" * 300, str(2**64), "10000001", "-1e20"])
@pytest.mark.parametrize("path", [MESSAGES, CHAT, COUNT])
def test_a_count_of_any_width_is_refused(path: str, count: str) -> None:
    """`"max_tokens": 1e20` ended the daemon: an integer wider than the JSON writer takes, met while a process was started."""
    body = b'{"model":"m","max_tokens":%s,"messages":[{"role":"user","content":"x"}]}' % count.encode()
    status, message = refusal(body, path)
    assert status == 400
    assert message.startswith("max_tokens: Input should be ")


@pytest.mark.parametrize("budget", [1e20, 2**63, 2**64 - 1])
def test_a_thinking_budget_of_any_width_is_refused(budget: float) -> None:
    """Beside `max_tokens: 1e20` stood the same for the budget: its way to the environment was as short."""
    body = ASK | {"max_tokens": 9_000_000, "thinking": {"type": "enabled", "budget_tokens": budget}}
    assert refusal(body) == (400, "thinking.enabled.budget_tokens: Input should be less than or equal to 10000000")


@pytest.mark.parametrize(
    "model",
    [
        "a\0b",
        "-x",
        "--dangerously-skip-permissions",
        "a b",
        "x\nerror: forged",
        "\x1b]0;pwned\x07",
        "ü",
        "\u202e",
        "a%PATH%",
        'a"b',
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, CHAT, COUNT])
def test_a_model_that_no_command_line_should_see_is_not_found(path: str, model: str) -> None:
    """A NUL in `model` made the daemon fork a copy of itself, which then removed the directories of live processes. A line
    break wrote a line of its own into the log, an escape sequence reached the terminal of whoever ran `relayd calls`.
    """
    assert refusal(ASK | {"model": model}, path) == (404, f"model: {model}")


def test_a_model_of_megabytes_is_refused_and_not_repeated() -> None:
    """A client with a name too long for a command line got a 500, which SDKs retry, and slowed the warming of all others; the
    text was kept in the journal, the records and the log.
    """
    assert refusal(ASK | {"model": "m" * 1_000_000}) == (400, "model: String should have at most 200 characters")


@pytest.mark.parametrize(
    "model",
    [
        *("claude-opus-4-8[1m]", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4@20250514", "opus", "gpt-5+"),
        *("arn:aws:bedrock:us-east-1:123456789012:inference-profile/x", "anthropic/claude-3.7", "m" * 200),
    ],
)
def test_names_of_every_provider_are_taken(model: str) -> None:
    assert survived(json.dumps(ASK | {"model": model}).encode()) == 200


def test_keys_of_an_earlier_run_that_no_process_can_be_started_with_are_not_read() -> None:
    """The model with a NUL was remembered for the next start, at which the daemon forked again, and at each one after it."""
    good = ["claude-sonnet-5", 10, "absent", 0, "", "", False]
    assert len(load_keys(json.dumps([good]).encode())) == 1
    for wrong in (["a\0b", *good[1:]], ["-x", *good[1:]], [good[0], 1e20, *good[2:]], [good[0], -1, *good[2:]]):
        assert load_keys(json.dumps([wrong]).encode()) == []


@pytest.mark.parametrize("depth", [201, 254, 255, 300, 1000, 1024])
@pytest.mark.parametrize("path", [MESSAGES, COUNT])
def test_a_document_in_a_document_in_a_document_is_refused(path: str, depth: int) -> None:
    """200 documents within one another were a RecursionError, so a 500 and a traceback in the log."""
    block = b'{"type":"document","source":{"type":"content","content":['
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[%s]}]}' % (block * depth + b"]}}" * depth)
    assert refusal(body, path)[0] == 400


@pytest.mark.parametrize("opened", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [180, 250, 300, 1000])
def test_an_input_that_cannot_be_written_again_is_refused(opened: bytes, depth: int) -> None:
    """The JSON parser takes 1,024 levels and the writer 254: a tool's input of 300 was a 500 with a traceback."""
    deep = opened * depth + b"0" + {b"[": b"]", b'{"a":': b"}"}[opened] * depth
    call = b'{"type":"tool_use","id":"t","name":"f","input":{"a":%s}}' % deep
    result = b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]}'
    start = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":'
    body = start + b"[" + call + b"]}," + result + b"]}"
    assert survived(body) == (200 if depth == 180 else 400)
    arguments = json.dumps({"a": 0}).encode() if depth == 180 else json.dumps((b'{"a":%s}' % deep).decode()).encode()
    chat = b'{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"t","function":'
    chat += b'{"name":"f","arguments":%s}}]},{"role":"tool","tool_call_id":"t","content":"x"}]}' % (
        arguments if depth > 180 else json.dumps(arguments.decode()).encode()
    )
    assert survived(chat, CHAT) == (200 if depth == 180 else 400)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: Input should be a valid list"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages.0.content: Input should be a valid list"),
        ({"messages": [{"role": "user", "content": None}]}, "messages: at least one message is required"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages.0.content.0: Input should be an object"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "messages.0.tool_calls: Input should be a valid list"),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, "messages.0.tool_calls.0: Input should be an object"),
        ({"messages": [{"role": "system", "content": 5}]}, "messages.0.content: Input should be a valid list"),
        (
            {"messages": [{"role": "tool", "content": [{"type": "image_url"}]}]},
            "messages.0.tool_call_id: Input should be a valid string",
        ),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages.0.role: Input should be 'system', "),
        ({"messages": [{"role": None}]}, "messages.0.role: Input should be 'system', "),
        ({"tools": 5}, "tools: Input should be a valid list"),
        ({"tools": {}}, "tools: Input should be a valid list"),
        ({"tools": [5]}, "tools.0: Input should be an object"),
        ({"tools": [{"function": {"name": "f", "parameters": 5}}]}, "tools.0.function.parameters: Input should be an object"),
        ({"tool_choice": "required"}, "tool_choice may only be specified while providing tools."),
        ({"tool_choice": 5}, "tool_choice: Input should be an object"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"stream_options": 5}, "stream_options: Input should be an object"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage: Input should be a valid boolean"),
        ({"response_format": []}, "response_format: Input should be an object"),
        ({"reasoning_effort": 5}, "reasoning_effort: Input should be a valid string"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"n": True}, "n: must be 1"),
        ({"temperature": 2.5}, "temperature: range: 0..1"),
        ({"top_p": 1.5}, "top_p: range: 0..1"),
        ({"stop": 5}, "stop: Input should be a valid list"),
    ],
)
def test_a_wrong_type_in_a_chat_request_is_told_to_openai_clients(fields: dict[str, Any], message: str) -> None:
    """`content: 5`, `tools: 5`, `tool_calls: 5` were a 500 with a traceback; `tool_choice` without tools was dropped unsaid."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]} | fields).encode()
    assert 400 <= survived(body, CHAT) < 500
    assert refusal(body, CHAT)[1].startswith(message)


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"type": "search_result", "text": 5}, MESSAGES),  # in a tool result, it looked like a text to the MCP answer
        ({"type": "document", "source": {"type": "url", "url": "u", "data": 5}}, COUNT),
    ],
)
def test_blocks_that_look_like_others_are_taken_for_what_they_are(block: dict[str, Any], path: str) -> None:
    """Two parts of the core looked at a field without the type that gives it a meaning: a 500 with a traceback."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [block]}]},
    ]
    assert survived(json.dumps(ASK | {"messages": messages}).encode(), path) == 200
    world = World()
    world.boot()
    client = world.ask("hi", tools=[{"name": "f", "input_schema": {"type": "object"}}])
    world.boot()
    slot = world.slot_of(client)
    line = {"id": "msg_1", "model": "m", "content": [call], "stop_reason": "tool_use", "usage": {}}
    world.tell(world.grew(slot, json.dumps({"type": "assistant", "message": line}).encode() + b"\n"))
    secret = world.relay.pool.sessions[slot].spec.secret
    rpc = {"id": 1, "method": "tools/call", "params": {"name": "f", "_meta": {"claudecode/toolUseId": "t"}}}
    world.tell(ev.RequestArrived(900, HttpRequest("POST", f"/mcp/{secret}", "", HEADERS, json.dumps(rpc).encode())))
    assert world.answer(client)[0] == 200
    again = world.ask(messages=messages, tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert told(world, again) is None, "a result that MCP cannot carry is replayed"


@pytest.mark.parametrize("stops", [["\x01"] * 4096, ["\x01" * 4096], ["😀" * 4000]])
def test_stop_sequences_are_measured_as_they_travel(stops: list[str]) -> None:
    """4,096 characters were allowed, but a control character takes six bytes of JSON: with a schema of the largest size the
    environment's limit was passed, and the process could not be started.
    """
    schema = {"type": "object", "description": "d" * 98_000}
    body = ASK | {"stop_sequences": stops, "output_config": {"format": {"type": "json_schema", "schema": schema}}}
    assert survived(json.dumps(body, ensure_ascii=False).encode()) in (200, 400)


def test_what_an_environment_of_windows_cannot_hold_is_refused_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """32,767 characters is what one variable holds there: a larger schema was a start that fails."""
    schema = {"type": "object", "description": "d" * 40_000}
    body = json.dumps(ASK | {"output_config": {"format": {"type": "json_schema", "schema": schema}}}).encode()
    assert survived(body) == 200
    monkeypatch.setattr("sys.platform", "win32")
    assert refusal(body)[0] == 400


def test_a_temperature_that_is_clipped_is_named() -> None:
    """`temperature: 1.7` of a chat client became 1 without a word: promise 7 says that nothing is dropped unsaid."""
    chat = {"model": "claude-sonnet-4-6", "messages": [{"role": "user", "content": "x"}], "temperature": 1.7}
    world, client = post(json.dumps(chat).encode(), CHAT)
    world.boot()
    world.finish(world.slot_of(client))
    answer = told(world, client)
    assert answer is not None
    assert answer[2]["x-relayd-ignored"] == "temperature"
    world, client = post(json.dumps(chat).encode(), CHAT, strict=True)
    answer = told(world, client)
    assert answer is not None
    assert answer[0] == 400


def test_an_effort_that_is_not_known_is_named() -> None:
    """Beside the temperature: an effort without a counterpart was dropped unsaid, too."""
    world, client = post(json.dumps({"model": "m", "messages": ASK["messages"], "reasoning_effort": "none"}).encode(), CHAT)
    world.boot()
    world.finish(world.slot_of(client))
    answer = told(world, client)
    assert answer is not None
    assert answer[2]["x-relayd-ignored"] == "reasoning_effort"


@pytest.mark.parametrize("name", ["plain", "köln", "漢字", "😀 x"])
def test_a_session_has_one_name_in_headers_paths_and_lists(name: str) -> None:
    """A session named outside Latin-1 was refused or shown as other letters, and `--delete` did not find it."""
    world, client = post(json.dumps(ASK).encode(), headers={"x-relayd-session": name.encode().decode("latin-1")})
    world.boot()
    world.finish(world.slot_of(client))
    for number, (method, path) in enumerate([("GET", "/v1/sessions"), ("DELETE", f"/v1/sessions/{quote(name, safe='')}")]):
        world.tell(ev.RequestArrived(500 + number, HttpRequest(method, path, "", HEADERS)))
    assert world.answer(500)[1]["data"][0]["id"] == name
    assert world.answer(501) == (200, {"type": "session_deleted", "id": name})


def test_thousands_of_tool_calls_are_matched_in_one_look_each() -> None:
    """Each result was looked for in the list of all calls: 20,000 of them held the loop for half a minute."""
    ids = [Counted(f"toolu_{n}") for n in range(3000)]
    calls = [{"type": "tool_use", "id": i, "name": "f", "input": {}} for i in ids]
    results = [{"type": "tool_result", "tool_use_id": i, "content": "x"} for i in ids]
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    Counted.compared = 0
    requests.parse(ASK | {"messages": messages}, requests.VERSION_OLD)
    assert Counted.compared < 20 * len(ids)


class Counted(str):
    """A text that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)


def test_a_list_that_would_hold_the_loop_is_refused() -> None:
    """The body's limit lets a million small blocks through, and each is looked at: seconds in which nobody is answered."""
    blocks = b",".join([b'{"type":"text","text":"a"}'] * 100_001)
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[%s]}]}' % blocks
    assert refusal(body)[0] == 400
    some = b",".join([b'{"type":"text","text":"a"}'] * 30_000)
    messages = b",".join([b'{"role":"user","content":[%s]}' % some] * 4)
    assert refusal(b'{"model":"m","max_tokens":9,"messages":[%s]}' % messages) == (
        400,
        "messages: at most 100000 content blocks in all",
    )


@pytest.mark.parametrize("item", [None, 0, "", {}, [], False])
def test_nothing_in_a_list_of_blocks_is_passed_over(item: Any) -> None:
    """What is false for Python was skipped as if it were not there: the API refuses it."""
    assert refusal(ASK | {"messages": [{"role": "user", "content": [item, {"type": "text", "text": "x"}]}]})[0] == 400
    for name in ("stream", "output_config"):
        assert item in (None, False, {}) or refusal(ASK | {name: item})[0] == 400


def test_of_two_keys_with_one_name_the_last_counts() -> None:
    body = b'{"model":"a\\u0000b","model":"m","max_tokens":1e20,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}'
    assert survived(body) == 200


# Their kinds


@pytest.mark.parametrize("number", range(4))
def test_every_value_at_every_place_that_a_command_line_carries(number: int) -> None:
    places = [path for path in shapes.places(shapes.CARRIED) if path and path[0] != "messages"]
    assert len(places) > 25
    for path in places:
        for wrong in shapes.WRONG[number::4]:
            survived(shapes.written(shapes.replaced(shapes.CARRIED, path, wrong)))


@pytest.mark.parametrize(
    ("value", "path"),
    [(shapes.WHOLE, MESSAGES), (shapes.WHOLE, COUNT), (shapes.WHOLE_CHAT, CHAT), (shapes.WHOLE_RESPONSE, RESPONSES)],
    ids=["messages", "count", "chat", "responses"],
)
def test_a_few_wrong_values_at_every_place(value: dict[str, Any], path: str) -> None:
    """`"content": 5` in a chat request raised where nobody looked, as did a `data` that was none of a document's business."""
    assert survived(shapes.written(value), path) == 200
    for number, place in enumerate(shapes.places(value)):
        for wrong in shapes.FEW[number % 3 :: 3]:
            survived(shapes.written(shapes.replaced(value, place, wrong)), path)


session_names = st.sampled_from(["", "s", "\xc3\xa9", "\xe9", "a\x85b", "\x1b[2J", "x" * 129, "\xe2\x80\xae"])
versions = st.sampled_from(["2023-06-01", "2026-10-21", "", "\x00"])


@settings(max_examples=40)
@given(shapes.messages_requests(), shapes.chat_requests())
def test_the_requests_that_are_right_are_right(value: dict[str, Any], chat: dict[str, Any]) -> None:
    """Or the tests below would show nothing but how the first check refuses."""
    assert survived(shapes.written(value)) == 200
    assert survived(shapes.written(value), COUNT) == 200
    assert survived(shapes.written(chat), CHAT) == 200


@given(shapes.one_wrong_part(shapes.messages_requests()), versions, session_names, st.sampled_from([MESSAGES, COUNT]))
def test_one_wrong_part_of_a_request_hurts_nobody(body: bytes, version: str, session: str, path: str) -> None:
    headers = {"anthropic-version": version} | ({"x-relayd-session": session} if session else {})
    survived(body, path, headers)


@given(shapes.one_wrong_part(shapes.chat_requests()), session_names)
def test_one_wrong_part_of_a_chat_request_hurts_nobody(body: bytes, session: str) -> None:
    survived(body, CHAT, {"x-relayd-session": session} if session else {})
