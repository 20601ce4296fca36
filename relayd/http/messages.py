"""What HTTP carries, as values: a request that has arrived, and one that is refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.errors import ApiError


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


@dataclass(frozen=True)
class Refusal:
    """A request that is answered with an error before anybody has looked at its body.

    route: the name of its route where it is known, "" otherwise; the shape of the error hangs on it.
    origin: the allowed web page that has asked, or ""; the answer must say that the page may read it.
    """

    error: ApiError
    route: str = ""
    origin: str = ""

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self.error.status
