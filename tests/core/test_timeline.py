"""How it went over the last hours: by the minute, by road, and never more than is kept."""

from __future__ import annotations

from relayd.core.timeline import MINUTES_KEPT, SAMPLES_KEPT, Timeline


def test_calls_and_errors_are_counted_in_the_minute_in_which_they_came() -> None:
    """Calls end in another order than they came in: a long one belongs to an earlier minute."""
    line = Timeline()
    for unix, is_error in ((600.0, False), (720.0, False), (661.0, True), (721.0, False), (659.9, False)):
        line.add(unix, "warm", 0.1, 0.2, is_error)
    assert line.as_json()["minutes"] == [[600, 2, 0], [660, 1, 1], [720, 2, 0]]


def test_percentiles_are_by_road_and_of_answers_alone() -> None:
    line = Timeline()
    for number in range(1, 101):
        line.add(0.0, "warm", number / 100, number / 10, False)
    line.add(0.0, "warm", 50.0, 50.0, True)
    line.add(0.0, "", 50.0, 50.0, False)
    assert line.as_json()["roads"] == {"warm": {"calls": 100, "first_s": [0.5, 0.95, 0.99], "total_s": [5.0, 9.5, 9.9]}}
    line.add(0.0, "cold", 3.0, 4.0, False)
    assert line.as_json()["roads"]["cold"]["total_s"] == [4.0, 4.0, 4.0]


def test_it_keeps_so_many_minutes_and_calls_and_no_more() -> None:
    line = Timeline()
    for number in range(3 * MINUTES_KEPT):
        line.add(60.0 * number, "warm", 1.0, float(number), False)
    line.add(0.0, "warm", 1.0, 1.0, False)
    found = line.as_json()
    assert len(found["minutes"]) == MINUTES_KEPT
    assert found["minutes"][-1][0] == 60 * (3 * MINUTES_KEPT - 1), "the oldest go, not the newest"
    assert found["roads"]["warm"]["calls"] == min(SAMPLES_KEPT, 3 * MINUTES_KEPT + 1)
