"""The fault runs' verdicts: an answer is right only if it is the stand-in's, to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.fault_world import judge

ASKED = json.dumps({"messages": [{"role": "user", "content": "- \t[[think hm]] [[paragraphs 2]]"}]}).encode()
RIGHT = "Paragraph 1 with *some* `words` in it.\n\nParagraph 2 with *some* `words` in it."
JSON, SSE = "application/json", "text/event-stream; charset=utf-8"


def whole(text: str, stop_reason: str | None = "end_turn") -> bytes:
    return json.dumps({"content": [{"type": "text", "text": text}], "stop_reason": stop_reason}).encode()


def stream(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()


def piece(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}


END = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}


@pytest.mark.parametrize(
    ("status", "kind", "data", "verdict"),
    [
        (200, JSON, whole(RIGHT), "ok"),
        (200, JSON, whole(RIGHT[:-1]), "BAD: it says"),
        (200, JSON, whole(RIGHT, None), "BAD: no stop reason"),
        (200, JSON, b"{", "BAD: JSONDecodeError"),
        (200, SSE, stream(piece(RIGHT[:9]), piece(RIGHT[9:]), END), "ok"),
        (200, SSE, stream(piece(RIGHT[:9]), END), "BAD: it says"),
        (200, SSE, stream(piece(RIGHT)), "BAD: the stream ends in content_block_delta"),
        (200, SSE, stream(piece(RIGHT[:9]), ERROR), "overloaded_error"),
        (529, JSON, json.dumps(ERROR).encode(), "overloaded_error"),
        (500, JSON, b"<html>", "BAD: JSONDecodeError"),
    ],
)
def test_the_verdict(status: int, kind: str, data: bytes, verdict: str) -> None:
    assert judge(status, kind, data, ASKED).startswith(verdict)
