"""Sticky sessions, demands on answers and thinking by default, on the real Claude Code."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import psutil
import pytest

from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from tests.daemon.test_http import children
from tests.helpers import ask, events_of, post, text_of
from tests.real.test_tools import GET, Agent, slots, upstream

pytestmark = pytest.mark.real

SCHEMA = {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"], "additionalProperties": False}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}


def test_a_session_goes_on_although_all_its_processes_were_killed(claude: str, tmp_path: pathlib.Path) -> None:
    with Harness(str(tmp_path), claude, {"idle": 0}) as harness:
        session = {"x_relayd_session": "talk 1"}
        assert post(harness.url, ask("[[say one]]", system="Be brief."), **session)[0] == 200
        for pid in children(harness):
            psutil.Process(pid).kill()
        status, _, body = post(harness.url, ask("[[count]]"), **session)
        assert (status, text_of(body).split(",")[0]) == (200, "3 messages")
        first = ask("[[say one]]")["messages"] + [{"role": "assistant", "content": "one"}, *ask("[[count]]")["messages"]]
        assert differences({"system": "Be brief.", "messages": first}, upstream(harness)[-1]) == []


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_parked_inside_a_session_too(real: Harness, stream: bool) -> None:
    real.api.clear()
    session = {"x_relayd_session": f"tools {stream}"}
    body = ask('[[tools 2 get {"k": 1}]] [[final done]]', tools=[GET], stream=stream)
    for _ in range(2):
        _, _, data = post(real.url, body, **session)
        blocks = [e["content_block"] for e in events_of(data) if "content_block" in e] if stream else json.loads(data)["content"]
        (call,) = [b for b in blocks if b["type"] == "tool_use"]
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": " it\n"}
        body = ask("", stream=stream, messages=[{"role": "user", "content": [result]}])
    _, _, data = post(real.url, body | {"stream": False}, **session)
    assert text_of(data) == "done"
    assert (len(upstream(real)), len(slots(real))) == (3, 1)


def test_a_model_that_thinks_by_itself_stays_parked(real: Harness) -> None:
    """Its thinking is in the stream, though nobody asked for it, and in the client's next request."""
    real.api.clear()
    agent = Agent(real.url, '[[think hm]] [[say look\n\nhere]] [[tools 2 get {"k": 1}]] [[final done]]', model="claude-sonnet-5")
    for _ in range(2):
        agent.bring(agent.stream_step())
    assert agent.step()["content"][-1]["text"] == "look\n\nhere\ndone"
    assert (len(upstream(real)), len(slots(real))) == (3, 1)


def test_a_schema_reaches_the_model_and_its_answer_is_checked(real: Harness) -> None:
    status, headers, body = post(real.url, ask('[[say {"k": 3}]]', output_config=FORMAT))
    assert (status, text_of(body)) == (200, '{"k": 3}')
    assert headers["x-relayd-output-format"] == "native, validated"
    assert upstream(real)[-1]["output_config"]["format"] == FORMAT["format"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("prompt", "fields", "said"),
    [
        ("[[say no JSON]]", {"output_config": FORMAT}, "not JSON"),
        ('[[say {"k": "three"}]]', {"output_config": FORMAT}, "$.k: is not of type integer"),
        ("[[say I will not]]", {"tools": [GET], "tool_choice": {"type": "any"}}, "does not call the tool"),
    ],
)
def test_an_answer_that_breaks_its_demand_is_asked_for_again_and_then_is_an_error(
    real: Harness, prompt: str, fields: dict[str, Any], said: str, stream: bool
) -> None:
    real.api.clear()
    status, headers, body = post(real.url, ask(prompt, stream=stream, **fields))
    error = json.loads(body)["error"]
    assert (status, error["type"]) == (500, "api_error")
    assert said in error["message"]
    assert headers["x-relayd-emulated"] == ("tool_choice" if "tools" in fields else "output_config.format")
    first, second = upstream(real)
    assert "Answer " in second["system"][-1]["text"]
    assert "Answer " not in first["system"][-1]["text"]


@pytest.mark.parametrize("reason", ["pause_turn", "model_context_window_exceeded"])
@pytest.mark.parametrize("stream", [False, True])
def test_rare_ends_are_passed_on(real: Harness, reason: str, stream: bool) -> None:
    """A pause comes with tools only: without any, the end is taken from signals that do not name its reason."""
    status, _, body = post(real.url, ask(f"[[say so far]][[stop {reason}]]", stream=stream, tools=[GET]))
    assert status == 200
    end = events_of(body)[-2]["delta"] if stream else json.loads(body)
    assert end["stop_reason"] == reason


@pytest.mark.parametrize("stream", [False, True])
def test_an_empty_answer_has_no_content(real: Harness, stream: bool) -> None:
    status, _, body = post(real.url, ask("[[say ]]", stream=stream))
    assert status == 200
    if stream:
        assert [e["type"] for e in events_of(body)] == ["message_start", "message_delta", "message_stop"]
    else:
        assert json.loads(body)["content"] == []
