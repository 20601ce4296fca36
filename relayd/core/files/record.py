"""One uploaded file: what is known of it, in the API's shape and in the first line of its file. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from relayd import codec

HEAD_MAX_BYTES = 4096  # of the first line


@dataclass(frozen=True)
class StoredFile:
    """`owner` is the name of the key that it came with, or empty. Times are Unix seconds; `offset` is where its bytes begin."""

    id: str
    filename: str
    mime_type: str
    size_bytes: int
    created: int
    expires: int
    owner: str = ""
    offset: int = 0

    def __repr__(self) -> str:
        return f"<StoredFile {self.id} {self.mime_type} bytes={self.size_bytes}>"

    def as_json(self) -> dict[str, Any]:
        """The API's object. What was uploaded cannot be downloaded, there as here."""
        return {
            "id": self.id,
            "type": "file",
            "filename": self.filename,
            "mime_type": self.mime_type,
            "size_bytes": self.size_bytes,
            "created_at": rfc3339(self.created),
            "expires_at": rfc3339(self.expires),
            "downloadable": False,
        }

    def head(self) -> bytes:
        """The first line of its file."""
        return codec.dump({name: value for name, value in vars(self).items() if name != "offset"}) + b"\n"


def read_head(line: bytes) -> StoredFile:
    """The file of which this is the first line. Raises ValueError for what no relayd has written."""
    value = codec.parse(line)
    types = {field.name: field.type for field in dataclasses.fields(StoredFile) if field.name != "offset"}
    if not isinstance(value, dict) or {name: type(found).__name__ for name, found in value.items()} != types:
        raise ValueError("not the head of a file")
    return StoredFile(**value, offset=len(line))


def rfc3339(unix: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(int(unix), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
