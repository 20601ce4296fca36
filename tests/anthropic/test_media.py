"""Pictures and documents are counted wherever they stand, and more than Claude Code hands over are refused."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.anthropic.request import parse
from relayd.claude import compose
from relayd.errors import ApiError
from tests.repairs import TOOLS, call, result, said, text, user

PICTURE: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
PAPER: dict[str, Any] = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}


LIMITS = [("claude-sonnet-4-6", 100), ("claude-sonnet-4-6[1m]", 600), ("claude-sonnet-5", 600)]


def asked(model: str, *messages: dict[str, Any]) -> None:
    request = parse({"model": model, "max_tokens": 9, "tools": TOOLS, "messages": list(messages)}, "2023-06-01")
    assert request.has_media
    compose.check(request)


@pytest.mark.parametrize(
    ("model", "limit"), [("claude-sonnet-4-6", 100), ("claude-sonnet-4-6[1m]", 600), ("claude-sonnet-5", 600)]
)
def test_those_in_results_and_of_earlier_messages_count(model: str, limit: int) -> None:
    """Seen on 2.1.330: the oldest were left out in silence."""
    given = [PICTURE] * (limit - 3)
    before = (user(PAPER, "go"), said(call("a")), user(result("a", content=[PICTURE, text("so"), PAPER])), said(text("ok")))
    asked(model, *before, user(*given))
    with pytest.raises(ApiError, match=f"at most {limit} images and documents to this model; there are {limit + 1}"):
        asked(model, *before, user(*given, PAPER))


def test_all_of_them_together_have_a_size() -> None:
    """Past it Claude Code leaves out the oldest, too; of the real API's address only, by the binary's text."""
    large = PICTURE | {"source": {"type": "base64", "media_type": "image/png", "data": "aGkh" * (1024 * 1024)}}
    asked("claude-sonnet-5", user(*[large] * 6))
    with pytest.raises(ApiError, match="characters of base64"):
        asked("claude-sonnet-5", user(*[large] * 6, large))


def test_texts_alone_have_none() -> None:
    assert not parse({"model": "m", "max_tokens": 9, "messages": [user("hi")]}, "2023-06-01").has_media
