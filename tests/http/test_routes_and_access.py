"""Which requests get in: the route table, and the checks that keep web pages out."""

from __future__ import annotations

import pytest

from relayd.errors import ApiError
from relayd.http import routes
from relayd.http.access import Access, Admitted, Refusal
from relayd.http.keys import Keys
from relayd.http.routes import Callback, Completion, Page, Question

GOOD = {"host": "127.0.0.1:7421", "content-type": "application/json"}
MINE = "https://mine.example"
ACCESS = Access(7421, frozenset({MINE}))


def judge(method: str = "POST", path: str = "/v1/messages", access: Access = ACCESS, **headers: str) -> Admitted | Refusal:
    return access.judge(method, path, GOOD | {k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize("host", ["127.0.0.1:7421", "localhost:7421", "LOCALHOST:7421", "[::1]:7421"])
def test_local_programs_get_in(host: str) -> None:
    assert judge(host=host) == Admitted(Completion.MESSAGES)
    assert judge(host=host, origin=f"http://{host}") == Admitted(Completion.MESSAGES)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.0.0.1", "127.3.2.1:80", "a.localhost:9"])
def test_a_forwarded_port_gets_in_with_the_pages_that_came_by_it(host: str) -> None:
    """`ssh -L 8000:127.0.0.1:7421` got 403: a browser takes Host from its connection, so no foreign page can name loopback."""
    assert judge(host=host) == Admitted(Completion.MESSAGES)
    assert judge(host=host, origin=f"http://{host}") == Admitted(Completion.MESSAGES)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:7421"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "http://localhost:8000"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "https://127.0.0.1:8000"}, 403),
        ({"host": "localhost:0"}, 403),
        ({"host": "localhost:123456"}, 403),
        ({"host": "127.0.0.1.evil.example:7421"}, 403),
        ({"host": "localhost:07421"}, 403),
        ({"host": "me@localhost:7421"}, 403),
        ({"host": ""}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://localhost:9999"}, 403),
        ({"origin": MINE.upper()}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": ""}, 415),
    ],
)
def test_web_pages_stay_out(headers: dict[str, str], status: int) -> None:
    found = judge(**headers)
    assert isinstance(found, Refusal)
    assert (found.status, found.origin) == (status, "")


def test_a_host_with_a_port_of_five_thousand_digits_is_a_foreign_one() -> None:
    """`int` raises for so many digits; the client got a 500 and the log a traceback."""
    found = judge(host="localhost:" + "1" * 5000)
    assert isinstance(found, Refusal)
    assert found.status == 403


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/status", "/metrics", "/v1/health"])
def test_an_image_or_a_script_of_a_foreign_page_is_refused(path: str) -> None:
    """A GET that a page causes without `fetch` carries no Origin: only `sec-fetch-site` gives it away."""
    embedded = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"}
    found = judge("GET", path, **embedded)
    assert isinstance(found, Refusal)
    assert found.status == 403
    assert isinstance(judge("GET", path, sec_fetch_site="none"), Admitted)
    assert isinstance(judge("GET", path, sec_fetch_site="same-origin"), Admitted)
    assert judge("GET", path, **embedded | {"origin": MINE}) == Admitted(judge("GET", path).route, MINE, 64 * 1024)


def test_a_link_to_the_dashboard_may_be_followed() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert isinstance(judge("GET", "/", **link), Admitted)
    assert isinstance(judge("GET", "/", **link | {"sec_fetch_dest": "iframe"}), Refusal)


def test_who_is_refused_after_its_origin_was_admitted_may_read_why() -> None:
    access = Access(7421, frozenset({MINE}), Keys("sesame"))
    for path, route, status in (("/v1/chat/completions", Completion.CHAT, 401), ("/v1/nothing", None, 404)):
        found = judge(path=path, access=access, origin=MINE)
        assert isinstance(found, Refusal)
        assert (found.status, found.route, found.origin) == (status, route, MINE)


def test_the_token_is_asked_for_where_there_is_something_to_see() -> None:
    access = Access(7421, keys=Keys("sesame"))
    for path in ("/v1/messages", "/v1/license/refresh"):
        found = judge(path=path, access=access)
        assert isinstance(found, Refusal)
        assert found.status == 401
        assert isinstance(judge(path=path, access=access, x_api_key="sesame"), Admitted)
        assert isinstance(judge(path=path, access=access, x_api_key="sésame"), Refusal)
    assert isinstance(judge("GET", "/", access=access), Admitted)
    assert isinstance(judge("OPTIONS", "*", access=access), Admitted)
    assert "sesame" not in repr(access)


def test_only_documents_may_be_as_long_as_the_general_limit() -> None:
    """Whoever guessed a path of a hook could send 32 MB to it, with no token: only the core knows the secrets."""
    for path in ("/hooks/abcdefghij0123456789", "/mcp/abcdefghij0123456789", "/telemetry/abcdefghij0123456789/v1/logs"):
        found = judge(path=path)
        assert isinstance(found, Admitted)
        assert found.body_max == 8 * 1024 * 1024
    limits = {path: judge(path=path).body_max for path in ("/v1/messages", "/v1/license/refresh")}  # type: ignore[union-attr]
    assert limits == {"/v1/messages": None, "/v1/license/refresh": 64 * 1024}


def test_port_80_needs_no_port_in_host() -> None:
    assert isinstance(judge(access=Access(80), host="localhost"), Admitted)
    assert isinstance(judge(access=Access(80), host="localhost:80", origin="http://localhost"), Admitted)
    assert isinstance(judge(host="localhost:7421", origin="http://localhost"), Refusal)


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
    assert routes.match("POST", "/telemetry/abcdefghij0123456789/v1/logs").route is Callback.TELEMETRY


def test_every_route_is_found_by_an_example_of_its_own() -> None:
    """Fixed paths are looked up in a table of their own, which must not forget one."""
    for route, (methods, pattern, _) in routes.ROUTES.items():
        if pattern in routes.FIXED:
            assert routes.match(methods[0], pattern) == routes.Match(route)
            assert routes.COMPILED[route][1].fullmatch(pattern)
    assert {*Completion, Question.HEALTH, Question.METRICS, Question.HELLO} <= set(routes.FIXED.values())
    assert routes.match("GET", "/").route is routes.match("GET", "/dashboard/app.js").route is Page.DASHBOARD


def test_names_in_paths_are_utf_8() -> None:
    """A session called é was listed as Ã©, and could not be deleted by its name."""
    assert routes.match("DELETE", "/v1/sessions/caf%C3%A9%20%E2%9C%93").argument == "café ✓"
    assert routes.match("DELETE", "/v1/sessions/caf%E9").argument == "café"
