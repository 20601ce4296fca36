"""An estimate of input tokens, calibrated per model by the real usage of earlier calls. Pure.

There is no tokenizer for these models outside the API, and Claude Code has no count to offer. The
estimate starts from the size of what is sent; each answered call moves its model's factor towards what
the API counted. Used by `core/relay.py` for `count_tokens`, which says that it is an estimate.
"""

from __future__ import annotations

from typing import Any

from relayd import codec
from relayd.anthropic.answer import Usage
from relayd.anthropic.blocks import Block
from relayd.anthropic.request import MessagesRequest

CHARS_PER_TOKEN = 3.5
IMAGE_TOKENS = 1500  # a picture of the size that models see
PAGE_CHARS = 4000  # base64 characters of a PDF for each page's worth of tokens
PAGE_TOKENS = 2000
OVERHEAD_TOKENS = 3  # per message
WEIGHT = 0.3  # of the newest call
FACTOR_RANGE = (0.3, 3.0)
MODELS_MAX = 200


class TokenEstimate:
    """Keeps a factor per model."""

    def __init__(self) -> None:
        self._factors: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<TokenEstimate {self._factors}>"

    def of(self, request: MessagesRequest) -> int:
        """About how many input tokens the API would count."""
        return max(1, round(_size(request) * self._factors.get(request.model, 1.0)))

    def learn(self, request: MessagesRequest, usage: Usage) -> None:
        """The API has counted this request."""
        counts = usage.as_json()
        names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        counted = sum(counts[name] for name in names)
        if not counted or (request.model not in self._factors and len(self._factors) >= MODELS_MAX):
            return
        low, high = FACTOR_RANGE
        found = min(high, max(low, counted / _size(request)))
        known = self._factors.get(request.model)
        self._factors[request.model] = found if known is None else known + WEIGHT * (found - known)


def _size(request: MessagesRequest) -> float:
    texts = sum(map(len, request.system)) + sum(len(codec.dump(t.input_schema)) + len(t.description) for t in request.tools)
    blocks = sum(_block(b) for m in request.messages for b in m.content)
    return texts / CHARS_PER_TOKEN + blocks + OVERHEAD_TOKENS * len(request.messages)


def _block(block: Block) -> float:
    kind = block["type"]
    if kind == "text":
        return len(block["text"]) / CHARS_PER_TOKEN
    if kind == "image":
        return IMAGE_TOKENS
    if kind == "document":
        return _document(block.get("source") or {})
    if kind == "tool_result" and isinstance(block.get("content"), list):
        return sum(_block(b) for b in block["content"])
    return len(codec.dump(block)) / CHARS_PER_TOKEN


def _document(source: dict[str, Any]) -> float:
    data = source.get("data") or ""
    if source.get("type") == "base64":
        return PAGE_TOKENS * max(1, len(data) / PAGE_CHARS / 10)
    return len(data) / CHARS_PER_TOKEN or PAGE_TOKENS
