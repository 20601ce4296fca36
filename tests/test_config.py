"""The configuration: sources in their order, bounds, and mistakes named."""

from __future__ import annotations

import math
import pathlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd import loopback
from relayd.config import AT_START, FIXED, KEYS, Config, load
from relayd.errors import ConfigError
from relayd.knobs import Knob, shown

ROOT = pathlib.Path(__file__).parent.parent / "relayd"
EVERY = {**KEYS, **FIXED}
NUMBERS = [knob for knob in EVERY.values() if knob.kind in (int, float)]


def test_flags_beat_variables_beat_the_file_beats_defaults() -> None:
    text = "port = 1\nidle = 1\nmax = 9\n"
    config = load(text, {"RELAYD_PORT": "2", "RELAYD_IDLE": "3", "OTHER": "x"}, {"port": 4, "host": None})
    assert (config.port, config.idle, config.max, config.host) == (4, 3, 9, "127.0.0.1")


def test_the_port_variable_of_the_product_we_replace_is_honoured() -> None:
    assert load("", {"SR_DAEMON_PORT": "7500"}, {}).port == 7500
    assert load("", {"SR_DAEMON_PORT": "7500", "RELAYD_PORT": "7600"}, {}).port == 7600


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("prot = 1", {}, "unknown key prot; did you mean port?"),
        ("zzz = 1", {}, "unknown key zzz"),
        ("", {"RELAYD_PROT": "1"}, "unknown key prot; did you mean port?"),
        ("port = 'x'", {}, "port: 'x' is not a whole number"),
        ("", {"RELAYD_PORT": "many"}, "port: 'many' is not a whole number"),
        ("", {"RELAYD_TELEMETRY": "maybe"}, "telemetry: 'maybe' is neither true nor false"),
        ("port = true", {}, "port: True is not a whole number"),
        ("port = 1.0", {}, "port: 1.0 is not a whole number"),
        ("port = 70000", {}, "port: 70000 is above 65535"),
        ("[port]\nx = 1", {}, "port: {'x': 1} is not a whole number"),
        ("queue_wait_s = -1", {}, "queue_wait_s: -1 is below 0.001"),
        ("queue_wait_s = nan", {}, "queue_wait_s: nan is not a finite number"),
        ("queue_wait_s = " + "9" * 400, {}, "queue_wait_s: the number is above 86400"),
        ("", {"RELAYD_QUEUE_WAIT_S": "inf"}, "queue_wait_s: inf is not a finite number"),
        ("", {"RELAYD_IDLE": "9" * 5000}, "idle: the number is too long"),
        ("host = '0.0.0.0'", {}, "host: '0.0.0.0' is not one of 127.0.0.1, localhost, ::1"),
        ('claude = "a\\u0000b"', {}, "claude: holds a control character"),
        ("max = 0", {}, "max: 0 is below 1"),
        ("max = 1\nidle = 2", {}, "max: 1 is below idle and kept together, 4"),
        ("max = 3\nidle = 2", {}, "max: 3 is below idle and kept together, 4"),
        ("max = 1\nidle = 2\nkept = 0", {}, "max: 1 is below idle, 2"),
        ("log_level = 'loud'", {}, "log_level: 'loud' is not one of debug, info, warning, error"),
        ("port = ", {}, "the file is not valid TOML"),
        ("port = " + "9" * 5000, {}, "the file is not valid TOML"),
        ("port = " + "[" * 5000, {}, "the file is not valid TOML"),
    ],
)
def test_mistakes_are_named(text: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, environ, {})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_cannot_be_set_and_says_so(name: str) -> None:
    """76 keys became 24: a file of then must not be answered with "unknown key", nor heeded in silence."""
    value = shown(FIXED[name].default)
    for source in ((f"{name} = {value}", {}), ("", {f"RELAYD_{name.upper()}": value})):
        with pytest.raises(ConfigError) as caught:
            load(*source, {})
        assert str(caught.value) == f"{name} is fixed now, at {value}; remove it from the configuration"


@pytest.mark.parametrize("knob", NUMBERS, ids=lambda k: k.name)
def test_each_number_has_bounds_that_hold(knob: Knob) -> None:
    """`accepts_per_turn = 0` served nobody, `read_chunk_bytes = 0` dropped each connection, NaN and infinity passed."""
    assert knob.rules.low <= knob.default <= knob.rules.high
    step = 1 if knob.kind is int else 0.0001
    for value in (knob.rules.low, knob.rules.high):
        assert knob.judged(knob.kind(value)) == value
    for value in (knob.rules.low - step, knob.rules.high + step):
        with pytest.raises(ConfigError, match=re.escape(knob.name)):
            knob.judged(knob.kind(value))
    for odd in (math.nan, math.inf, -math.inf, None, [], "1", True):
        with pytest.raises(ConfigError, match=re.escape(knob.name)):
            knob.judged(odd)


@pytest.mark.parametrize(
    "name", ["accepts_per_turn", "read_chunk_bytes", "write_chunk_bytes", "max", "connections_max", "columns"]
)
def test_zero_is_refused_where_it_breaks(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: 0 is below"):
        Config(**{name: 0})


def loaded(environ: dict[str, str], flags: dict[str, object]) -> tuple[Config | None, str]:
    """The configuration, or the words of the error; any other exception is the test's failure."""
    try:
        return load("", environ, flags), ""
    except ConfigError as error:
        return None, str(error)


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.integers(), max_size=2))


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), VALUES, max_size=4))
def test_whatever_is_given_is_a_configuration_within_bounds_or_an_error_in_words(given: dict[str, object]) -> None:
    config, words = loaded({}, given)
    if config is None:
        assert any(name in words for name in KEYS)
        return
    for name, knob in EVERY.items():
        value = getattr(config, name)
        assert knob.judged(value) == value
    assert config.idle + config.keeps <= config.max


@given(st.sampled_from(sorted(KEYS)), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12))
def test_whatever_a_variable_spells_is_read_or_refused_in_words(name: str, text: str) -> None:
    config, words = loaded({f"RELAYD_{name.upper()}": text}, {})
    assert config is not None or words.startswith((f"{name}: ", "max: "))


def test_whole_numbers_do_for_seconds_and_texts_for_booleans() -> None:
    config = load("queue_wait_s = 5", {"RELAYD_TELEMETRY": "off"}, {})
    assert config.queue_wait_s == 5.0
    assert config.telemetry is False


def test_other_limits_come_from_code_only_and_are_judged_too() -> None:
    assert load("", {}, {}, {"spawn_limit_s": 2}).spawn_limit_s == 2.0
    with pytest.raises(ConfigError, match="spawn_limit_s: 0 is below"):
        load("", {}, {}, {"spawn_limit_s": 0})
    with pytest.raises(KeyError):
        load("", {}, {}, {"port": 1})  # a key is set as users set it


def test_about_forty_can_be_set_and_each_knob_says_its_trade_off() -> None:
    assert len(KEYS) <= 45
    for name, knob in EVERY.items():
        assert len(knob.rules.text) > 20, name
        assert knob.rules.text.rstrip().endswith("."), name


def test_every_knob_is_used_somewhere() -> None:
    sources = "".join(p.read_text() for p in ROOT.rglob("*.py") if p.name not in ("config.py", "limits.py"))
    assert [name for name in EVERY if not re.search(rf"\b{name}\b", sources)] == []


def test_what_needs_a_restart_is_known() -> None:
    assert set(AT_START) <= set(KEYS)
    assert {"port", "host", "claude", "state_dir"} <= set(AT_START)


def test_loopback_names_stand_in_one_place() -> None:
    """They stood in three files, one of them spelled otherwise."""
    assert loopback.HOSTS_IN_URLS == ("127.0.0.1", "localhost", "[::1]")
    spelled = re.compile(r"""\(.*["']localhost["'],""")
    assert [p.name for p in ROOT.rglob("*.py") if spelled.search(p.read_text())] == ["loopback.py"]


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("live", "true or false"),
        ("log_format", "one of "),
        ("claude", "text"),
        ("max", "whole number from "),
        ("turn_limit_s", "seconds from "),
    ],
)
def test_what_a_key_allows_is_said_in_words(name: str, domain: str) -> None:
    assert KEYS[name].domain.startswith(domain)
