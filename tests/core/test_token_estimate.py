"""The estimate of tokens after any history of calls. What the API counts is made here: a constant, and a factor on texts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from relayd.anthropic import token_size
from relayd.anthropic.answer import Usage
from relayd.anthropic.request import MessagesRequest, parse
from relayd.core.token_estimate import LEARNED_FROM, TokenEstimate

PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
TOOLS = [{"name": "get", "description": "Gets.", "input_schema": {"type": "object"}}]


def request(text: str, **fields: Any) -> MessagesRequest:
    """A call of one message."""
    content = [{"type": "text", "text": text}]
    return parse({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}], **fields}, "")


def words(tokens: int) -> MessagesRequest:
    """A call whose text is taken for so many tokens."""
    return request("word " * round(1000 * tokens / token_size.of_texts(["word " * 1000])))


def with_picture() -> MessagesRequest:
    """A call whose picture the API counts at what it likes."""
    return parse({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [PICTURE]}]}, "")


def counted(tokens: float) -> Usage:
    """What the API has told."""
    return Usage({"input_tokens": 1, "cache_creation_input_tokens": round(tokens) - 1})


def test_short_calls_teach_no_factor() -> None:
    """Six calls "hi", and 40,500 characters, 10,133 tokens, were counted as 34,723: a factor had learned a constant."""
    estimate = TokenEstimate()
    long = request("word " * 8100)
    before = estimate.of(long)
    for _ in range(6):
        estimate.learn(request("hi"), counted(60))
    assert estimate.of(long) == before
    estimate.learn(request("word " * 4000), counted(5000 + 60))
    assert estimate.of(long) == pytest.approx(10133, rel=0.05)


@pytest.mark.parametrize("seed", range(200))
def test_any_history_with_one_long_call_leaves_the_count_within_five_percent(seed: int) -> None:
    """Short calls, calls with tools and with pictures, in any order: none of them may spoil what a long text has told."""
    chance = random.Random(seed)
    factor, constant, estimate = chance.uniform(0.7, 1.5), chance.randint(0, 45), TokenEstimate()
    history = [chance.choice(("short", "tools", "picture", "middle", "long")) for _ in range(chance.randint(0, 40))]
    history.insert(chance.randrange(min(len(history) + 1, LEARNED_FROM)), "long")
    for kind in history:
        if kind == "picture":
            estimate.learn(with_picture(), counted(chance.randint(10, 9000)))
        elif kind == "tools":
            estimate.learn(request("hi", tools=TOOLS), counted(400))
        else:
            size = chance.randint(*{"short": (1, 60), "middle": (100, 900), "long": (1100, 20000)}[kind])
            estimate.learn(words(size), counted(size * factor + constant))
    size = chance.randint(500, 50000)
    assert estimate.of(words(size)) == pytest.approx(size * factor, rel=0.05)
