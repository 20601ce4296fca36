"""Compressed request bodies. Pure: bytes in, bytes out, never more than the limit."""

from __future__ import annotations

import zlib

from relayd.errors import ApiError

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # told apart by their headers
KNOWN = ("gzip", "x-gzip", "deflate")


def decoded(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The body without its content encoding. Raises ApiError 400 or 413 with the API's error codes."""
    for name in reversed([e.strip().lower() for e in encoding.split(",")]):
        if name in ("", "identity"):
            continue
        if name not in KNOWN:
            raise _error(400, "request_body_encoding_unsupported", f"content-encoding {name} is not supported")
        body = _inflated(body, limit_bytes)
    return body


def _inflated(body: bytes, limit_bytes: int) -> bytes:
    machine = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        data = machine.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise _error(400, "request_body_encoding_invalid", f"The request body is not validly encoded: {error}") from error
    if len(data) > limit_bytes:
        raise _error(413, "request_body_too_large_after_decoding", "Request exceeds the maximum size")
    if not machine.eof:
        raise _error(400, "request_body_encoding_invalid", "The request body is not validly encoded: it ends too early")
    return data


def _error(status: int, code: str, message: str) -> ApiError:
    return ApiError(status, message, details={"error_code": code})
