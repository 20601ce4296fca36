"""Which requests get in: the route table, and the checks that keep web pages out."""

from __future__ import annotations

import pytest

from relayd.errors import ApiError
from relayd.http import guard, routes

GOOD = {"host": "127.0.0.1:7421", "content-type": "application/json"}


@pytest.mark.parametrize("host", ["127.0.0.1:7421", "localhost:7421", "LOCALHOST:7421", "[::1]:7421"])
def test_local_programs_get_in(host: str) -> None:
    guard.check("POST", GOOD | {"host": host}, 7421)
    guard.check("POST", GOOD | {"host": host, "origin": f"http://{host}"}, 7421)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:7421"}, 403),
        ({"host": "127.0.0.1"}, 403),
        ({"host": "127.0.0.1:80"}, 403),
        ({"host": "127.0.0.1.evil.example:7421"}, 403),
        ({"host": ""}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:9999"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
    ],
)
def test_web_pages_stay_out(headers: dict[str, str], status: int) -> None:
    with pytest.raises(ApiError) as caught:
        guard.check("POST", GOOD | headers, 7421)
    assert caught.value.status == status


def test_unknown_paths_and_methods() -> None:
    with pytest.raises(ApiError) as missing:
        routes.match("GET", "/v1/nothing")
    assert missing.value.status == 404
    with pytest.raises(ApiError) as wrong:
        routes.match("GET", "/v1/messages")
    assert wrong.value.status == 405
    assert wrong.value.headers == {"allow": "POST"}


def test_secrets_are_read_from_the_path() -> None:
    assert routes.match("POST", "/hooks/abcdefghij0123456789").secret == "abcdefghij0123456789"
    assert routes.match("POST", "/telemetry/abcdefghij0123456789/v1/logs").name == "telemetry"
