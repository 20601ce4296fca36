"""About how many tokens the API counts for a text, a picture or a document. Pure; bounded work whatever their size.

No tokenizer of today's models is public. Texts are weighed by what they are made of: the weights were fitted to the tokenizer
of an earlier model, which Anthropic's SDK once carried, on prose, programs, data and nine languages. A picture counts by its
pixels, as Anthropic's documents say; a PDF by its pages. Used by `core/token_estimate.py`, which learns from the calls of each
model by which factor that is wrong.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

SLICE_CHARS = 1024
SLICES_MAX = 16  # of longer texts so many are looked at: to read all of 32 MB would hold the loop
# What a text is made of, and the tokens for each: words that are a capital and small letters, or capitals; then their letters.
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
WORD_TOKENS, LETTER_TOKENS = 0.80, 0.138
WEIGHTS = tuple(
    (re.compile(pattern), tokens)
    for pattern, tokens in (
        (r"[0-9]+", 0.87),
        (r"[0-9]", 0.31),
        (r"[!-/:-@\[-`{-~]", 0.40),
        (r"\n+", 1.20),
        (r"[\u00a1-\u024f]", 1.19),  # Latin letters with marks
        (r"[\u0400-\u04ff]", 0.55),  # Cyrillic
        (r"[\u3001-\u30ff\u3400-\u9fff\uff00-\uffef]", 0.91),  # Chinese and Japanese
        (r"[\uac00-\ud7af]", 1.39),  # Korean
        (r"[\u0250-\u03ff\u0500-\u2fff\ua000-\uabff]", 1.29),  # Greek, Arabic, Hindi, signs
        (r"[\U00010000-\U0010ffff]", 2.69),  # emoji
    )
)

EDGE_MAX_PIXELS = 1568  # a larger picture is made smaller before a model sees it
PIXELS_PER_TOKEN = 750
PICTURE_MAX_TOKENS = 1600
PICTURE_TOKENS = 1500  # of one whose size is not known
HEAD_CHARS = 256 * 1024  # of base64: the size of a JPEG stands behind what cameras write
WEBP_HEAD_BYTES = 30
PAGE_TOKENS = 2000
PAGE_CHARS = 40_000  # of base64, of a PDF whose pages cannot be counted
PAGES = re.compile(rb"/Type\s*/Pages\b[^>]{0,200}?/Count\s+(\d{1,4})|/Count\s+(\d{1,4})[^>]{0,200}?/Type\s*/Pages\b")


def of_texts(texts: Sequence[str]) -> float:
    """The tokens of some texts together."""
    total = sum(map(len, texts))
    if total <= SLICE_CHARS * SLICES_MAX:
        return _weighed("".join(texts))
    sample = "".join(_slices(texts, total))
    return _weighed(sample) * total / len(sample)


def _slices(texts: Sequence[str], total: int) -> Iterator[str]:
    """Parts of long texts, at even distances in all of them."""
    step, place, begin = total / SLICES_MAX, 0.0, 0
    for text in texts:
        while place < begin + len(text):
            at = int(place) - begin
            yield text[at : at + SLICE_CHARS]
            place += step
        begin += len(text)


def of_image(source: dict[str, Any]) -> float:
    """The tokens of a picture."""
    size = _pixels(_head(source["data"])) if source["type"] == "base64" else None
    if size is None:
        return PICTURE_TOKENS
    scale = min(1.0, EDGE_MAX_PIXELS / max(1, *size))
    return min(PICTURE_MAX_TOKENS, size[0] * scale * size[1] * scale / PIXELS_PER_TOKEN)


def of_document(source: dict[str, Any]) -> float:
    """The tokens of a document."""
    if source["type"] == "text":
        return of_texts([source["data"]])
    if source["type"] != "base64":
        return PAGE_TOKENS
    data = source["data"]
    ends = _head(data) + (_head(data[-HEAD_CHARS - len(data) % 4 :]) if len(data) > HEAD_CHARS else b"")
    pages = max((int(a or b) for a, b in PAGES.findall(ends)), default=0)
    return PAGE_TOKENS * max(1.0, pages or len(data) / PAGE_CHARS)


def _weighed(text: str) -> float:
    words = WORD.findall(text)
    found = WORD_TOKENS * len(words) + LETTER_TOKENS * sum(map(len, words))
    return found + sum(weight * len(kind.findall(text)) for kind, weight in WEIGHTS)


def _head(data: str) -> bytes:
    """The first bytes of base64."""
    try:
        return base64.b64decode(data[: min(len(data), HEAD_CHARS) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _pixels(head: bytes) -> tuple[int, int] | None:
    """Width and height, as the beginning of a PNG, GIF, WebP or JPEG says."""
    try:
        if head.startswith(b"\x89PNG"):
            return struct.unpack(">II", head[16:24])
        if head.startswith(b"GIF8"):
            return struct.unpack("<HH", head[6:10])
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp(head)
        return _jpeg(head) if head.startswith(b"\xff\xd8") else None
    except (struct.error, IndexError):
        return None


def _webp(head: bytes) -> tuple[int, int] | None:
    if len(head) < WEBP_HEAD_BYTES:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    place = 2
    while head[place] == 0xFF:
        marker = head[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return width, height
        place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return None
