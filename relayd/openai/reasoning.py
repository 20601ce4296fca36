"""Thinking as the Responses shape carries it: a summary to read, and the whole block to send back. Pure.

The Messages API wants a block of thinking back as it was, with its signature; OpenAI's shape has one field that a client hands
back unread, `encrypted_content`. So the block travels there. It is no secret, the client may read the same as `summary`.
Used by `response_items` and `response_output`.
"""

from __future__ import annotations

import base64
from typing import Any

from relayd import codec

MARK = "relayd-thinking:"
KINDS = ("thinking", "redacted_thinking")


def sealed(block: dict[str, Any]) -> str | None:
    """The block as `encrypted_content`; None for thinking without a signature, which nobody would take back."""
    if block["type"] == "thinking" and not block.get("signature"):
        return None
    return MARK + base64.b64encode(codec.dump(block)).decode()


def opened(value: Any) -> dict[str, Any] | None:
    """The block in an `encrypted_content`; None for anything that was not made here."""
    if not isinstance(value, str) or not value.startswith(MARK):
        return None
    try:
        block = codec.parse(base64.b64decode(value.removeprefix(MARK), validate=True))
    except ValueError:
        return None
    return block if isinstance(block, dict) and block.get("type") in KINDS else None


def texts(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The summary of a block, as parts."""
    text = block.get("thinking", "")
    return [{"type": "summary_text", "text": text}] if text else []
