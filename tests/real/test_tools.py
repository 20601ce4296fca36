"""Tools with the real Claude Code: definitions, calls, parked turns, replays."""

from __future__ import annotations

import json
import pathlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from relayd.doctor.conversations import image
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from relayd.doctor.script import searched
from tests.daemon.test_http import children
from tests.helpers import ask, events_of, latest_at, post, until

pytestmark = pytest.mark.real

GET = {
    "name": "get",
    "description": "Gets a thing.\n  Exactly ✓",
    "input_schema": {
        "type": "object",
        "properties": {"k": {"type": "integer", "description": "which"}},
        "required": ["k"],
        "additionalProperties": False,
    },
}
OTHER = {"name": "other-one", "description": "", "input_schema": {"type": "object", "properties": {}}}


class Agent:
    """A client's tool loop: asks, runs tools, sends the whole conversation with their results."""

    def __init__(self, url: str, prompt: str, **fields: Any) -> None:
        self.url = url
        self.body: dict[str, Any] = ask(prompt, tools=[GET, OTHER]) | fields

    def step(self, **fields: Any) -> dict[str, Any]:
        status, _, body = post(self.url, self.body | fields)
        answer: dict[str, Any] = json.loads(body)
        assert status == 200, answer
        self.body["messages"] = [*self.body["messages"], {"role": "assistant", "content": answer["content"]}]
        return answer

    def stream_step(self) -> dict[str, Any]:
        """The same, streamed; the client keeps what it was shown."""
        status, _, data = post(self.url, self.body | {"stream": True})
        assert status == 200, data
        content: list[dict[str, Any]] = []
        pieces: list[str] = []
        for event in events_of(data):
            if event["type"] == "content_block_start":
                content.append(dict(event["content_block"]))
                pieces = []
            delta = event.get("delta", {})
            pieces.append(delta.get("text") or delta.get("partial_json") or delta.get("thinking") or "")
            if "signature" in delta:
                content[-1]["signature"] = delta["signature"]
            if event["type"] == "content_block_stop" and content[-1]["type"] in ("text", "thinking"):
                content[-1][content[-1]["type"]] = "".join(pieces)
            elif event["type"] == "content_block_stop" and content[-1]["type"] == "tool_use":
                content[-1]["input"] = json.loads("".join(pieces) or "{}")
        self.body["messages"] = [*self.body["messages"], {"role": "assistant", "content": content}]
        return {"content": content}

    def bring(self, answer: dict[str, Any], result: Any = "the result", **fields: Any) -> None:
        results = [
            {"type": "tool_result", "tool_use_id": b["id"], "content": result} | fields
            for b in answer["content"]
            if b["type"] == "tool_use"
        ]
        self.body["messages"] = [*self.body["messages"], {"role": "user", "content": results}]


def upstream(harness: Harness) -> list[dict[str, Any]]:
    return [r.body for r in harness.api.messages()]


def slots(harness: Harness) -> set[str]:
    """Which processes have sent the recorded requests."""
    return {r.headers["x-claude-code-session-id"] for r in harness.api.messages()}


def exact(agent: Agent, received: dict[str, Any]) -> list[str]:
    sent = agent.body | {"messages": agent.body["messages"][: len(received["messages"])]}
    return differences(sent, received)


def test_a_loop_of_twenty_rounds_runs_in_one_process_with_one_request_a_round(real: Harness) -> None:
    real.api.clear()
    agent = Agent(real.url, '[[tools 20 get {"k": 7}]] [[final all done]]', system="Use tools.")
    for number in range(20):
        answer = agent.step()
        assert answer["stop_reason"] == "tool_use"
        (call,) = [b for b in answer["content"] if b["type"] == "tool_use"]
        assert (call["name"], call["input"]) == ("get", {"k": 7})
        agent.bring(answer, f"  result {number}:\ttabs,\r\nlines \x1b[0m and a tail \n\n")
    last = agent.step()
    assert (last["stop_reason"], last["content"][0]["text"]) == ("end_turn", "all done")
    assert len(upstream(real)) == 21
    assert len(slots(real)) == 1
    for request in upstream(real):
        assert exact(agent, request) == []


def test_the_same_loop_survives_the_death_of_its_parked_process(real: Harness) -> None:
    real.api.clear()
    agent = Agent(real.url, '[[tools 4 get {"k": 1}]] [[final all done]]')
    for number in range(4):
        answer = agent.step()
        if number in (1, 2):
            psutil.Process(latest_at(real.url, "parked")).kill()
        agent.bring(answer, f"r{number}")
    assert agent.step()["content"][0]["text"] == "all done"
    assert len(slots(real)) == 3
    for request in upstream(real):
        assert exact(agent, request) == []


def test_parallel_calls_come_in_one_answer_and_their_results_in_one_request(real: Harness) -> None:
    real.api.clear()
    agent = Agent(real.url, '[[say two]] [[tool get {"k": 1}]] [[tool other-one {"a": {"b": []}}]] [[tool get {"k": 2}]]')
    answer = agent.step()
    assert [b.get("name") for b in answer["content"]] == [None, "get", "other-one", "get"]
    assert answer["content"][0]["text"] == "two"
    agent.bring(answer)
    agent.step()
    assert len(upstream(real)) == 2
    assert len(slots(real)) == 1
    assert exact(agent, upstream(real)[1]) == []


LATE = ('[[tools 3 get {"k": 1}]] [[late 0.4]]', 3)  # the prompt, and its rounds
PARALLEL = ('[[tool get {"k": 1}]] [[tool get {"k": 2}]] [[tool get {"k": 3}]] [[slow 0.2]]', 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("prompt", "rounds"), [LATE, PARALLEL])
def test_the_end_of_the_message_may_come_long_after_a_call(real: Harness, prompt: str, rounds: int, stream: bool) -> None:
    """Claude Code runs a call as soon as its block is whole. If the message ended later, it did not write the answer down
    before it had the result, and the client, who waited for the answer, never brought one. The stand-in had sent both at once.
    """
    real.api.clear()
    agent = Agent(real.url, prompt)
    for _ in range(rounds):
        answer = agent.stream_step() if stream else agent.step()
        assert "get" in [b.get("name") for b in answer["content"]]
        agent.bring(answer, "it")
    agent.step()
    assert len(upstream(real)) == rounds + 1
    assert len(slots(real)) == 1
    for request in upstream(real):
        assert exact(agent, request) == []


def test_tool_calls_stream_as_the_api_streams_them(real: Harness) -> None:
    _, _, body = post(real.url, ask('[[say look]] [[tool get {"k": 5}]] [[tool other-one {}]]', tools=[GET, OTHER], stream=True))
    events = events_of(body)
    starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert [b["type"] for b in starts] == ["text", "tool_use", "tool_use"]
    assert (starts[1]["name"], starts[1]["input"]) == ("get", {})
    assert starts[1]["id"].startswith("toolu_")
    pieces = [
        e["delta"]["partial_json"] for e in events if e.get("delta", {}).get("type") == "input_json_delta" and e["index"] == 1
    ]
    assert json.loads("".join(pieces)) == {"k": 5}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(system="another"),
        lambda body: body.update(tools=[GET]),
        lambda body: body.update(messages=[{"role": "user", "content": "[[say other history]]"}, *body["messages"][1:]]),
        lambda body: body["messages"][-1]["content"].append({"type": "text", "text": "and a word"}),
        lambda body: body.update(max_tokens=999),
    ],
    ids=["system", "tools", "history", "extra text", "max_tokens"],
)
def test_a_follow_up_that_diverges_is_replayed(real: Harness, change: Any) -> None:
    real.api.clear()
    agent = Agent(real.url, '[[tools 1 get {"k": 1}]]')
    agent.bring(agent.step())
    change(agent.body)
    agent.step()
    assert len(slots(real)) == 2
    assert exact(agent, upstream(real)[-1]) == []


@pytest.mark.parametrize(
    ("result", "fields", "processes"),
    [
        ([{"type": "text", "text": "one"}, {"type": "text", "text": " two "}], {}, 1),
        ("it failed", {"is_error": True}, 1),
        ("x" * 300_000, {}, 1),
        ("é" * 700_000, {}, 2),
        (" it failed\n", {"is_error": True}, 2),
        ("", {}, 2),
        ([], {}, 2),
        ([{"type": "text", "text": "see"}, image(__import__("random").Random(1))], {}, 2),
    ],
    ids=["texts", "error", "300 KB", "1.4 MB", "error with blanks", "empty", "none", "image"],
)
def test_results_arrive_whole(real: Harness, result: Any, fields: dict[str, Any], processes: int) -> None:
    """What Claude Code would change on its way from an MCP server is replayed instead of handed over."""
    real.api.clear()
    agent = Agent(real.url, '[[tools 1 get {"k": 1}]] [[final ok]]', model="claude-sonnet-5")
    agent.bring(agent.step(), result, **fields)
    agent.step()
    assert len(slots(real)) == processes
    assert exact(agent, upstream(real)[-1]) == []


@pytest.mark.parametrize(
    "prompt", ['[[tool nosuch {"a": 1}]]', '[[tool nosuch {"a": 1}]] [[tool get {"k": 1}]]', '[[tool get {"q": "?"}]]']
)
def test_calls_that_claude_code_would_refuse_are_the_clients_to_judge(real: Harness, prompt: str) -> None:
    """A tool that nobody offered, an input that does not fit the schema: the API passes such calls on."""
    real.api.clear()
    agent = Agent(real.url, prompt + " [[final ok]]")
    answer = agent.step()
    assert answer["stop_reason"] == "tool_use"
    assert [b["name"] for b in answer["content"]] == [p.split()[0] for p in prompt.split("[[tool ")[1:]]
    agent.bring(answer)
    request = agent.body
    status, _, body = post(real.url, request | {"messages": [*request["messages"]]})
    assert status == 200, body
    assert exact(agent, upstream(real)[-1]) == []


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "auto"}, None),
        ({"type": "none"}, {"type": "none"}),
        ({"type": "any"}, {"type": "any"}),
        ({"type": "tool", "name": "get"}, {"type": "tool", "name": "mcp__client__get"}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_tool_choice_reaches_the_model(real: Harness, choice: dict[str, Any], sent: Any) -> None:
    prompt = "hello" if choice["type"] in ("none", "auto") else '[[tool get {"k": 1}]]'
    Agent(real.url, prompt, tool_choice=choice).step()
    assert upstream(real)[-1].get("tool_choice") == sent


def test_the_apis_own_search_passes_claude_code_whole_streamed_and_on_the_next_turn(real: Harness) -> None:
    """The API runs it; its call, its result and the citations are in the answer, and go back with the next request."""
    web = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "allowed_domains": ["example.org"]}
    body = ask("[[search cats]]", tools=[GET, web])
    status, headers, data = post(real.url, body)
    answer = json.loads(data)
    assert (status, headers["x-relayd-witness"]) == (200, "exact")
    assert answer["content"] == searched("cats")
    assert answer["usage"]["server_tool_use"]["web_search_requests"] == 1
    assert [tool["name"] for tool in real.api.messages()[-1].body["tools"]] == ["mcp__client__get", "web_search"]
    assert real.api.messages()[-1].body["tools"][1] == web
    _, _, data = post(real.url, body | {"stream": True})
    deltas = [event["delta"]["type"] for event in events_of(data) if event["type"] == "content_block_delta"]
    assert deltas == ["input_json_delta", "input_json_delta", "text_delta", "citations_delta"]
    body["messages"] += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "[[say fine]]"}]
    status, headers, data = post(real.url, body)
    assert (status, headers["x-relayd-witness"]) == (200, "exact")
    assert real.api.messages()[-1].body["messages"][1]["content"] == searched("cats")


def test_a_hundred_tools_of_five_kilobytes(real: Harness) -> None:
    tools = [GET | {"name": f"tool_{n}", "description": f"{n} " + "d" * 5000} for n in range(100)]
    agent = Agent(real.url, '[[tools 1 tool_77 {"k": 1}]] [[final ok]]', tools=tools)
    agent.bring(agent.step())
    agent.step()
    assert exact(agent, upstream(real)[-1]) == []


def test_parked_turns_give_way_to_calls_and_are_replayed(claude: str, tmp_path: pathlib.Path) -> None:
    with Harness(str(tmp_path), claude, {"idle": 0, "max": 2, "kept": 0}) as harness:
        agents = [Agent(harness.url, f'[[tools 1 get {{"k": {n}}}]] [[final done {n}]]') for n in range(4)]
        for agent in agents:
            agent.bring(agent.step())
        with ThreadPoolExecutor(4) as workers:
            answers = list(workers.map(lambda a: a.step()["content"][0]["text"], agents))
        assert answers == [f"done {n}" for n in range(4)]
        until(lambda: not children(harness))


def test_a_parked_turn_whose_client_never_comes_back_is_ended(claude: str, tmp_path: pathlib.Path) -> None:
    with Harness(str(tmp_path), claude, {"idle": 0, "parked_limit_s": 0.5}) as harness:
        agent = Agent(harness.url, '[[tools 1 get {"k": 1}]] [[final ok]]')
        agent.bring(agent.step())
        until(lambda: not children(harness))
        assert agent.step()["content"][0]["text"] == "ok"


def test_system_messages_inside_the_conversation(real: Harness) -> None:
    """Claude Code passes them on natively, on models that take them; for the others the API's own refusal."""
    inner = [{"role": "system", "content": "mid"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b "}]
    for messages in (inner, [*inner, {"role": "system", "content": "end"}]):
        body = ask("hi") | {"model": "claude-opus-4-8"}
        body["messages"] = [*body["messages"], *messages]
        assert post(real.url, body)[0] == 200
        assert differences(body, upstream(real)[-1]) == []
    status, _, answer = post(
        real.url, ask("hi") | {"messages": [{"role": "user", "content": "hi"}, {"role": "system", "content": "x"}]}
    )
    assert (status, json.loads(answer)["error"]["message"]) == (400, "role 'system' is not supported on this model")
