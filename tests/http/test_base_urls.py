"""What a wrong base URL, another name of the machine and an empty body get."""

from __future__ import annotations

import pytest

from relayd.errors import ApiError
from relayd.http import routes
from relayd.http.access import Access, Admitted, Refusal
from relayd.http.routes import Completion, Question, Route

ACCESS = Access(7421, names=frozenset({"host.docker.internal"}))
JSON = {"content-type": "application/json", "content-length": "2"}


def refused(path: str = "/v1/messages", host: str = "127.0.0.1:7421", **headers: str) -> ApiError | None:
    """The error that a POST gets on its head."""
    found = ACCESS.judge("POST", path, {"host": host, **(headers or JSON)})
    return found.error if isinstance(found, Refusal) else None


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/anthropic/v1/messages", "http://127.0.0.1:7421"),
        ("/api/messages/count_tokens/", "http://127.0.0.1:7421"),
        ("/openai/chat/completions", "http://127.0.0.1:7421/v1"),
        ("/openai/v1/responses", "http://127.0.0.1:7421/v1"),
        ("/v2/models", "http://127.0.0.1:7421"),
    ],
)
def test_a_base_url_with_too_much_that_means_nothing_or_too_little_is_told_the_right_one(path: str, base: str) -> None:
    """The answer was "Not Found" and no more."""
    error = refused(path)
    assert error is not None
    assert error.status == 404
    assert error.message.endswith(f" so set the base URL to {base}")


@pytest.mark.parametrize(
    ("path", "route", "name"),
    [
        ("/v1/v1/messages", Completion.MESSAGES, ""),
        ("//v1/messages", Completion.MESSAGES, ""),
        ("/v1/messages/", Completion.MESSAGES, ""),
        ("/messages", Completion.MESSAGES, ""),
        ("/v1/v1/messages/count_tokens", Question.COUNT, ""),
        ("/chat/completions", Completion.CHAT, ""),
        ("/v1/v1/chat/completions", Completion.CHAT, ""),
        ("/responses", Completion.RESPONSES, ""),
        ("/v1//v1/v1/responses//input_tokens/", Question.RESPONSE_COUNT, ""),
        ("/responses/resp_1/input_items", Question.RESPONSE_INPUT, "resp_1"),
        ("/models/", Question.MODELS, ""),
        ("/models/claude-opus-5", Question.MODEL, "claude-opus-5"),
    ],
)
def test_a_base_url_with_the_version_twice_or_not_at_all_is_right(path: str, route: Route, name: str) -> None:
    """Half of all clients want the `/v1`, half do not: each of these got a 404."""
    methods, _, _ = routes.ROUTES[route]
    found = routes.match(methods[0], path)
    assert (found.route, found.argument) == (route, name)
    assert routes.speaks_openai(path) == (route in routes.OPENAI)
    with pytest.raises(ApiError) as caught:
        routes.match("PATCH", path)
    assert caught.value.status == 405


@pytest.mark.parametrize("path", ["/v1/v1/metrics", "/health", "/v1/v1/hooks/abcdefghij0123456789", "/v1/mcp/abcdefghij012345"])
def test_only_what_clients_ask_for_is_forgiven(path: str) -> None:
    with pytest.raises(ApiError) as caught:
        routes.match("POST", path)
    assert caught.value.status == 404


def test_other_paths_are_just_not_there() -> None:
    error = refused("/v1/nothing")
    assert error is not None
    assert error.message == "Not Found"


@pytest.mark.parametrize(
    "host",
    ["host.docker.internal:7421", "HOST.docker.internal", "host.docker.internal:80", "app.localhost:7421", "127.1.2.3:7421"]
    + ["app.localhost:80", "127.0.0.1:8000", "localhost"],
)
def test_names_that_the_user_declared_and_loopback_pass(host: str) -> None:
    """Containers got 403, and no key could allow their name."""
    assert refused(host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.com", "evil.com:7421", "host.docker.internal.evil.com:7421", "localhost.evil.com:7421", "localhost.:7421"]
    + ["127.0.0.1.evil.com:7421", "1270.0.0.1:7421", "", ":7421", "xhost.docker.internal:7421", "host.docker.internal:7421:1"],
)
def test_others_do_not(host: str) -> None:
    """A page whose name resolves to this machine must not reach it."""
    error = refused(host=host)
    assert error is not None
    assert error.status == 403


def test_an_empty_body_without_a_type_is_let_in_to_be_refused_as_one() -> None:
    """It got 415; the API says 400."""
    assert isinstance(ACCESS.judge("POST", "/v1/messages", {"host": "127.0.0.1:7421"}), Admitted)
    for headers in ({"content-length": "2"}, {"transfer-encoding": "chunked"}, {"content-type": "text/plain"}):
        error = refused(**headers)
        assert error is not None
        assert error.status == 415
