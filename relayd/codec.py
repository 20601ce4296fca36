"""JSON: the only owner of orjson. Bytes in, values out, and back; knows no message shapes.

Of two keys with the same name the last one counts, as for most parsers. Halves of surrogate pairs, NaN and infinities are
no JSON. The parser takes 1,024 levels and the writer 254, so whoever keeps a value of a peer asks `is_too_deep` first.
"""

from __future__ import annotations

from typing import Any

import orjson

WRITER_DEPTH_MAX = 254  # orjson's own limit
DEPTH_MAX = 200  # of what a peer sends; the rest is for what we put around it


def parse(data: bytes) -> Any:
    """The value of one JSON document. Raises ValueError with orjson's text, which the API's own errors quote too."""
    return orjson.loads(data)


def dump(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises TypeError for lone surrogates, unknown types, integers of more than 64 bits, deeper values."""
    return orjson.dumps(value)


def canonical(value: Any) -> bytes:
    """The same bytes for equal values, whatever the order of their keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def is_too_deep(value: Any) -> bool:
    """True for a parsed value of more than DEPTH_MAX levels. Writing it, with as many levels around it as are to spare, is the
    quickest way to know: a walk in Python would hold the loop.
    """
    for _ in range(WRITER_DEPTH_MAX - DEPTH_MAX):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False
