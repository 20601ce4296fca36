"""Streams of events, cut into whole events wherever the bytes are split."""

from __future__ import annotations

import pytest

from relayd.anthropic import sse_events
from relayd.anthropic.sse_events import EventCutter, told
from tests.helpers import splits

EVENTS = [b'event: a\ndata: {"type": "a"}\n\n', b": note\n\n", b"event: b\r\ndata: {\r\ndata: }\r\n\r\n", b"data: {}\r\r"]


def test_events_are_the_same_however_they_are_split() -> None:
    for pieces in splits(b"".join(EVENTS)):
        cutter = EventCutter()
        assert [event for piece in pieces for event in cutter.feed(piece)] == EVENTS
        assert repr(cutter) == "<EventCutter 0>"


def test_half_an_event_waits() -> None:
    cutter = EventCutter()
    assert cutter.feed(EVENTS[0] + b"event:") == [EVENTS[0]]
    assert repr(cutter) == "<EventCutter 6>"


def test_one_that_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_events, "EVENT_MAX_BYTES", 100)
    cutter = EventCutter()
    assert cutter.feed(b"data: " + b"x" * 80) == []
    with pytest.raises(ValueError, match="too large"):
        cutter.feed(b"x" * 80)


def test_what_an_event_says() -> None:
    assert [told(event) for event in EVENTS] == [{"type": "a"}, {}, {}, {}]
    for wrong in (b"data: {\n\n", b"data: []\n\n", b"data: 5\n\n"):
        with pytest.raises(ValueError):  # noqa: PT011, of either kind
            told(wrong)
