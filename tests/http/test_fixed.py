"""Answers to those whose request was never parsed are whole HTTP, in the API's shape."""

from __future__ import annotations

import json

import h11
import pytest

from relayd.http import fixed


@pytest.mark.parametrize("kind", [fixed.STRANGER, fixed.TOO_SLOW])
def test_a_fixed_answer_is_whole_and_ends_its_connection(kind: tuple[int, str, str, str]) -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(fixed.answer(kind, "Thu, 01 Jan 2026 00:00:00 GMT"))
    head, body = client.next_event(), client.next_event()
    assert isinstance(head, h11.Response)
    assert isinstance(body, h11.Data)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    assert head.status_code == kind[0]
    assert (b"date", b"Thu, 01 Jan 2026 00:00:00 GMT") in list(head.headers)
    assert json.loads(body.data) == {"type": "error", "error": {"type": kind[2], "message": kind[3]}}
    assert client.our_state is h11.MUST_CLOSE
