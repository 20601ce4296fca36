"""What HTTP carries, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HttpRequest:
    """One complete request. Header names are lower case; repeated headers are joined by ", "."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {self.path} body={len(self.body)}>"


def text_of(raw: bytes) -> str:
    """Bytes of a header or a path as text: UTF-8, as every client of today sends it, or Latin-1, as HTTP once had it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
