"""What a client uploads: the form of `POST /v1/files` to a name, a type, a time and bytes. Pure; called by `file_api.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from relayd.errors import invalid
from relayd.http import multipart
from relayd.http.messages import HttpRequest

NAME_MAX_CHARS = 255
EXPIRY_MIN_S, EXPIRY_MAX_S = 3600, 7_776_000  # the API's own: an hour, ninety days
KIND = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}", re.ASCII)
UNKNOWN = "application/octet-stream"
# By a name's ending, for clients that name no type: those that a request can use.
KINDS = {
    "pdf": "application/pdf",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "xml": "text/xml",
}


@dataclass(frozen=True)
class Uploaded:
    """What the form held. `expires_in_s` is 0 if the client has named no time."""

    filename: str
    mime_type: str
    expires_in_s: int
    data: bytes = field(repr=False)


def read(request: HttpRequest) -> Uploaded:
    """What a POST uploads. Raises ApiError 400."""
    boundary = multipart.boundary_of(request.headers.get("content-type", ""))
    found, expiry = None, 0
    for begun, data in multipart.whole(boundary, request.body):
        if begun.name == "file":
            if found is not None:
                raise invalid("file: only one file can be uploaded at a time")
            found = begun, data
        elif begun.name == "expires_in_seconds":
            expiry = _expiry(data)
    if found is None:
        raise invalid("file: Field required")
    kind = _kind(found[0])
    return Uploaded(_name(found[0].filename, kind), kind, expiry, found[1])


def _expiry(data: bytes) -> int:
    text = data.strip()
    if not text.isdigit() or len(text) > 12:
        raise invalid("expires_in_seconds: Input should be a valid integer")
    if not EXPIRY_MIN_S <= int(text) <= EXPIRY_MAX_S:
        raise invalid(f"expires_in_seconds: Input should be from {EXPIRY_MIN_S} to {EXPIRY_MAX_S}")
    return int(text)


def _kind(begun: multipart.PartBegun) -> str:
    if begun.kind != UNKNOWN and KIND.fullmatch(begun.kind):
        return begun.kind
    ending = (begun.filename or "").rpartition(".")[2].lower()
    return KINDS.get(ending, UNKNOWN)


def _name(given: str | None, kind: str) -> str:
    """The last component, without what no name holds; as the API, a name for what has none."""
    name = re.split(r"[/\\]", given or "")[-1]
    name = "".join(letter for letter in name if letter.isprintable())[:NAME_MAX_CHARS]
    ending = next((ending for ending, known in KINDS.items() if known == kind), "")
    return name or f"unnamed.{ending}".rstrip(".")
