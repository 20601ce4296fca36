"""Rate limits are known by model."""

from __future__ import annotations

import pytest

from relayd.core.rate_limit import MODELS_MAX, RateLimits
from relayd.errors import ApiError


def limited(limits: RateLimits, model: str, now: float) -> bool:
    try:
        limits.admit(model, now)
    except ApiError as error:
        return error.status == 429 and error.retry_after_s is not None
    return False


def test_a_limit_of_one_model_stops_that_model_only() -> None:
    """A weekly limit of one model stopped the calls of all, and one success of any other lifted it."""
    limits = RateLimits(probe_s=60.0)
    limits.failed("opus", ApiError(429, "limit", retry_after_s=3600), 0.0)
    assert (limited(limits, "opus", 1.0), limited(limits, "haiku", 1.0)) == (True, False)
    limits.passed("haiku")
    assert limited(limits, "opus", 2.0)
    limits.passed("opus")
    assert not limited(limits, "opus", 2.0)


def test_a_probe_is_let_through_now_and_then_and_the_limit_ends() -> None:
    limits = RateLimits(probe_s=60.0)
    limits.failed("opus", ApiError(429, "limit", retry_after_s=100), 0.0)
    assert [limited(limits, "opus", at) for at in (59.0, 60.0, 61.0, 101.0)] == [True, False, True, False]
    assert limits.describe(101.0) == {"limited": False, "resets_in_s": 0, "models": {}}


@pytest.mark.parametrize("error", [ApiError(500, "x"), ApiError(429, "x"), ApiError(429, "x", retry_after_s=1)])
def test_other_errors_and_short_waits_are_no_limit(error: ApiError) -> None:
    limits = RateLimits(probe_s=60.0)
    limits.failed("opus", error, 0.0)
    assert not limited(limits, "opus", 0.0)


def test_models_are_bounded_since_clients_name_them() -> None:
    limits = RateLimits(probe_s=60.0)
    for number in range(3 * MODELS_MAX):
        limits.failed(f"m{number}", ApiError(429, "limit", retry_after_s=3600), 0.0)
    assert len(limits.describe(1.0)["models"]) == MODELS_MAX
