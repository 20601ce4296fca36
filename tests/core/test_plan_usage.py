"""What the plan has left: told, forgotten when its window ends, warned of once, and heeded before a process is touched."""

from __future__ import annotations

import pytest

from relayd.claude.plan import Window
from relayd.config import Config
from relayd.core import actions as do
from relayd.core import reports
from relayd.core.call_limits import CallLimits
from relayd.core.plan_usage import KINDS_MAX, SAMPLE_S, SAMPLES_MAX, PlanUsage
from relayd.errors import ApiError
from relayd.http.keys import KEYS_MAX, Keys, NamedKey

NOW = 1_800_000_000.0
HOUR_S = 3600.0


def five_hours(percent: float, resets_in_s: float = HOUR_S) -> Window:
    return Window("five_hour", percent, NOW + resets_in_s)


def week(percent: float) -> Window:
    return Window("seven_day", percent, NOW + 50 * HOUR_S)


def plan(**keys: int) -> PlanUsage:
    return PlanUsage(Config(**keys))


def refusal(found: PlanUsage, percent: int = 0, unix: float = NOW) -> ApiError | None:
    try:
        found.admit(unix, percent, "the key batch")
    except ApiError as error:
        return error
    return None


def test_nothing_is_known_before_claude_code_has_told_anything_and_no_call_is_refused() -> None:
    found = plan(plan_stop_percent=1)
    assert found.describe(NOW) == {"known": False, "warn_percent": 90, "windows": []}
    assert refusal(found, 1) is None


def test_what_was_told_is_shown_until_the_window_ends() -> None:
    found = plan()
    found.told((five_hours(41.04), week(17)), NOW)
    first, second = found.describe(NOW + 60)["windows"]
    assert first == {
        "window": "five_hour",
        "used_percent": 41.0,
        "resets_at": NOW + HOUR_S,
        "resets_in_s": HOUR_S - 60,
        "told_s": 60,
    }
    assert second["window"] == "seven_day"
    assert [w["window"] for w in found.describe(NOW + HOUR_S)["windows"]] == ["seven_day"], "of the next window nothing is known"


def test_the_log_warns_once_in_a_window() -> None:
    found = plan(plan_warn_percent=80)
    assert found.told((five_hours(79),), NOW) == []
    (order,) = found.told((five_hours(80),), NOW)
    assert isinstance(order, do.Log)
    assert "80 % of the plan's five-hour window" in order.text
    assert "60 min" in order.text
    assert found.told((five_hours(95),), NOW) == []
    found.told((five_hours(1, 6 * HOUR_S),), NOW + HOUR_S)
    assert found.told((five_hours(81, 6 * HOUR_S),), NOW + 2 * HOUR_S), "the next window is another matter"
    assert plan(plan_warn_percent=0).told((five_hours(100),), NOW) == []


@pytest.mark.parametrize(
    ("keys", "told", "is_refused"),
    [
        ({"plan_stop_percent": 80}, five_hours(80), True),
        ({"plan_stop_percent": 80}, five_hours(79.9), False),
        ({"plan_stop_percent": 80}, week(99), False),
        ({"plan_stop_week_percent": 60}, week(60), True),
        ({"plan_stop_week_percent": 60}, five_hours(99), False),
        ({}, five_hours(100), False),
    ],
)
def test_a_window_used_beyond_its_key_refuses_calls(keys: dict[str, int], told: Window, is_refused: bool) -> None:
    found = plan(**keys)
    found.told((told,), NOW)
    error = refusal(found)
    assert (error is not None) == is_refused
    if error is not None:
        assert (error.status, error.kind) == (429, "rate_limit_error")
        assert error.retry_after_s == told.resets_at - NOW
        assert error.headers == {"x-should-retry": "false"}, "SDKs would ask again in a second"
        assert refusal(found, unix=told.resets_at) is None


def test_the_line_over_a_day_is_bounded_and_its_last_point_moves() -> None:
    found = plan()
    for n in range(3 * SAMPLES_MAX):
        found.told((Window("five_hour", n / 10, NOW + 1e6),), NOW + n * SAMPLE_S / 2)
    (line,) = found.line(NOW + 3 * SAMPLES_MAX * SAMPLE_S / 2).values()
    assert 100 < len(line) <= SAMPLES_MAX
    assert line[-1][1] == round((3 * SAMPLES_MAX - 1) / 10, 1), "the newest figure is in it"
    assert all(b[0] - a[0] >= SAMPLE_S for a, b in zip(line[:-1], line[1:-1], strict=False))


def test_a_claude_that_names_ever_new_windows_fills_nothing() -> None:
    found = plan()
    for n in range(100):
        found.told((Window(f"kind_{n}", 1, NOW + 1),), NOW)
    assert len(found.describe(NOW)["windows"]) == KINDS_MAX


def test_metrics_have_windows_only_where_they_are_known() -> None:
    found = plan()
    assert "five_hour" not in reports.plan_metrics({"": found.describe(NOW)["windows"]})
    found.told((five_hours(41),), NOW)
    text = reports.plan_metrics({"": found.describe(NOW)["windows"]})
    assert 'relayd_plan_used_percent{window="five_hour"} 41' in text
    assert 'relayd_plan_resets_in_seconds{window="five_hour"} 3600' in text


def call_limits() -> CallLimits:
    return CallLimits(Config(), Keys())


def limited(
    limits: CallLimits, key: NamedKey | None, now: float = 0.0, model: str = "claude-haiku-4-5"
) -> tuple[int, str] | None:
    try:
        limits.admit(key, model, now, NOW)
    except ApiError as error:
        return error.status, error.kind
    return None


def test_a_key_asks_for_its_models_and_for_so_many_calls_a_minute() -> None:
    limits, key = call_limits(), NamedKey("batch", "0" * 64, ("claude-haiku-*",), 2)
    assert limited(limits, key, model="claude-opus-4-1") == (403, "permission_error")
    assert [limited(limits, key, now) for now in (0, 1, 2)] == [None, None, (429, "rate_limit_error")]
    assert limited(limits, key, 60.5) is None, "the first is a minute ago"
    assert limited(limits, key, 60.6) == (429, "rate_limit_error"), "a call that was refused does not count"
    assert limited(limits, None, 2) is None
    assert limited(limits, NamedKey("other", "1" * 64, (), 1), 2) is None


def test_a_key_uses_its_share_of_the_plan_and_others_use_the_rest() -> None:
    limits = call_limits()
    limits.plans[""].told((week(50),), NOW)
    assert limited(limits, NamedKey("batch", "0" * 64, plan_percent=50)) == (429, "rate_limit_error")
    assert limited(limits, NamedKey("editor", "1" * 64, plan_percent=51)) is None
    assert limited(limits, None) is None


def test_keys_that_come_and_go_leave_nothing_behind() -> None:
    limits = call_limits()
    for n in range(5 * KEYS_MAX):
        limited(limits, NamedKey(f"key{n}", "0" * 64, (), 1))
    assert f"keys={2 * KEYS_MAX} " in repr(limits)
