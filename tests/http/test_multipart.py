"""Forms, whole and in pieces: the same parts come out wherever the bytes are cut, and nothing that is no form passes."""

from __future__ import annotations

from typing import Any

import pytest

from relayd.errors import ApiError
from relayd.http import multipart
from relayd.http.multipart import FormEnded, Multipart, PartBegun, PartData
from tests.helpers import splits

BOUNDARY = b"x-1"
PICTURE = b"\x89PNG\r\n\x1a\n--x-\r\n--x-\x00\r\n"  # it holds beginnings of the delimiter, and ends in one


def form(*parts: tuple[str, bytes], end: bytes = b"--x-1--\r\n") -> bytes:
    return b"".join(b"--x-1\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + end


def part(fields: str = 'name="file"; filename="a.png"', kind: str = "\r\nContent-Type: image/png") -> str:
    return f"Content-Disposition: form-data; {fields}{kind}"


WHOLE = form((part(), PICTURE), (part('name="expires_in_seconds"', ""), b"3600"), (part('name="empty"', ""), b""))
PARTS = [
    (PartBegun("file", "a.png", "image/png"), PICTURE),
    (PartBegun("expires_in_seconds"), b"3600"),
    (PartBegun("empty"), b""),
]


def fed(pieces: list[bytes]) -> list[tuple[PartBegun, bytes]]:
    """The parts of a form that comes in these pieces; none keeps more than a head or a delimiter."""
    machine = Multipart(BOUNDARY)
    found: list[tuple[PartBegun, bytes]] = []
    for data in pieces:
        for piece in machine.feed(data):
            match piece:
                case PartBegun():
                    found.append((piece, b""))
                case PartData(more):
                    assert more
                    found[-1] = (found[-1][0], found[-1][1] + more)
                case FormEnded():
                    pass
        assert len(machine._buffer) < 200
    assert machine.is_over
    return found


def test_a_form_is_the_same_whole_byte_by_byte_and_at_random_cuts() -> None:
    for pieces in splits(WHOLE):
        assert fed(pieces) == PARTS
    for cut in range(len(WHOLE)):
        assert fed([WHOLE[:cut], WHOLE[cut:]]) == PARTS
    assert multipart.whole(BOUNDARY, WHOLE) == PARTS


@pytest.mark.parametrize("before", [b"", b"a preamble\r\nof two lines\r\n", b"\r\n", b"--x-\r\n"])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"an epilogue --x-1\r\n--x-1\r\n"])
def test_what_stands_around_a_form_is_ignored(before: bytes, after: bytes) -> None:
    for pieces in splits(before + WHOLE.removesuffix(b"\r\n") + after):
        assert fed(pieces) == PARTS


def test_blanks_behind_a_delimiter_are_transport_padding() -> None:
    padded = WHOLE.replace(b"--x-1\r\n", b"--x-1 \t \r\n")
    assert all(fed(pieces) == PARTS for pieces in splits(padded))


def test_a_large_part_keeps_no_more_than_a_delimiter() -> None:
    machine = Multipart(BOUNDARY)
    machine.feed(form((part(), b""), end=b"").removesuffix(b"\r\n"))
    given = 0
    for _ in range(100):
        given += sum(len(p.data) for p in machine.feed(b"\r\n" * 5000) if isinstance(p, PartData))
        assert len(machine._buffer) < len(BOUNDARY) + 4
    assert given > 990_000


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ('name="file"; filename="C:\\\\a\\"b.png"', 'C:\\\\a"b.png'),
        ('name="file"; filename="a%22b.png"', 'a"b.png'),
        ("name=file; filename=a.png", "a.png"),
        ('name="file"; filename="x"; filename*=UTF-8\'\'%e2%82%ac.pdf', "€.pdf"),
        ('name="file"; filename="über.pdf"', "über.pdf"),
        ('name="file"; filename=""', ""),
        ('name="file"', None),
    ],
)
def test_names_of_files_as_clients_write_them(fields: str, wanted: str | None) -> None:
    ((begun, _),) = multipart.whole(BOUNDARY, form((part(fields), b"x")))
    assert begun == PartBegun("file", wanted, "image/png")


BROKEN: dict[str, Any] = {
    "nothing": (b"", "incomplete"),
    "no end": (WHOLE[:-9], "incomplete"),
    "no boundary": (b"hello", "incomplete"),
    "no name": (form(("Content-Disposition: form-data", b"x")), "without a name"),
    "another disposition": (form(('Content-Disposition: attachment; name="file"', b"x")), "without a name"),
    "no head": (b"--x-1\r\n\r\nx\r\n--x-1--", "without a name"),
    "a longer boundary": (WHOLE.replace(b"--x-1\r\n", b"--x-12\r\n", 1), "follows a boundary"),
    "endless padding": (b"--x-1" + b" " * 1000, "follows a boundary"),
    "an endless head": (b"--x-1\r\nA: " + b"x" * 10_000, "longer than"),
    "a long head": (form((f"A: {'x' * 10_000}", b"x")), "longer than"),
    "too many parts": (form(*[(part(), b"")] * 21), "more than 20 parts"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_form_is_refused(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(ApiError) as caught:
        multipart.whole(BOUNDARY, data)
    assert (caught.value.status, message in caught.value.message) == (400, True), caught.value
    for pieces in splits(data):
        assert said(pieces) in ("incomplete", caught.value.message)


def said(pieces: list[bytes]) -> str:
    """What the parser says of these pieces."""
    machine = Multipart(BOUNDARY)
    try:
        for piece in pieces:
            machine.feed(piece)
    except ApiError as error:
        return error.message
    return "whole" if machine.is_over else "incomplete"


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        (f"multipart/form-data; boundary={'x' * 71}", None),
        ("multipart/mixed; boundary=abc", None),
        ("", None),
    ],
)
def test_the_boundary_is_in_the_content_type(header: str, boundary: bytes | None) -> None:
    if boundary is not None:
        assert multipart.boundary_of(header) == boundary
        return
    with pytest.raises(ApiError):
        multipart.boundary_of(header)


def test_a_parser_says_how_far_it_is() -> None:
    machine = Multipart(BOUNDARY)
    machine.feed(WHOLE[:20])
    assert repr(machine) == "<Multipart head parts=0 buffered=15>"
