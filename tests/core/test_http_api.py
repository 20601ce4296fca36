"""The small questions, and Claude Code's own requests: routes, shapes, and errors in the API's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relayd import __version__
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.core.relay import Relay
from relayd.errors import ApiError
from relayd.http.messages import HttpRequest
from relayd.http.routes import Completion, Question
from tests.core.test_pool_and_relay import HEADERS, NEAR, World


def send(world: World, method: str, path: str, body: bytes = b"", **fields: Any) -> do.Respond:
    """The one answer to a request."""
    world.clients += 1
    request = HttpRequest(method, path, "", HEADERS | fields.pop("headers", {}), body)
    orders = world.tell(ev.RequestArrived(world.clients, request, **fields))
    (answer,) = [o for o in orders if isinstance(o, do.Respond)]
    return answer


def value(world: World, method: str, path: str, body: bytes = b"") -> Any:
    answer = send(world, method, path, body)
    assert answer.status == 200
    return json.loads(answer.body)


def served() -> tuple[World, str]:
    """A world in which one call was answered, and one runs: its slot."""
    world = World()
    world.boot()
    world.finish(world.slot_of(world.ask()))
    world.wait(1.0)
    world.boot()
    return world, world.slot_of(world.ask())


def test_health_and_status_count_what_is() -> None:
    world, slot = served()
    health = value(world, "GET", "/v1/health")
    assert (health["status"], health["version"], health["served"]) == ("ok", __version__, 1)
    assert health["pool"]["running"] == 1
    assert sum(health["pool"]["processes"].values()) == len(world.relay.pool.sessions)
    status = value(world, "GET", "/v1/status")
    shown = {s["slot"]: s for s in status["slots"]}
    assert set(shown) == set(world.relay.pool.sessions)
    assert shown[slot]["call"] == world.relay.pool.sessions[slot].call
    assert shown[slot]["age_s"] >= 0
    assert status["statistics"]["calls"] == {"200": 1}
    assert len(status["recent"]) == 1


def test_metrics_are_what_prometheus_reads() -> None:
    world, _ = served()
    answer = send(world, "GET", "/metrics")
    assert dict(answer.headers)["content-type"].startswith("text/plain")
    lines = answer.body.decode().splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert counts['relayd_calls_total{route="messages",status="200"}'] == "1"
    assert counts["relayd_calls_running"] == "1"
    assert counts['relayd_call_seconds_bucket{le="+Inf"}'] == counts["relayd_call_seconds_count"] == "1"
    buckets = [int(n) for name, n in counts.items() if name.startswith("relayd_own_seconds_bucket")]
    assert buckets == sorted(buckets)  # each holds those below it
    kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    assert (kinds["relayd_process_starts_total"], kinds["relayd_calls_queued"]) == ("counter", "gauge")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/hello", {}),
        ("GET", "/v1/version", {"name": "relayd", "version": __version__}),
        ("GET", "/v1/availability", {"available": True}),
        ("GET", "/v1/license", {"valid": True, "license": "MIT"}),
        ("POST", "/v1/license/refresh", {"valid": True, "license": "MIT"}),
        ("GET", "/v1/sessions", {"data": []}),
    ],
)
def test_small_questions(method: str, path: str, expected: Any) -> None:
    assert value(World(), method, path) == expected


def test_models_are_listed_and_found() -> None:
    first = value(World(), "GET", "/v1/models")["data"][0]
    assert value(World(), "GET", f"/v1/models/{first['id']}") == first


def test_a_count_says_that_it_is_an_estimate() -> None:
    body = json.dumps({"model": "claude-sonnet-5", "messages": [{"role": "user", "content": "some words"}]}).encode()
    answer = send(World(), "POST", "/v1/messages/count_tokens", body)
    assert json.loads(answer.body)["input_tokens"] > 0
    assert ("x-relayd-emulated", "input_tokens") in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/messages", 405),
        ("GET", "/v1/sessions/none", 404),
        ("GET", "/v1/models/none", 404),
        ("GET", "/dashboard/none.js", 404),
        ("GET", "/docs/none", 404),
        ("GET", "/v1/live", 400),
        ("POST", "/hooks/" + "x" * 32, 404),
        ("POST", "/mcp/" + "x" * 32, 404),
        ("POST", "/telemetry/" + "x" * 32 + "/v1/logs", 404),
    ],
)
def test_errors_have_the_apis_shape(method: str, path: str, status: int) -> None:
    answer = send(World(), method, path)
    assert answer.status == status
    assert json.loads(answer.body)["type"] == "error"


def test_a_bug_in_an_answer_is_one_error_without_its_words() -> None:
    world = World()
    world.relay.front.http._admin = None  # type: ignore[assignment]
    answer = send(world, "GET", "/v1/health")
    assert answer.status == 500
    assert b"AttributeError" not in answer.body
    assert b"NoneType" not in answer.body
    assert any(isinstance(o, do.Log) and "AttributeError" in o.text for o in world.orders)


def test_a_page_is_answered_with_its_policy_and_an_allowed_origin_is_told() -> None:
    world = World()
    world.relay = Relay(world.config, NEAR, [], 7421)
    world.relay.front.http._pages._assets = {"": ("text/html", b"<p>")}  # type: ignore[attr-defined]
    page = send(world, "GET", "/")
    assert (page.status, page.body) == (200, b"<p>")
    assert "content-security-policy" in dict(page.headers)
    mine = send(world, "OPTIONS", "/v1/messages", origin="https://mine.example")
    assert mine.status == 204
    assert ("access-control-allow-origin", "https://mine.example") in mine.headers
    assert "access-control-allow-origin" not in dict(send(world, "GET", "/v1/health").headers)
    world.tell(ev.ClientLeft(world.clients - 1))
    assert world.relay.front.http._page_origins == {}


def test_a_dashboard_is_upgraded() -> None:
    world = World()
    orders = world.tell(ev.RequestArrived(7, HttpRequest("GET", "/v1/live", "", HEADERS | {"upgrade": "websocket"}, b"")))
    assert do.Upgrade(7) in orders


def test_what_claude_code_sends_is_answered_at_once_and_a_wrong_body_is_refused_by_name() -> None:
    world, slot = served()
    secret = world.relay.pool.sessions[slot].spec.secret
    assert send(world, "POST", f"/telemetry/{secret}/v1/logs", b'{"resourceLogs": []}').status == 200
    for path, name in ((f"/hooks/{secret}", "hooks"), (f"/mcp/{secret}", "mcp"), (f"/telemetry/{secret}/v1/logs", "telemetry")):
        wrong = send(world, "POST", path, b"{")
        assert wrong.status == 400
        assert json.loads(wrong.body)["error"]["message"].startswith(f"{name}: ")
    hello = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}'
    assert json.loads(send(world, "POST", f"/mcp/{secret}", hello).body)["id"] == 1
    told = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert send(world, "POST", f"/mcp/{secret}", told).status == 202
    listed = b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}'
    assert json.loads(send(world, "POST", f"/mcp/{secret}", listed).body)["result"]["tools"] == []


def test_a_call_that_was_refused_on_its_head_has_its_record_and_a_question_has_none() -> None:
    """Who looks for the calls that failed would not find the one whose body was too large."""
    world = World()
    orders = world.tell(ev.RequestRefused(7, ApiError(413, "too large"), Completion.CHAT))
    (answer,) = [o for o in orders if isinstance(o, do.Respond)]
    assert (answer.status, "type" in json.loads(answer.body)) == (413, False)  # in the shape of OpenAI's clients
    (record,) = [json.loads(o.line) for o in orders if isinstance(o, do.Record)]
    assert (record["route"], record["status"], record["error"]) == ("chat", 413, "request_too_large")
    orders = world.tell(ev.RequestRefused(8, ApiError(401, "no"), Question.STATUS))
    assert [o.status for o in orders if isinstance(o, do.Respond)] == [401]
    assert not [o for o in orders if isinstance(o, do.Record)]


def test_a_call_is_not_promised_a_place_in_a_full_queue() -> None:
    world = World(max=1, idle=1, queue_max=2)
    world.boot()
    for is_available in (True, True, False):
        world.ask()
        assert json.loads(send(world, "GET", "/v1/availability").body) == {"available": is_available}
    assert world.answer(world.ask())[0] == 529


def test_the_status_names_the_processes_as_the_system_does() -> None:
    """Who looks for a process that eats a processor has its number from the system."""
    world = World(idle=2)
    for number, slot in enumerate(world.relay.pool.sessions):
        world.tell(ev.SlotSpawned(slot, 4000 + number))
    slots = json.loads(send(world, "GET", "/v1/status").body)["slots"]
    assert sorted(found["pid"] for found in slots) == [4000, 4001]
