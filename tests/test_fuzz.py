"""The parsers of bytes from outside never raise and never keep more than they got: a short run; `scripts/fuzz` goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz_targets import TARGETS

SEEDS = (
    b'{"hook_event_name":"UserPromptSubmit","prompt":"x","session_id":"s"}',
    b'{"type":"assistant","message":{"id":"m","model":"m","content":[{"type":"text","text":"x"}],"usage":{}}}\n',
    b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}',
    b'{"model":"m","messages":[{"role":"user","content":5}]}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{}}}',
    b'event: message_start\ndata: {"type": "message_start", "message": {"usage": {"input_tokens": 1}}}\n\n',
    b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--b--',
    b"content-length: 5\r\n\r\nhello",
    b"\x81\x85\x00\x00\x00\x00hello",
    b"\x1b[2J\x1b[H\x1b]0;title\x07\x1b[31mred",
)


@pytest.mark.parametrize("name", TARGETS)
@given(st.binary(max_size=300) | st.sampled_from(SEEDS), st.integers(0, 400), st.binary(max_size=4))
def test_any_bytes_are_survived(name: str, data: bytes, place: int, other: bytes) -> None:
    TARGETS[name](data)
    TARGETS[name](data[:place] + other + data[place + len(other) :])
