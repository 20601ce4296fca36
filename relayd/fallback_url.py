"""The one other address that may answer instead of Claude Code: how it is written, and what is refused at the start. Pure.

Plain HTTP would show every conversation and the key to whoever listens on the way: it is taken for this machine and for
private networks only, unless the user says otherwise. A literal address is judged here; what a name leads to is judged by
the runtime, when it is known (`is_near`). Used by `config.py` and by the daemon.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from relayd import loopback
from relayd.errors import ConfigError

URL_MAX_CHARS = 500
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9a-fA-F:.]+")
PATH = re.compile(r"[A-Za-z0-9/._~%@:+-]*")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
PORTS = {"http": 80, "https": 443}
FORM = "https://HOST, https://HOST:PORT/PATH, or http:// for this machine and private addresses"


@dataclass(frozen=True)
class BaseUrl:
    """Where the API's paths begin. `path` is empty or begins with a slash and ends without one."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_plain(self) -> bool:
        """True without TLS."""
        return self.scheme == "http"

    @property
    def authority(self) -> str:
        """As the `Host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parsed(text: str) -> BaseUrl:
    """A base URL, with or without the `/v1` at its end. Raises ConfigError."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _wrong(text) from error
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    extra = parts.username is not None or parts.password is not None or parts.query or parts.fragment
    is_written_well = len(text) <= URL_MAX_CHARS and HOST.fullmatch(host) and PATH.fullmatch(path) and port != 0
    if parts.scheme not in PORTS or extra or not is_written_well:
        raise _wrong(text)
    return BaseUrl(parts.scheme, host, port or PORTS[parts.scheme], path)


def _wrong(text: str) -> ConfigError:
    return ConfigError(f"fallback_url: {text[:URL_MAX_CHARS]!r} is not right: it takes {FORM}")


def check(text: str, key_file: str, key_variable: str, allows_plain: bool, own_port: int) -> None:
    """Raises ConfigError for keys that are wrong, alone or together."""
    if key_variable and not VARIABLE.fullmatch(key_variable):
        raise ConfigError(f"fallback_key_variable: {key_variable!r} is no name of a variable")
    if key_file and key_variable:
        raise ConfigError("fallback_key_file and fallback_key_variable: the key has one place; remove one of them")
    if not text:
        return
    url = parsed(text)
    if url.host in loopback.HOSTS and url.port == own_port:
        raise ConfigError(f"fallback_url: {text!r} is this daemon itself")
    if url.is_plain and not allows_plain and is_literal(url.host) and not is_near(url.host):
        raise ConfigError(f"fallback_url: {text!r} is neither this machine nor private: use https, or fallback_plain = true")


def is_literal(host: str) -> bool:
    """True for an address, false for a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_near(address: str) -> bool:
    """True for a literal address of this machine or of a private network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return found.is_loopback or found.is_private or found.is_link_local
