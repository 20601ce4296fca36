"""Answers after which Claude Code goes on by itself, or that it does not keep as they are: the first one, as it was said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relayd.doctor.harness import Harness
from tests.lab import go_ons

pytestmark = pytest.mark.real
MODEL = "claude-sonnet-4-6"


@pytest.fixture(scope="module", params=["live", "lines"])
def daemon(request: pytest.FixtureRequest, claude: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A daemon with the mod, and one without."""
    root = str(tmp_path_factory.mktemp(request.param))
    with Harness(root, claude, {"max": 4, "warm_model": MODEL, "live": request.param == "live"}) as harness:
        yield harness


@pytest.mark.parametrize("seed", range(2 * len(go_ons.KINDS)))
def test_the_answer_is_the_first_one_to_the_letter(daemon: Harness, seed: int) -> None:
    """The second answer's text was streamed, its raw body taken for the first's, its failure (the API was busy) given to a client
    that had a fine answer; a call cut at `max_tokens` came as `__unparsedToolInput`, and its stream ended in an error.
    """
    assert go_ons.check(daemon, seed, MODEL).wrong == []
