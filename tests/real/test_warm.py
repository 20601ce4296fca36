"""The real Claude Code goes on where it stands: the next message of a conversation, typed."""

from __future__ import annotations

import json
import pathlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from relayd.doctor.checks import TYPED_ROADS, health
from relayd.doctor.client import road
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from tests.helpers import ask, events_of, files_holding, post, text_of, until
from tests.lab.volume import check
from tests.lab.warm_turns import at_prompt, chain, typed

pytestmark = pytest.mark.real
PATIENT: dict[str, object] = {"submit_limit_s": 30}  # on a busy machine nothing is replayed for slowness
TOOL = {"name": "get", "description": "Gets.", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def warm(claude: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    root = str(tmp_path_factory.mktemp("warm"))
    with Harness(root, claude, {"warm_model": "claude-sonnet-4-6", "forget_after_s": 0.3, **PATIENT}) as harness:
        until(lambda: at_prompt(harness))  # from here on it is known that this version types
        yield harness
        assert harness.stop() == 0


def go_on(body: dict[str, Any], answer: bytes, text: str) -> dict[str, Any]:
    """The next request of the conversation."""
    content = json.loads(answer)["content"]
    return body | {"messages": [*body["messages"], {"role": "assistant", "content": content}, {"role": "user", "content": text}]}


def sent(harness: Harness) -> Any:
    return harness.api.messages()[-1]


def sleeps(harness: Harness) -> bool:
    """True if the daemon woke up less than thirty times in a second."""

    def woken() -> int:
        status = pathlib.Path(f"/proc/{harness.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    before = woken()
    time.sleep(1)  # the second in which it is counted
    return woken() - before < 30


def test_a_kept_process_costs_the_daemon_nothing(warm: Harness) -> None:
    """It looked a hundred times a second for the transcript that it had just deleted."""
    post(warm.url, ask("[[say so]]"))
    assert "kept" in health(warm)["pool"]["processes"]
    until(lambda: sleeps(warm))
    assert "kept" in health(warm)["pool"]["processes"]


def test_the_next_message_is_exact_in_the_same_process_and_forgotten(warm: Harness) -> None:
    history = pathlib.Path(warm.isolation.config_dir, "history.jsonl")
    theirs = b'{"display":"of the user","pastedContents":{},"timestamp":1,"project":"/elsewhere","sessionId":"x"}\n'
    history.write_bytes(theirs)
    body = ask("first\r\n\t[[say hello]]", system="Be brief.")
    _, _, answer = post(warm.url, body)
    first = sent(warm).headers["x-claude-code-session-id"]
    for text in (
        "[[say two]] over\n\nthree lines",
        "# of\t@etc/passwd\r\n" + "and\ton " * 9000 + "[[say it]]",
        "[[say secret-word]] Größe 漢字",
        "a" * 3000,
    ):
        body = go_on(body, answer, text)
        status, headers, answer = post(warm.url, body)
        assert (status, road(headers)) == (200, "warm"), "\n".join(warm.log[-4:])
        assert differences(body, sent(warm).body) == []
        assert sent(warm).headers["x-claude-code-session-id"] == first
    until(lambda: history.read_bytes() == theirs)


def test_streams_and_messages_that_may_not_be_typed(warm: Harness) -> None:
    body = ask("[[say one]]")
    _, _, answer = post(warm.url, body)
    body = go_on(body, answer, "[[paragraphs 3]] please")
    _, headers, stream = post(warm.url, body | {"stream": True})
    events = events_of(stream)
    assert (road(headers), events[-1]["type"]) == ("warm", "message_stop")
    text = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
    body = go_on(body, json.dumps({"content": [{"type": "text", "text": text}]}).encode(), "!ls\t[[say three]]")
    _, headers, answer = post(warm.url, body)
    assert road(headers) in ("waiting", "cold")
    assert differences(body, sent(warm).body) == []
    _, headers, _ = post(warm.url, go_on(body, answer, "[[say four]] now"))
    assert road(headers) == "warm"


def test_after_a_round_of_tools_thinking_and_an_error(warm: Harness) -> None:
    body = ask('[[tool get {"k": 1}]] [[final done]]', tools=[TOOL])
    _, _, answer = post(warm.url, body)
    call = json.loads(answer)["content"][-1]
    result = [{"type": "tool_result", "tool_use_id": call["id"], "content": "it"}]
    body["messages"] += [{"role": "assistant", "content": json.loads(answer)["content"]}, {"role": "user", "content": result}]
    _, headers, answer = post(warm.url, body)
    assert road(headers) == "parked"
    body = go_on(body, answer, "[[say more]] of it")
    _, headers, answer = post(warm.url, body)
    assert (road(headers), text_of(answer)) == ("warm", "more")
    assert differences(body, sent(warm).body) == []
    status, _, _ = post(warm.url, go_on(body, answer, "[[error 529 busy]] x"))
    assert status == 529
    status, headers, _ = post(warm.url, go_on(body, answer, "[[say again]] x"))
    assert (status, road(headers) == "warm") == (200, False)  # the process that met the error is gone


def test_a_sticky_session_goes_on_in_its_process(warm: Harness) -> None:
    post(warm.url, ask("[[say one]]"), x_relayd_session="s1")
    status, headers, answer = post(warm.url, ask("[[say two]] then"), x_relayd_session="s1")
    assert (status, road(headers), text_of(answer)) == (200, "warm", "two")
    assert len(sent(warm).body["messages"]) == 3


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_generated_conversations_go_on_byte_for_byte(warm: Harness, seed: int) -> None:
    found = chain(warm, seed, "claude-sonnet-4-6", 8)
    assert found.wrong == []
    assert found.roads["warm"] >= 3


def test_generated_conversations_are_loaded_and_their_last_text_is_typed(warm: Harness) -> None:
    roads: Counter[str] = Counter()
    for seed in range(501, 509):
        until(lambda: at_prompt(warm))
        body = typed(seed, f"- {seed}:\tby the editor" if seed % 2 else f"{seed} by keys")
        road_taken, wrong = check(warm, seed, body)
        assert wrong == []
        roads[road_taken] += 1
    assert sum(roads[name] for name in TYPED_ROADS) >= 3, roads


def test_examples_before_each_question_are_loaded_ahead(tmp_path: pathlib.Path, claude: str) -> None:
    """They were loaded anew at each call, with nothing ahead but the system prompt."""
    shots = [
        {"role": "user", "content": "what is\t2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "3 + 3?\r\n"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "6 ✓"}]},
    ]
    with Harness(str(tmp_path), claude, {"warm_model": "claude-sonnet-4-6", "kept": 1, "idle": 1, **PATIENT}) as harness:
        until(lambda: at_prompt(harness))
        for number in range(4):
            body = ask("", system="Count.", messages=[*shots, {"role": "user", "content": f"[[say {number}]] + {number}?"}])
            status, headers, answer = post(harness.url, body)
            assert (status, text_of(answer)) == (200, str(number))
            assert differences(body, sent(harness).body) == []
            until(lambda n=number: n < 1 or "primed" in health(harness)["pool"]["processes"])
        assert road(headers) == "primed"


def test_nothing_typed_is_left_on_disk_after_the_end(tmp_path: pathlib.Path, claude: str) -> None:
    with Harness(str(tmp_path), claude, PATIENT) as harness:
        until(lambda: at_prompt(harness))
        body = ask("[[say one]]")
        _, _, answer = post(harness.url, body)
        assert road(post(harness.url, go_on(body, answer, "[[say xyzzy-word]] now"))[1]) == "warm"
        until(lambda: not files_holding(tmp_path, b"xyzzy-word"))
        assert "kept" in health(harness)["pool"]["processes"]
        assert harness.stop() == 0
        assert files_holding(tmp_path, b"xyzzy-word") == []
        assert len(harness.api.messages()) == 2
