"""JSON: the only owner of orjson. Bytes in, values out, and back; knows no message shapes."""

from __future__ import annotations

from typing import Any

import orjson


def parse(data: bytes) -> Any:
    """The value of one JSON document. Raises ValueError with orjson's text, which the API's own errors quote too."""
    return orjson.loads(data)


def dump(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises TypeError for lone surrogates and unknown types."""
    return orjson.dumps(value)


def canonical(value: Any) -> bytes:
    """The same bytes for equal values, whatever the order of their keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
