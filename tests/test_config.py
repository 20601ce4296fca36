"""The configuration: sources in their order, and mistakes named."""

from __future__ import annotations

import pathlib

import pytest

from relayd.config import FIELDS, Config, load
from relayd.errors import ConfigError


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
        ("port = 70000", {}, "port: 70000 is above 65535"),
        ("queue_wait_s = -1", {}, "queue_wait_s: must not be negative"),
        ("host = '0.0.0.0'", {}, "host: '0.0.0.0' is not a loopback address"),
        ("max = 1\nidle = 2", {}, "max: must be at least 1 and not below idle"),
        ("log_level = 'loud'", {}, "log_level: 'loud' is not one of"),
        ("port = ", {}, "the file is not valid TOML"),
    ],
)
def test_mistakes_are_named(text: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, environ, {})
    assert str(caught.value).startswith(message)


def test_whole_numbers_do_for_seconds_and_texts_for_booleans() -> None:
    config = load("queue_wait_s = 5", {"RELAYD_TELEMETRY": "off"}, {})
    assert config.queue_wait_s == 5.0
    assert config.telemetry is False


def test_every_knob_says_its_trade_off() -> None:
    for name, knob in FIELDS.items():
        assert len(knob.metadata["text"]) > 20, name
        assert isinstance(getattr(Config(), name), str | int | float | bool)


def test_every_knob_is_used_somewhere() -> None:
    root = pathlib.Path(__file__).parent.parent / "relayd"
    sources = "".join(p.read_text() for p in root.rglob("*.py") if p.name != "config.py")
    assert [name for name in FIELDS if name not in sources] == []
