"""Compressed bodies: undone in order, and never more than the limit."""

from __future__ import annotations

import gzip
import zlib

import pytest

from relayd.errors import ApiError
from relayd.http.encoding import decoded

BODY = b'{"a": 1}' * 20


@pytest.mark.parametrize(
    ("sent", "encoding"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (gzip.compress(BODY), "GZIP"),
        (gzip.compress(BODY), "x-gzip"),
        (zlib.compress(BODY), "deflate"),
        (gzip.compress(zlib.compress(BODY)), "deflate, gzip"),  # in the order in which they were applied
    ],
)
def test_what_was_encoded_comes_out(sent: bytes, encoding: str) -> None:
    assert decoded(sent, encoding, len(BODY)) == BODY


@pytest.mark.parametrize(
    ("sent", "encoding", "status", "code"),
    [
        (BODY, "br", 400, "request_body_encoding_unsupported"),
        (BODY, "gzip", 400, "request_body_encoding_invalid"),
        (gzip.compress(BODY)[:-9], "gzip", 400, "request_body_encoding_invalid"),
        (gzip.compress(BODY + b" "), "gzip", 413, "request_body_too_large_after_decoding"),
        (gzip.compress(bytes(50_000_000)), "gzip", 413, "request_body_too_large_after_decoding"),
    ],
)
def test_what_cannot_be_undone_is_refused_with_the_apis_code(sent: bytes, encoding: str, status: int, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        decoded(sent, encoding, len(BODY))
    assert (caught.value.status, (caught.value.details or {})["error_code"]) == (status, code)
