"""Which addresses of the fallback are spoken to, and how its name becomes addresses."""

from __future__ import annotations

import pathlib
import ssl
import time

import pytest

from relayd.config import load
from relayd.core import actions as do
from relayd.core import events as ev
from relayd.daemon import fallback_target, machine
from relayd.daemon.state import places_in
from relayd.errors import StartError
from relayd.fallback_url import parsed
from relayd.runtime.loop import Loop
from relayd.runtime.resolver import FRESH_S, Resolver
from relayd.runtime.upstreams import RESOLVING, Target, Upstreams


def answered(resolver: Resolver) -> None:
    resolver.ask(0.0)
    assert resolver.is_asking
    deadline = time.monotonic() + 20
    while not resolver.look(0.0):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("host", "addresses"), [("127.0.0.1", ("127.0.0.1",)), ("::1", ("::1",)), ("LOCALHOST", ("127.0.0.1", "::1"))]
)
def test_literals_and_localhost_need_nobody(host: str, addresses: tuple[str, ...]) -> None:
    resolver = Resolver(host, 1)
    assert resolver.is_fresh(1e9)
    assert resolver.addresses == addresses


def test_a_name_is_asked_for_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("ip6-localhost.test", 1)
    monkeypatch.setattr("relayd.runtime.resolver.ASK", 'print(\'["127.0.0.1", "127.0.0.1", "10.0.0.1"]\')')
    assert not resolver.is_fresh(0.0)
    answered(resolver)
    assert resolver.addresses == ("127.0.0.1", "10.0.0.1")
    assert resolver.is_fresh(FRESH_S - 1)
    assert not resolver.is_fresh(FRESH_S + 1)
    assert not resolver.is_asking


@pytest.mark.parametrize("code", ["", "print('nonsense')", "raise SystemExit(1)"])
def test_an_answer_that_is_none_is_an_unknown_name(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    resolver = Resolver("nobody.test", 1)
    monkeypatch.setattr("relayd.runtime.resolver.ASK", code)
    answered(resolver)
    assert (resolver.addresses, resolver.error) == ((), "its name is not known")


def test_a_name_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver("slow.test", 1)
    monkeypatch.setattr("relayd.runtime.resolver.ASK", "import time; time.sleep(60)")
    resolver.ask(0.0)
    resolver.ask(0.0)  # one at a time
    assert not resolver.look(1.0)
    assert resolver.look(11.0)
    assert resolver.error == "its name was not resolved in time"
    assert not resolver.is_asking


def target(text: str, allows_plain: bool = False) -> Target:
    url = parsed(text)
    return Target(url, "k", "x-api-key", allows_plain, None if url.is_plain else ssl.create_default_context(), "relayd")


def test_plain_http_goes_to_private_addresses_only_also_those_of_a_name() -> None:
    for address, is_near in (
        ("10.1.2.3", True),
        ("fe80::1%eth0", True),
        ("::1", True),
        ("8.8.8.8", False),
        ("2606:4700::1", False),
    ):
        assert target("http://name").may_use(address) is is_near
        assert target("http://name", allows_plain=True).may_use(address)
        assert target("https://name").may_use(address)


def test_a_name_that_leads_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relayd.runtime.resolver.ASK", "print('[\"8.8.8.8\"]')")
    told: list[ev.UpstreamFact] = []
    loop = Loop(lambda key, now: upstreams.timer(RESOLVING, now), lambda number, now: None)
    upstreams = Upstreams(target("http://name.test"), loop, told.append, lambda client: 0)
    upstreams.perform(do.Forward(1, 1, "/v1/messages", [], b"{}"), time.monotonic())
    deadline = time.monotonic() + 20
    while not told:
        assert time.monotonic() < deadline
        loop.turn(0.01)
    assert told == [ev.UpstreamFailed(1, "its address is not private, and it has no TLS (fallback_plain)")]
    upstreams.close()
    loop.close()


def test_the_key_is_the_users_own_and_private(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key"
    config = load("", {}, {"fallback_url": "http://127.0.0.1:1", "fallback_key_file": str(path)})
    for text, mode in ((None, 0), ("sk-x", 0o644), ("", 0o600), ("two words", 0o600), ("ä", 0o600)):
        if text is not None:
            path.write_text(text)
            path.chmod(mode)
        with pytest.raises(StartError, match="key"):
            fallback_target.of(config, {})
    path.write_text("sk-x\n")
    path.chmod(0o600)
    found = fallback_target.of(config, {})
    assert found is not None
    assert found.key == "sk-x"
    assert "sk-x" not in repr(found)
    by_variable = load("", {}, {"fallback_url": "http://127.0.0.1:1", "fallback_key_variable": "ANTHROPIC_OWN"})
    with pytest.raises(StartError, match="ANTHROPIC_OWN"):
        fallback_target.of(by_variable, {})
    assert fallback_target.of(load("", {}, {}), {}) is None


def test_claude_code_does_not_get_the_key(tmp_path: pathlib.Path) -> None:
    """A variable that begins with ANTHROPIC_ is handed to Claude Code, which might take the key for its login."""
    flags = {"fallback_url": "http://127.0.0.1:1", "fallback_key_variable": "ANTHROPIC_OWN"}
    environ = {"ANTHROPIC_OWN": "sk-x", "ANTHROPIC_OTHER": "y", "HOME": str(tmp_path)}
    places = places_in(str(tmp_path / "state"))
    host = machine.describe(load("", {}, flags), environ, "claude", places, 1, machine.Capabilities(), lambda *args: None)  # type: ignore[arg-type]
    assert "ANTHROPIC_OWN" not in host.environment
    assert host.environment["ANTHROPIC_OTHER"] == "y"
