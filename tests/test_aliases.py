"""Other names for models: which count, which are refused at the start, and what a request is then."""

from __future__ import annotations

import json

import pytest

from relayd import aliases
from relayd.config import load
from relayd.errors import ConfigError
from tests.core.test_edge import CHAT, MESSAGES, RESPONSES, post
from tests.core.test_http_api import send, value
from tests.core.test_pool_and_relay import World

TEXT = "gpt-4o*=claude-sonnet-5, gpt-*=haiku ,fast=claude-opus-5[1m]"


@pytest.mark.parametrize(
    ("name", "model"),
    [("gpt-4o", "claude-sonnet-5"), ("gpt-4o-mini", "claude-sonnet-5"), ("gpt-5", "haiku"), ("fast", "claude-opus-5[1m]")]
    + [("GPT-4o", "GPT-4o"), ("claude-opus-5", "claude-opus-5"), ("x" * 300, "x" * 300), ("", "")],
)
def test_the_first_pattern_that_fits_counts(name: str, model: str) -> None:
    assert aliases.resolved(name, TEXT) == model
    assert aliases.resolved(name, "") == name


@pytest.mark.parametrize(
    ("key", "value"),
    [("model_aliases", text) for text in ("gpt", "=a", "a=", "a b=c", "a=--c", "[a]=c", "a=" + "c" * 201, "a=b," * 101)]
    + [("default_model", "-x"), ("default_model", "a b")],
)
def test_what_is_wrong_is_told_at_the_start(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load("", {}, {key: value})


@pytest.mark.parametrize("path", [MESSAGES, CHAT, RESPONSES])
@pytest.mark.parametrize(("given", "model"), [("gpt-4o", "claude-sonnet-5"), ("claude-opus-5", "claude-opus-5"), (None, "haiku")])
def test_requests_are_for_the_model_that_is_meant(path: str, given: str | None, model: str) -> None:
    """Programs with a fixed list of models could not be used at all."""
    body = {"max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], "input": "hi"} | (
        {"model": given} if given else {}
    )
    world, client = post(json.dumps(body).encode(), path, model_aliases="gpt-4o*=claude-sonnet-5", default_model="haiku")
    assert world.relay.calls.by_client[client].request.model == model


def test_a_client_that_asks_for_its_model_is_told_the_one_that_is_meant() -> None:
    world = World(model_aliases="gpt-4o*=claude-sonnet-5")
    assert value(world, "GET", "/v1/models/gpt-4o-mini")["id"] == "claude-sonnet-5"
    assert send(world, "GET", "/v1/models/gpt-5").status == 404
