"""A call that was cut is given as what had arrived: as the official SDKs put a stream together, at every place."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jiter import from_json

from relayd.anthropic.partial_json import TOKENS_MAX, partial

# Numbers that JSON's readers give back alike.
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x != 0)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), VALUES, max_size=4)


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans())
def test_every_beginning_of_an_object_is_what_the_sdks_make_of_it(
    value: dict[str, object], indent: int | None, is_ascii: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    assert partial(text) == json.loads(text)
    for end in range(1, len(text)):
        assert partial(text[:end]) == from_json(text[:end].encode("utf-8", "surrogatepass"), partial_mode=True), text[:end]


@pytest.mark.parametrize(
    "text", ["", " ", "[1", '"a', "1", "}", "]", '{"a":1}}', "{,", "{]", '{"a":1]', "{" * 5000, '{"a":' * 300, "nonsense"]
)
def test_what_begins_no_object_is_an_empty_one_or_its_beginning(text: str) -> None:
    assert partial(text) in ({}, {"a": 1})


@pytest.mark.parametrize("text", ['{"a": [' + "1," * TOKENS_MAX, '{"a": [' + "[1]," * TOKENS_MAX])
def test_what_would_hold_the_loop_is_left_alone(text: str) -> None:
    assert partial(text) is None
    assert partial(text[: TOKENS_MAX // 2])


def test_a_long_text_is_no_work() -> None:
    assert partial('{"a": 1, "b": "' + "x\\n" * 10**6) == {"a": 1}
    assert partial('{"b": "' + "x\\n" * 10**6 + '", "a": 1, "c"') == {"b": "x\n" * 10**6, "a": 1}


def test_noise_never_raises() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        noise = "".join(chance.choice('{}[]:,"\\ tfn01-.eE\ud800é') for _ in range(chance.randrange(30)))
        assert isinstance(partial(noise), dict)
        assert isinstance(partial('{"a": ' + noise), dict)
