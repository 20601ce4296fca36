"""An estimate of input tokens, calibrated per model by the real usage of earlier calls. Pure.

There is no tokenizer for these models outside the API, and Claude Code has no count to offer. The estimate starts from what is
sent (`anthropic/token_size.py`). What the API has counted of a call is that, times a factor of the model, and a constant: Claude
Code's own words, which are not the client's. Short calls tell the constant and long ones the factor; each is learned where the
other hardly matters, from texts alone. Used by `core/delivery.py` and `core/token_counter.py`, which says that it is an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

from relayd import codec
from relayd.anthropic import token_size
from relayd.anthropic.answer import Usage
from relayd.anthropic.blocks import Block
from relayd.anthropic.request import MessagesRequest

OVERHEAD_TOKENS = 3  # per message
WEIGHT = 0.3  # of the newest call
FACTOR_RANGE = (0.3, 3.0)
SHORT_TOKENS = 100  # a call of less tells the constant: an error of the factor makes few tokens there
LONG_TOKENS = 1000  # a call of more tells the factor
CONSTANT_MAX = 3000  # of tokens that are Claude Code's own
MODELS_MAX = 200
LEARNED_FROM, LEARNED_EACH = 20, 10  # to look at a call costs up to 2 ms: at the first ones, then at one in ten


@dataclass
class _Learned:
    """What a model's calls have told."""

    factor: float | None = None
    constant: float | None = None
    calls: int = 0


class TokenEstimate:
    """Keeps a factor and a constant per model."""

    def __init__(self) -> None:
        self._models: dict[str, _Learned] = {}

    def __repr__(self) -> str:
        return f"<TokenEstimate {self._models}>"

    def of(self, request: MessagesRequest) -> int:
        """About how many input tokens the API would count."""
        found = self._models.get(request.model)
        return max(1, round(_size(request) * (found.factor if found and found.factor else 1.0)))

    def learn(self, request: MessagesRequest, usage: Usage) -> None:
        """The API has counted this request."""
        counts = usage.as_json()
        names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        counted = sum(counts[name] for name in names)
        if not counted or not _is_plain(request) or (request.model not in self._models and len(self._models) >= MODELS_MAX):
            return
        found = self._models.setdefault(request.model, _Learned())
        found.calls += 1
        if found.calls > LEARNED_FROM and found.calls % LEARNED_EACH:
            return
        size = _size(request)
        if size < SHORT_TOKENS and not request.tools:
            over = counted - size * (found.factor or 1.0)
            found.constant = _moved(found.constant, over, (0.0, CONSTANT_MAX))
        elif size > LONG_TOKENS:
            found.factor = _moved(found.factor, (counted - (found.constant or 0.0)) / size, FACTOR_RANGE)


def _moved(known: float | None, seen: float, limits: tuple[float, float]) -> float:
    """What is known after one more call has told."""
    low, high = limits
    found = min(high, max(low, seen))
    return found if known is None else known + WEIGHT * (found - known)


def _is_plain(request: MessagesRequest) -> bool:
    """True for a request whose size is that of its texts: what a picture or a page counts is another guess."""
    return not any(_has_pages(block) for message in request.messages for block in message.content)


def _has_pages(block: Block) -> bool:
    inner = block.get("content")
    return block["type"] in ("image", "document") or (isinstance(inner, list) and any(map(_has_pages, inner)))


def _size(request: MessagesRequest) -> float:
    texts = list(request.system)
    for tool in request.tools:
        texts += [tool.name, tool.description, codec.dump(tool.input_schema).decode()]
    pages = sum(_block(block, texts) for message in request.messages for block in message.content)
    return token_size.of_texts(texts) + pages + OVERHEAD_TOKENS * len(request.messages)


def _block(block: Block, texts: list[str]) -> float:
    """The tokens of a picture or a document; texts are added to the list."""
    match block["type"]:
        case "image":
            return token_size.of_image(block["source"])
        case "document":
            return token_size.of_document(block["source"])
        case "tool_result" if isinstance(block.get("content"), list):
            return sum(_block(inner, texts) for inner in block["content"])
        case "text" | "thinking" as kind:
            texts.append(block[kind])  # the signature of thinking is no text to the model
        case _:
            texts.append(codec.dump(block).decode())
    return 0.0
