"""The kinds of conversations that Claude Code repairs, through the real one: exact, or refused before it is asked."""

from __future__ import annotations

import time

import pytest

from relayd.doctor import client
from relayd.doctor.checks import health
from relayd.doctor.harness import Harness
from tests import repairs
from tests.lab.volume import check

pytestmark = pytest.mark.real
READY_LIMIT_S = 10.0


@pytest.fixture(scope="module", params=["replay", "ready"])
def road(request: pytest.FixtureRequest, claude: str, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """A daemon that replays everything, and one that brings what it can to a prompt."""
    root = str(tmp_path_factory.mktemp(request.param))
    flags: dict[str, object] = {"kept": 0, "idle": 2, "max": 4, "refill_delay_s": 0, "warm_model": "claude-sonnet-4-6"}
    if request.param == "replay":
        flags["typed_messages_max"] = 0
    with Harness(root, claude, flags) as harness:
        yield harness


@pytest.mark.parametrize("seed", range(len(repairs.KINDS)))
def test_each_kind_is_exact_or_refused(road: Harness, seed: int) -> None:
    """Seen on 2.1.330: calls lost with their results, pictures dropped, answers replaced by "No response requested."."""
    shape = repairs.shape(seed)
    if shape.refusal:
        reply = client.post(road.url, {"model": "claude-sonnet-4-6", "max_tokens": 1024, **shape.body})
        assert (reply.status, shape.refusal in reply.body.decode()) == (400, True), reply.body
        return
    deadline = time.monotonic() + READY_LIMIT_S
    while not {"ready", "primed", "waiting"} & set(health(road)["pool"]["processes"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert check(road, seed, shape.body)[1] == []
