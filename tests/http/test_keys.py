"""The plain token and named keys: who is let in, whose call it is, and which files of keys are believed."""

from __future__ import annotations

import dataclasses

import pytest

from relayd.errors import ApiError
from relayd.http import keys
from relayd.http.access import Access, Admitted, Refusal
from relayd.http.keys import Keys, NamedKey, digest_of

BATCH = NamedKey("batch", digest_of("secret-of-batch"), ("claude-haiku-*",), 5, 50, 1_700_000_000)
BOTH = Keys("sesame", (BATCH, NamedKey("editor", digest_of("secret-of-editor"))))


@pytest.mark.parametrize("headers", [{"x-api-key": "secret-of-batch"}, {"authorization": "Bearer secret-of-batch"}])
def test_a_named_key_is_let_in_by_either_header_and_known_by_its_name(headers: dict[str, str]) -> None:
    BOTH.check(headers)
    assert BOTH.of(headers) == BATCH


def test_the_plain_token_goes_on_working_and_has_no_name() -> None:
    BOTH.check({"x-api-key": "sesame"})
    assert BOTH.of({"x-api-key": "sesame"}) is None
    assert BOTH.is_token("sesame")
    assert not BOTH.is_token("secret-of-batch")
    assert not Keys().is_token("")


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": ""}, {"x-api-key": digest_of("secret-of-batch")}, {"x-api-key": "batch"}, {"x-api-key": "é"}]
)
def test_nothing_else_is_let_in(headers: dict[str, str]) -> None:
    """Not even what the file holds: a digest is no key."""
    with pytest.raises(ApiError) as refused:
        BOTH.check(headers)
    assert refused.value.status == 401


def test_keys_alone_ask_for_a_key_as_the_token_does_and_none_ask_nothing() -> None:
    access = Access(7421, keys=Keys("", BOTH.named))
    judged = access.judge("GET", "/v1/models", {"host": "127.0.0.1:7421"})
    assert isinstance(judged, Refusal)
    assert judged.status == 401
    Keys().check({})


def test_what_is_revoked_is_refused_by_an_access_that_was_made_before() -> None:
    """The runtime holds one policy for the daemon's life: a revoked key must not live as long."""
    access = Access(7421, keys=Keys("sesame", BOTH.named))
    head = {"host": "127.0.0.1:7421", "x-api-key": "secret-of-batch"}
    assert isinstance(access.judge("GET", "/v1/models", head), Admitted)
    access.keys.replace("sesame", b"")
    assert isinstance(access.judge("GET", "/v1/models", head), Refusal)


def test_a_file_of_keys_comes_back_as_it_was_written_and_holds_no_key() -> None:
    assert keys.read(keys.dump(BOTH.named)) == BOTH.named
    assert b"secret-of" not in keys.dump(BOTH.named)
    assert keys.read(b"") == ()


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{",
        b'{"keys":[1]}',
        b'{"keys":[{"name":"a b","sha256":"' + b"0" * 64 + b'"}]}',
        b'{"keys":[{"name":"a","sha256":"short"}]}',
        b'{"keys":[{"name":"a","sha256":"' + b"0" * 64 + b'","models":["a b"]}]}',
        b'{"keys":[{"name":"a","sha256":"' + b"0" * 64 + b'","plan_percent":101}]}',
        b'{"keys":[{"name":"a","sha256":"' + b"0" * 64 + b'","calls_per_minute":true}]}',
        b'{"keys":[' + b",".join([b"{}"] * 101) + b"]}",
    ],
)
def test_a_file_that_no_relayd_has_written_is_not_believed(data: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        keys.read(data)


def test_a_key_is_for_its_models() -> None:
    assert BATCH.allows("claude-haiku-4-5")
    assert not BATCH.allows("claude-opus-4-1")
    assert dataclasses.replace(BATCH, models=()).allows("anything")
    assert "secret" not in repr(BATCH) + repr(BOTH)
