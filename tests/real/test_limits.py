"""A subscription past its usage limit: the real binary with a dummy login of that kind."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from relayd.doctor.checks import health
from relayd.doctor.client import get
from relayd.doctor.harness import Harness
from tests.helpers import ask, post, until

pytestmark = pytest.mark.real

LOGIN = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-stand-in-000000000000000000000000"}


def windows(resets: int, five_hours: float, week: float) -> dict[str, str]:
    """What the API's answers to a subscription say of its windows: the used part, and when each begins anew."""
    values = {"status": "allowed", "representative-claim": "five_hour", "reset": str(resets)}
    for name, used, end in (("5h", five_hours, resets), ("7d", week, resets + 86_400)):
        values |= {f"{name}-status": "allowed", f"{name}-utilization": str(used), f"{name}-reset": str(end)}
    return {f"anthropic-ratelimit-unified-{name}": text for name, text in values.items()}


def test_calls_fail_fast_until_the_limit_resets_and_one_may_try(claude: str, tmp_path: pathlib.Path) -> None:
    """Claude Code knows the end of a subscription's limit; the client gets it as retry-after, whole seconds from now."""
    flags: dict[str, object] = {"idle": 0, "rate_probe_s": 3600}
    with Harness(str(tmp_path), claude, flags, LOGIN) as harness:
        assert post(harness.url, ask("[[say fine]]"))[0] == 200
        resets = int(time.time()) + 7200
        status, headers, body = post(harness.url, ask(f"[[error 429 used up]] [[resets {resets}]]"))
        assert (status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
        assert abs(int(headers["retry-after"]) - 7200) < 60
        assert health(harness)["rate_limit"]["limited"] is True
        before = len(harness.api.messages())
        status, headers, _ = post(harness.url, ask("[[say fine]]"))
        assert status == 429
        assert int(headers["retry-after"]) > 7000
        assert len(harness.api.messages()) == before
    with Harness(str(tmp_path / "2"), claude, {"idle": 0, "rate_probe_s": 0}, LOGIN) as harness:
        assert post(harness.url, ask(f"[[error 429 used up]] [[resets {resets}]]"))[0] == 429
        assert post(harness.url, ask("[[say fine]]"))[0] == 200
        assert health(harness)["rate_limit"]["limited"] is False
        harness.api.headers = windows(resets, 0.41, 0.17)
        assert get(harness.url, "/v1/usage").value["plan"]["windows"] == []
        assert (
            post(harness.url, ask("[[say fine]]", stream=True))[0] == 200
        )  # a process that is started for a whole answer has no mod
        plan = until(lambda: (told := get(harness.url, "/v1/usage").value["plan"]) and told["known"] and told)
        assert [(w["window"], w["used_percent"], w["resets_at"]) for w in plan["windows"]] == [
            ("five_hour", 41, resets),
            ("seven_day", 17, resets + 86_400),
        ]
