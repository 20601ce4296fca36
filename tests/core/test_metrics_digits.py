"""Sums of metrics keep their digits: a graph of their rate must not go in steps."""

from __future__ import annotations

import pytest

from relayd.core import reports
from relayd.core.journal import Journal


def values(text: str) -> dict[str, float]:
    """Samples without labels, as Prometheus reads them."""
    found = (line.split() for line in text.splitlines() if line and not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value in found}


def test_sums_keep_their_digits() -> None:
    """Six digits were written: 123456.789 s became 123457, 268435457 bytes 2.68435e+08, and `rate()` went in steps."""
    journal = Journal(1)
    for seconds in (123_456.789, 0.001):
        journal.total.add(seconds)
    found = values(reports.metrics(journal, [], {"conversations_bytes": 268_435_457, "rate_limited": 0.0}))
    assert found["relayd_call_seconds_sum"] == pytest.approx(123_456.79, abs=1e-6)
    assert found["relayd_conversations_bytes"] == 268_435_457
    assert found["relayd_rate_limited"] == 0
