"""`POST /v1/responses` through a relay: stored, gone on from, told and forgotten, within bounds, with errors in its shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd.config import Config
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.stored_responses import StoredResponses
from relayd.errors import ApiError
from relayd.http.messages import HttpRequest
from tests.core.test_pool_and_relay import HEADERS, World

PATH = "/v1/responses"


def post(world: World, path: str = PATH, headers: dict[str, str] | None = None, **fields: Any) -> int:
    """The client of a new call."""
    world.clients += 1
    body = json.dumps({"model": "claude-sonnet-5", "input": "hi", **fields}).encode()
    world.tell(ev.RequestArrived(world.clients, HttpRequest("POST", path, "", HEADERS | (headers or {}), body)))
    return world.clients


def send(world: World, method: str, path: str, query: str = "") -> tuple[int, Any]:
    world.clients += 1
    orders = world.tell(ev.RequestArrived(world.clients, HttpRequest(method, path, query, HEADERS, b"")))
    (answer,) = [o for o in orders if isinstance(o, do.Respond)]
    return answer.status, json.loads(answer.body)


def answered(world: World, client: int, text: str = "ok") -> dict[str, Any]:
    """The response that a client gets."""
    world.boot()
    world.finish(world.slot_of(client), text)
    world.wait(1.0)
    return told(world, client)[1]


def told(world: World, client: int) -> tuple[int, dict[str, Any]]:
    (answer,) = [o for o in world.orders if isinstance(o, do.Respond) and o.client == client]
    assert dict(answer.headers)["x-request-id"] == dict(answer.headers)["request-id"]
    return answer.status, json.loads(answer.body)


def test_a_conversation_goes_on_from_a_stored_response() -> None:
    world = World()
    world.boot()
    first = answered(world, post(world, instructions="Be brief."), "one")
    second = post(world, input="and you?", previous_response_id=first["id"])
    call = world.relay.calls.by_client[second]
    assert [(m.role, m.content[0]["text"]) for m in call.request.messages] == [
        ("user", "hi"),
        ("assistant", "one"),
        ("user", "and you?"),
    ]
    assert call.request.system == ()  # instructions are for one response
    found = answered(world, second, "two")
    assert (found["previous_response_id"], found["output"][0]["content"][0]["text"]) == (first["id"], "two")
    assert send(world, "GET", f"{PATH}/{found['id']}") == (200, found)
    status, page = send(world, "GET", f"{PATH}/{found['id']}/input_items", "order=asc&limit=2")
    assert (status, [item["role"] for item in page["data"]], page["has_more"]) == (200, ["user", "assistant"], True)
    _, rest = send(world, "GET", f"{PATH}/{found['id']}/input_items", f"order=asc&after={page['last_id']}")
    assert [item["content"][0]["text"] for item in rest["data"]] == ["and you?"]
    assert send(world, "GET", f"{PATH}/{found['id']}", "stream=true")[0] == 400
    for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=none"):
        assert send(world, "GET", f"{PATH}/{found['id']}/input_items", query)[0] == 400


def test_what_is_forgotten_is_not_found_and_what_went_on_from_it_stays() -> None:
    world = World()
    world.boot()
    first = answered(world, post(world))
    second = answered(world, post(world, previous_response_id=first["id"]))
    assert send(world, "DELETE", f"{PATH}/{first['id']}") == (200, {"id": first["id"], "object": "response", "deleted": True})
    status, error = send(world, "GET", f"{PATH}/{first['id']}")
    assert (status, error["error"]["code"]) == (404, "response_not_found")
    lost = told(world, post(world, previous_response_id=first["id"]))
    assert (lost[0], lost[1]["error"]["code"]) == (400, "previous_response_not_found")
    third = post(world, previous_response_id=second["id"])
    assert len(world.relay.calls.by_client[third].request.messages) == 5


def test_nothing_is_kept_of_a_response_that_is_not_to_be_stored_nor_for_longer_than_sessions() -> None:
    world = World()
    world.boot()
    answered(world, post(world, store=False))
    assert send(world, "GET", "/v1/status")[1]["conversations"] == {"kept": 0, "bytes": 0}
    kept = answered(world, post(world))
    assert send(world, "GET", "/v1/status")[1]["conversations"]["kept"] == 1
    world.wait(world.config.session_idle_s)
    assert send(world, "GET", f"{PATH}/{kept['id']}")[0] == 404
    assert send(world, "GET", "/v1/status")[1]["conversations"] == {"kept": 0, "bytes": 0}


@pytest.mark.parametrize(
    ("path", "fields", "headers", "message"),
    [
        (PATH, {"max_output_tokens": 0}, {}, "max_output_tokens: Input should be greater than or equal to 1"),
        (PATH, {"input": []}, {}, "messages: at least one message is required"),
        (PATH, {"model": 5}, {}, "model: Input should be a valid string"),
        (PATH, {"tools": [{"type": "function", "name": "a b"}]}, {}, "tools.0.name: String should match pattern"),
        (PATH, {"previous_response_id": "x"}, {"x-relayd-session": "s"}, "a request can name one conversation only"),
        ("/responses/", {"background": True}, {}, "background: not supported"),
        ("/v1/responses/input_tokens", {"input": 5}, {}, "input: Input should be a valid list"),
    ],
)
def test_errors_have_the_shape_and_the_names_of_this_api(
    path: str, fields: dict[str, Any], headers: dict[str, str], message: str
) -> None:
    world = World()
    status, value = told(world, post(world, path, headers, **fields))
    assert (status, set(value["error"])) == (400, {"message", "type", "param", "code"})
    assert value["error"]["message"].startswith(message)


def test_tokens_are_counted_and_sessions_work_as_on_the_other_routes() -> None:
    world = World()
    world.boot()
    assert told(world, post(world, f"{PATH}/input_tokens"))[1]["object"] == "response.input_tokens"
    answered(world, post(world, headers={"x-relayd-session": "s"}), "one")
    second = post(world, headers={"x-relayd-session": "s"}, input="more")
    assert len(world.relay.calls.by_client[second].request.messages) == 3


def stored(count: int, size: int = 10, **fields: Any) -> tuple[StoredResponses, list[str]]:
    """A store in which so many were put, a second after one another."""
    store = StoredResponses(Config(**fields))
    names = [f"resp_{n}" for n in range(count)]
    for now, name in enumerate(names):
        store.store({"id": name, "output": [{"text": "x" * size}]}, ({"role": "user"},), now)
    return store, names


def test_bounds_hold_and_the_one_used_longest_ago_goes_first() -> None:
    store, names = stored(1001)
    assert store.totals()["kept"] == 1000
    with pytest.raises(ApiError):
        store.get(names[0], 1001)
    store, names = stored(3, 400, conversations_max_bytes=1024)
    assert store.totals()["bytes"] <= 1024
    store.get(names[1], 10)
    store.store({"id": "last", "output": [{"text": "x" * 400}]}, (), 11)
    assert store.get(names[1], 12).value["id"] == names[1]
    store.store({"id": "huge", "output": [{"text": "x" * 2000}]}, (), 13)
    assert store.totals() == {"kept": 0, "bytes": 0}
    assert store.expire(14) is None


def test_functions_of_before_tools_get_answers_of_before_tools() -> None:
    """Their answers came as `tool_calls`: the encoder was not told."""
    world = World()
    world.boot()
    fields = {"functions": [{"name": "get", "parameters": {"type": "object"}}], "messages": [{"role": "user", "content": "hi"}]}
    client = post(world, "/v1/chat/completions", **fields)
    call = {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {}}
    assert b'"function_call":{"name":"get"' in world.relay.calls.by_client[client]._encoder.block(call)
