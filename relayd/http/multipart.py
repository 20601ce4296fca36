"""`multipart/form-data` (RFC 7578): bytes in, parts out. Pure, and bounded: it keeps a head, or less than a delimiter of a body.

The bytes may come in pieces of any size. What is not a form, or has too many or too long heads, is an ApiError 400. Used by
`core/files/upload.py`; how large a form may be is decided before it comes here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

from relayd.errors import ApiError, invalid
from relayd.http.messages import text_of

BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
# A parameter of a header: a token, or a text in quotes in which only a quote is escaped (browsers write %22 instead).
PARAMETER = re.compile(r""";\s*([\w!#$&+.^`|~-]+\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))""", re.DOTALL)
PARTS_MAX = 20
HEAD_MAX_BYTES = 8 * 1024
PADDING_MAX_BYTES = 64  # blanks behind a delimiter


@dataclass(frozen=True)
class PartBegun:
    """The head of a part. `filename` is None where there is none; `kind` is the content type, lower case, or empty."""

    name: str
    filename: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class PartData:
    """A piece of the part that has begun last."""

    data: bytes


@dataclass(frozen=True)
class FormEnded:
    """The closing delimiter has come; what follows is ignored."""


Piece = PartBegun | PartData | FormEnded


class _State(Enum):
    PREAMBLE = "preamble"  # before the first delimiter
    DELIMITER = "delimiter"  # behind one: a line's end, or the two dashes of the last
    HEAD = "head"
    OPENING = "opening"  # behind a head: the line's end may belong to the next delimiter, if the body is empty
    BODY = "body"
    EPILOGUE = "epilogue"


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names. Raises ApiError 400."""
    kind, _, _ = content_type.partition(";")
    found = _parameters(content_type).get("boundary", "")
    if kind.strip().lower() != "multipart/form-data" or not BOUNDARY.fullmatch(found):
        raise invalid("content-type: must be multipart/form-data with a boundary")
    return found.encode()


class Multipart:
    """See the module's text."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # the first delimiter may stand at the very start
        self._state = _State.PREAMBLE
        self._parts = 0

    def __repr__(self) -> str:
        return f"<Multipart {self._state.value} parts={self._parts} buffered={len(self._buffer)}>"

    @property
    def is_over(self) -> bool:
        """True once the form has ended."""
        return self._state is _State.EPILOGUE

    def feed(self, data: bytes) -> list[Piece]:
        """What these bytes bring. Raises ApiError 400."""
        self._buffer += data
        found: list[Piece] = []
        while self._step(found):
            pass
        return found

    def _step(self, found: list[Piece]) -> bool:
        """Go on by one; False if more bytes are needed."""
        match self._state:
            case _State.PREAMBLE:
                return self._skip()
            case _State.DELIMITER:
                return self._behind_delimiter(found)
            case _State.HEAD:
                return self._head(found)
            case _State.OPENING:
                return self._open()
            case _State.BODY:
                return self._body(found)
            case _State.EPILOGUE:
                self._buffer.clear()
                return False

    def _skip(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            del self._buffer[: self._kept_from]
            return False
        self._pass_delimiter(at)
        return True

    @property
    def _kept_from(self) -> int:
        """What follows this place may be the beginning of a delimiter."""
        return max(0, len(self._buffer) - len(self._delimiter) + 1)

    def _pass_delimiter(self, at: int) -> None:
        del self._buffer[: at + len(self._delimiter)]
        self._state = _State.DELIMITER

    def _behind_delimiter(self, found: list[Piece]) -> bool:
        if self._buffer.startswith(b"--"):
            self._state = _State.EPILOGUE
            found.append(FormEnded())
            return True
        end = self._buffer.find(b"\r\n")
        padding = bytes(self._buffer[: end if end >= 0 else None])
        blank = padding.strip(b" \t")
        if len(padding) > PADDING_MAX_BYTES or (blank and (end >= 0 or blank not in (b"-", b"\r"))):
            raise invalid("the form is malformed: something follows a boundary")
        if end < 0:
            return False
        del self._buffer[:end]  # the line's end stays: a head may be empty
        self._state = _State.HEAD
        return True

    def _head(self, found: list[Piece]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_MAX_BYTES or (end < 0 and len(self._buffer) > HEAD_MAX_BYTES):
            raise invalid(f"the form is malformed: a part's head is longer than {HEAD_MAX_BYTES} bytes")
        if end < 0:
            return False
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise invalid(f"the form has more than {PARTS_MAX} parts")
        found.append(_begun(bytes(self._buffer[:end])))
        del self._buffer[: end + 2]
        self._state = _State.OPENING
        return True

    def _open(self) -> bool:
        if self._buffer.startswith(self._delimiter):
            self._pass_delimiter(0)
            return True
        if len(self._buffer) < len(self._delimiter) and self._delimiter.startswith(self._buffer):
            return False
        del self._buffer[:2]
        self._state = _State.BODY
        return True

    def _body(self, found: list[Piece]) -> bool:
        at = self._buffer.find(self._delimiter)
        end = at if at >= 0 else self._kept_from
        data = bytes(memoryview(self._buffer)[:end])
        if data:
            found.append(PartData(data))
        if at >= 0:
            self._pass_delimiter(at)
            return True
        del self._buffer[:end]
        return False


def _begun(head: bytes) -> PartBegun:
    fields = {}
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = text_of(value.strip())
    disposition = fields.get(b"content-disposition", "")
    given = _parameters(disposition)
    if disposition.partition(";")[0].strip().lower() != "form-data" or "name" not in given:
        raise invalid("the form is malformed: a part without a name")
    kind = fields.get(b"content-type", "").partition(";")[0].strip().lower()
    return PartBegun(given["name"], _filename(given), kind)


def _filename(given: dict[str, str]) -> str | None:
    extended = given.get("filename*")
    if extended is not None and extended.lower().startswith("utf-8''"):
        return unquote(extended[len("utf-8''") :])
    plain = given.get("filename")
    return None if plain is None else plain.replace("%22", '"').replace("%0D", " ").replace("%0A", " ")


def _parameters(header: str) -> dict[str, str]:
    found = {}
    for match in PARAMETER.finditer(header):
        quoted, token = match[2], match[3]
        found[match[1].lower()] = quoted.replace('\\"', '"') if quoted is not None else token
    return found


def whole(boundary: bytes, body: bytes) -> list[tuple[PartBegun, bytes]]:
    """The parts of a form that has come whole. Raises ApiError 400."""
    machine = Multipart(boundary)
    parts: list[tuple[PartBegun, list[bytes]]] = []
    for piece in machine.feed(body):
        match piece:
            case PartBegun():
                parts.append((piece, []))
            case PartData(data):
                parts[-1][1].append(data)
            case FormEnded():
                pass
    if not machine.is_over:
        raise ApiError(400, "the form is incomplete: its last boundary is missing")
    return [(begun, data[0] if len(data) == 1 else b"".join(data)) for begun, data in parts]
