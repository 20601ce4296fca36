"""The keys that clients send: the plain token of this daemon, and keys with a name and limits, one for each program. Pure.

A named key is known by its SHA-256 alone: it has 256 random bits, so that a slow hash would protect nothing. What is
compared is compared in constant time, and with every key. Shared by `http/access.py`, which admits, and the core, which
asks whose call it is; the core replaces the keys when their files have changed.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relayd import codec
from relayd.errors import ApiError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
DIGEST = re.compile(r"[0-9a-f]{64}")
MODEL = re.compile(r"[\w.:*?\[\]-]{1,128}")
KEYS_MAX = 100
MODELS_MAX = 50
CALLS_MAX = 10_000  # a minute


@dataclass(frozen=True)
class NamedKey:
    """One program's key. No models: any; 0 calls a minute: as many as it likes; 0 percent: as far as the plan goes."""

    name: str
    sha256: str
    models: tuple[str, ...] = ()
    calls_per_minute: int = 0
    plan_percent: int = 0
    created: int = 0  # Unix seconds
    profile: str = ""  # the login that its calls are for; empty: any

    def __repr__(self) -> str:
        return f"<NamedKey {self.name}>"

    def allows(self, model: str) -> bool:
        """True if its calls may ask for this model."""
        return not self.models or any(fnmatch.fnmatchcase(model, pattern) for pattern in self.models)

    def as_json(self) -> dict[str, Any]:
        """As the file of keys has it."""
        return vars(self) | {"models": list(self.models)}


class Keys:
    """See the module's text. Without a token and without keys everybody may ask."""

    def __init__(self, token: str = "", named: tuple[NamedKey, ...] = ()) -> None:
        self.token = token
        self.named = named

    def __repr__(self) -> str:
        return f"<Keys token={bool(self.token)} named={[key.name for key in self.named]}>"

    def __bool__(self) -> bool:
        return bool(self.token or self.named)

    def replace(self, token: str, named: bytes) -> None:
        """Other keys count from now on; the named ones are as their file has them. Raises ValueError, as `read` does."""
        self.token, self.named = token, read(named)

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises ApiError 401 unless the request carries the token or a key, as the API's clients send theirs."""
        given = _given(headers)
        known = [self.is_token(text) or self._named(text) is not None for text in given]
        if self and not any(known):
            raise ApiError(401, "invalid x-api-key" if any(given) else "x-api-key header is required")

    def of(self, headers: Mapping[str, str]) -> NamedKey | None:
        """The named key that a request carries; None for the token, or for nothing."""
        return next((key for text in _given(headers) if (key := self._named(text)) is not None), None)

    def is_token(self, text: str) -> bool:
        """True for the plain token."""
        is_same = hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())
        return bool(self.token) and is_same

    def _named(self, text: str) -> NamedKey | None:
        if not self.named or not text:
            return None
        digest, found = digest_of(text), None
        for key in self.named:
            if hmac.compare_digest(digest, key.sha256):
                found = key
        return found


def digest_of(text: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _given(headers: Mapping[str, str]) -> list[str]:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return [headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]


def read(data: bytes) -> tuple[NamedKey, ...]:
    """The keys in a file's bytes; none if there are no bytes. Raises ValueError for what no relayd has written."""
    if not data:
        return ()
    value = codec.parse(data)
    found = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(found, list) or len(found) > KEYS_MAX:
        raise ValueError("not a list of keys")
    return tuple(map(_key, found))


def dump(named: tuple[NamedKey, ...]) -> bytes:
    """The file's bytes."""
    return codec.dump({"keys": [key.as_json() for key in named]}) + b"\n"


def _key(value: Any) -> NamedKey:
    if not isinstance(value, dict):
        raise ValueError("a key is not an object")
    name, sha256, models = value.get("name"), value.get("sha256"), value.get("models", [])
    if not (isinstance(name, str) and NAME.fullmatch(name) and isinstance(sha256, str) and DIGEST.fullmatch(sha256)):
        raise ValueError("a key without a name or a digest")
    if not isinstance(models, list) or len(models) > MODELS_MAX or not all(map(is_model_pattern, models)):
        raise ValueError(f"models of {name}: not a list of patterns")
    calls, percent = _count(value, "calls_per_minute", CALLS_MAX), _count(value, "plan_percent", 100)
    profile = value.get("profile", "")
    if not isinstance(profile, str) or (profile and not NAME.fullmatch(profile)):
        raise ValueError(f"profile of {name}: no name")
    return NamedKey(name, sha256, tuple(models), calls, percent, _count(value, "created", 2**53), profile)


def is_model_pattern(value: Any) -> bool:
    """True for a model's name, or a pattern of shells."""
    return isinstance(value, str) and MODEL.fullmatch(value) is not None


def _count(value: dict[str, Any], field: str, most: int) -> int:
    found = value.get(field, 0)
    if type(found) is not int or not 0 <= found <= most:
        raise ValueError(f"{field}: not a number from 0 to {most}")
    return found
