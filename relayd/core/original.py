"""A Messages request as its client has sent it, for the fallback. Pure; made by `core/request_decoding.py`.

It is kept only while there is a fallback, and only if the request holds its whole conversation: what relayd stores of one is
for Claude Code. Of its headers only those go on that say which API is meant: no token of this daemon, no cookie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relayd import aliases, codec
from relayd.anthropic.answer import JSON_TYPE
from relayd.http.messages import HttpRequest

PATH = "/v1/messages"
PASSED_ON = ("anthropic-version", "anthropic-beta")
DEFAULT_VERSION = ("anthropic-version", "2023-06-01")
FORWARDED = "x-relayd-fallback"  # two daemons that fall back on each other must not go on for ever
HEADER_VALUE = re.compile(r"[ -~]{1,4096}")
QUERY = re.compile(r"[A-Za-z0-9=&_.~%-]{1,200}")


@dataclass(frozen=True)
class Original:
    """`body` as it came, decompressed; `value` what is in it, with the model that is meant; `sent_model` is what it names."""

    body: bytes = field(repr=False)
    value: dict[str, Any] = field(repr=False)
    sent_model: Any
    query: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{PATH}?{self.query}" if QUERY.fullmatch(self.query) else PATH

    def passed_headers(self) -> list[tuple[str, str]]:
        """What goes on of its headers, and what every such request has."""
        found = [(name, self.headers[name]) for name in PASSED_ON if HEADER_VALUE.fullmatch(self.headers.get(name, ""))]
        version = [] if any(name == DEFAULT_VERSION[0] for name, _ in found) else [DEFAULT_VERSION]
        return [*version, *found, ("content-type", JSON_TYPE), (FORWARDED, "1")]

    def body_for(self, models: str) -> bytes:
        """The same bytes, unless the model has another name there. `models` is a table of names."""
        model = self.value.get("model")
        there = aliases.resolved(model, models) if isinstance(model, str) else model
        return self.body if there == self.sent_model else codec.dump(self.value | {"model": there})


def of(request: HttpRequest, body: bytes, value: dict[str, Any], sent_model: Any) -> Original | None:
    """What to keep of a request; None for one that has come from a fallback's side."""
    if FORWARDED in request.headers:
        return None
    return Original(body, value, sent_model, request.query, request.headers)
