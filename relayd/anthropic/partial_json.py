"""What is known of an object whose JSON was cut: the members that are complete. Pure.

An answer that ends at `max_tokens` may end within a tool's input. The API then gives what had arrived: whole members, and the
beginning of lists and objects. A text, a number or a name that is not complete is left out, as the official SDKs do it when they
put a stream together. Called by `core/session/raw_inputs.py`; it must not raise, whatever the model wrote.
"""

from __future__ import annotations

import re
from typing import Any

from relayd import codec

TOKENS_MAX = 10_000  # 20 ms of work
TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|\s+|[^\s"{}\[\],:]+', re.DOTALL)
SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
CLOSERS = {"{": "}", "[": "]"}


def partial(text: str) -> dict[str, Any] | None:
    """The object that begins so: an empty one if nothing of it is complete, or if this is no beginning of an object. None if it
    is too much work for the loop to know.
    """
    closed = _closed(text)
    if closed is None:
        return None
    try:
        found = codec.parse(closed.encode())
    except ValueError:  # halves of surrogate pairs among them
        return {}
    return found if isinstance(found, dict) and not codec.is_too_deep(found) else {}


def _closed(text: str) -> str | None:
    """The text up to the end of its last complete value, with all that is open there closed; None for one that is too long."""
    open_ends: list[str] = []
    is_name = False  # a text here names a member
    place, end, closers, count = 0, 0, "", 0
    while (token := TOKEN.match(text, place)) is not None:  # none for a text that is not complete
        piece, place, count = token[0], token.end(), count + 1
        if count > TOKENS_MAX:
            return None
        match piece[0]:
            case "{" | "[":
                open_ends.append(CLOSERS[piece])
                is_name = piece == "{"
                if len(open_ends) > codec.DEPTH_MAX:  # no reader would take it, and closing it again and again takes long
                    return ""
            case "}" | "]":
                del open_ends[-1:]
            case ",":
                is_name = open_ends[-1:] == ["}"]
            case ":":
                is_name = False
        if _is_value(piece, is_name):
            end, closers = place, "".join(reversed(open_ends))
    return text[:end] + closers


def _is_value(piece: str, is_name: bool) -> bool:
    """True if a value is complete with this, or begins with it and may be closed at once."""
    match piece[0]:
        case "{" | "[" | "}" | "]":
            return True
        case '"':
            return not is_name
        case "," | ":":
            return False
        case _:
            return SCALAR.fullmatch(piece) is not None
