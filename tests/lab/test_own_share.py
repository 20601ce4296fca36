"""The bench's measures of relayd alone: once, the witness held back the answers whose end one of them waited for."""

from __future__ import annotations

from relayd import codec
from tests.lab import own_share, roads


def test_each_own_share_is_measured() -> None:
    body = codec.dump(roads.request(own_share.FILLER))
    for found in (own_share.samples(body, 2), own_share.parked_samples(2), own_share.piece_samples(2)):
        assert len(found) == 2
        assert all(spent > 0 for spent in found)
