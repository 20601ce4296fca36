"""The real Claude Code against an API that says no, and another one that answers: by the SDK, whole and streamed."""

from __future__ import annotations

import pathlib

import anthropic
import pytest

from relayd.doctor.harness import Harness
from tests.helpers import ask
from tests.other_side import json_answer, message, other_side, stream_answer

pytestmark = pytest.mark.real


def test_what_the_api_limits_is_answered_elsewhere_and_what_it_takes_is_not(claude: str, tmp_path: pathlib.Path) -> None:
    with other_side(json_answer(message())) as other, Harness(str(tmp_path), claude, {"fallback_url": other.url}) as harness:
        client = anthropic.Anthropic(base_url=harness.url, api_key="x", max_retries=0)
        for status in (429, 401):
            other.answer = json_answer(message())
            found = client.messages.create(**ask(f"[[error {status} no]] please"))
            assert found.content[0].text == "from elsewhere"
            other.answer = stream_answer()
            with client.messages.stream(**ask(f"[[error {status} no]] please")) as stream:
                assert stream.get_final_text() == "from elsewhere "
        assert len(other.requests) == 4
        with pytest.raises(anthropic.APIStatusError, match="busy"):
            client.messages.create(**ask("[[error 529 busy]] please"))
        assert client.messages.create(**ask("[[say ok]] please")).content[0].text == "ok"
        assert len(other.requests) == 4
        client.close()
        assert harness.stop() == 0
