"""What a wrong base URL, another name of the machine and an empty body get."""

from __future__ import annotations

import pytest

from relayd.errors import ApiError
from relayd.http.access import Access, Admitted, Refusal

ACCESS = Access(7421, names=frozenset({"host.docker.internal"}))
JSON = {"content-type": "application/json", "content-length": "2"}


def refused(path: str = "/v1/messages", host: str = "127.0.0.1:7421", **headers: str) -> ApiError | None:
    """The error that a POST gets on its head."""
    found = ACCESS.judge("POST", path, {"host": host, **(headers or JSON)})
    return found.error if isinstance(found, Refusal) else None


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/v1/v1/messages", "http://127.0.0.1:7421"),
        ("//v1/messages", "http://127.0.0.1:7421"),
        ("/v1/messages/", "http://127.0.0.1:7421"),
        ("/messages", "http://127.0.0.1:7421"),
        ("/anthropic/v1/messages", "http://127.0.0.1:7421"),
        ("/v1/v1/messages/count_tokens", "http://127.0.0.1:7421"),
        ("/chat/completions", "http://127.0.0.1:7421/v1"),
        ("/v1/v1/chat/completions", "http://127.0.0.1:7421/v1"),
    ],
)
def test_a_base_url_with_too_much_or_too_little_is_told_the_right_one(path: str, base: str) -> None:
    """The answer was "Not Found" and no more."""
    error = refused(path)
    assert error is not None
    assert error.status == 404
    assert error.message.endswith(f" so set the base URL to {base}")


def test_other_paths_are_just_not_there() -> None:
    error = refused("/v1/nothing")
    assert error is not None
    assert error.message == "Not Found"


@pytest.mark.parametrize(
    "host",
    ["host.docker.internal:7421", "HOST.docker.internal", "host.docker.internal:80", "app.localhost:7421", "127.1.2.3:7421"],
)
def test_names_that_the_user_declared_and_loopback_pass(host: str) -> None:
    """Containers got 403, and no key could allow their name."""
    assert refused(host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.com", "evil.com:7421", "host.docker.internal.evil.com:7421", "localhost.evil.com:7421", "app.localhost:80"]
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
