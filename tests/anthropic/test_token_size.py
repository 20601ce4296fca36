"""Tokens of texts, pictures and documents. The counts of texts are those of the tokenizer that the weights were fitted to."""

from __future__ import annotations

import base64
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic import token_size

PROSE = "A program written against the SDK changes only its base URL, and gets what the API would have said. "
TEXTS = [
    (PROSE, 21),
    ("def run(self, number: int) -> None:\n    return self._kinds[number](chance)\n", 23),
    ('{"id": 120483, "values": [1.25, 3.5, 70000], "name": "x"}\n', 28),
    ("本程序在本地运行，并回答每一个请求。", 13),
    ("Программа отвечает на каждый запрос пользователя. ", 20),
    ("이 프로그램은 모든 요청에 응답합니다. ", 22),
]


@pytest.mark.parametrize(("text", "tokens"), TEXTS)
def test_texts_of_all_kinds_are_counted_within_three_tenths(text: str, tokens: int) -> None:
    """All counted as English: a text in Chinese had a fourth of its tokens."""
    assert token_size.of_texts([text * 20]) == pytest.approx(20 * tokens, rel=0.3)


def test_the_work_does_not_grow_with_the_text() -> None:
    texts = [(PROSE + "漢字" * 50) * 20_000, "x", PROSE]
    part = token_size.of_texts([(PROSE + "漢字" * 50) * 50]) / 50
    begun = time.process_time()
    found = token_size.of_texts(texts)
    spent = time.process_time() - begun
    assert found == pytest.approx(part * 20_000, rel=0.15)
    assert spent < 1, "4 MB were read whole"


def image(head: bytes) -> float:
    return token_size.of_image({"type": "base64", "data": base64.b64encode(head).decode()})


HEADS = {
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 750, 400),
    "gif": b"GIF89a" + struct.pack("<HH", 750, 400),
    "webp, lossy": b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\x00" * 10 + struct.pack("<HH", 750, 400),
    "webp, lossless": b"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00/" + struct.pack("<I", 749 | 399 << 14) + b"\x00" * 8,
    "webp, extended": b"RIFF\x00\x00\x00\x00WEBPVP8X" + b"\x00" * 8 + (749).to_bytes(3, "little") + (399).to_bytes(3, "little"),
    "jpeg": b"\xff\xd8\xff\xe1\x00\x0aExif....\xff\xc0\x00\x11\x08" + struct.pack(">HH", 400, 750),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_picture_counts_by_its_pixels(kind: str) -> None:
    assert image(HEADS[kind]) == 400
    for end in range(len(HEADS[kind])):
        assert image(HEADS[kind][:end]) in (token_size.PICTURE_TOKENS, 0, 400), "cut"


def test_a_large_picture_counts_as_models_see_it() -> None:
    assert image(HEADS["png"][:16] + struct.pack(">II", 15680, 1000)) == pytest.approx(1568 * 100 / 750)
    assert image(HEADS["png"][:16] + struct.pack(">II", 8000, 8000)) == token_size.PICTURE_MAX_TOKENS
    assert token_size.of_image({"type": "url", "url": "https://x/y.png"}) == token_size.PICTURE_TOKENS


def test_a_document_counts_by_its_pages() -> None:
    data = base64.b64encode(b"%PDF-1.7 1 0 obj << /Type /Pages /Kids [2 0 R] /Count 7 >> endobj").decode()
    assert token_size.of_document({"type": "base64", "data": data}) == 7 * token_size.PAGE_TOKENS
    assert token_size.of_document({"type": "base64", "data": "QUJD" * 30_000}) == 3 * token_size.PAGE_TOKENS
    assert token_size.of_document({"type": "text", "data": PROSE}) == token_size.of_texts([PROSE])
    assert token_size.of_document({"type": "url", "url": "https://x"}) == token_size.PAGE_TOKENS


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"RIFF1234WEBP", b"\x89PNG", b"GIF8"]))
def test_any_bytes_have_a_size(data: bytes, head: bytes) -> None:
    assert 0 <= image(head + data) <= token_size.PICTURE_MAX_TOKENS
    assert token_size.of_document({"type": "base64", "data": base64.b64encode(head + data).decode()}) > 0
