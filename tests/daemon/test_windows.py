"""relayd's Windows side, on a system that lacks what Windows lacks (`as_windows.py`). Windows itself was never tried."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from relayd.doctor.checks import health
from relayd.doctor.exactness import differences
from relayd.doctor.harness import Harness
from tests.daemon.test_http import children
from tests.helpers import ask, connect, events_of, post, request_bytes, text_of, until

# Without -P, `tests/http` would be the library `http` of a program that lies in tests/.
PROGRAM = ("-P", str(pathlib.Path(__file__).parents[1] / "as_windows.py"))


@pytest.fixture
def windows(daemon: Callable[..., Harness]) -> Callable[..., Harness]:
    return lambda **flags: daemon(program=PROGRAM, **flags)


def nothing_left(harness: Harness) -> None:
    until(lambda: not children(harness))
    until(lambda: not list(pathlib.Path(harness.state_dir, "slots").glob("*")))


def test_calls_are_answered_by_processes_that_start_with_their_conversation(windows: Callable[..., Harness]) -> None:
    harness = windows()
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda n: post(harness.url, ask(f"echo answer {n}")), range(6)))
    assert [(a[0], text_of(a[2])) for a in answers] == [(200, f"answer {n}") for n in range(6)]
    assert all('desc="cold"' in a[1]["server-timing"] for a in answers)
    nothing_left(harness)
    assert harness.stop() == 0


def test_a_stream_and_an_error_and_an_early_death(windows: Callable[..., Harness]) -> None:
    harness = windows()
    events = events_of(post(harness.url, ask("echo one two", stream=True))[2])
    assert events[-1]["type"] == "message_stop"
    status, _, body = post(harness.url, ask("crash running"))
    assert status == 500, body
    assert "status 3" in json.loads(body)["error"]["message"]
    nothing_left(harness)


def test_a_client_that_leaves_ends_its_process(windows: Callable[..., Harness]) -> None:
    harness = windows()
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("hang")))
        until(lambda: children(harness))
    nothing_left(harness)


def test_a_claude_that_cannot_be_started_is_an_error_and_not_a_loop(
    windows: Callable[..., Harness], tmp_path: pathlib.Path
) -> None:
    broken = tmp_path / "claude"
    broken.write_text("#!/nowhere\n")
    broken.chmod(0o700)
    harness = windows(claude=broken)
    status, _, body = post(harness.url, ask("x"))
    assert status == 500
    assert "could not be started" in json.loads(body)["error"]["message"]


def test_two_daemons_cannot_share_a_state_directory(windows: Callable[..., Harness], fake_claude: str) -> None:
    harness = windows()
    other = Harness(harness.root, fake_claude, program=PROGRAM, api=harness.api)
    with pytest.raises(RuntimeError, match="another daemon uses"):
        other.start()


@pytest.mark.real
def test_the_real_claude_answers_without_a_gate(tmp_path: pathlib.Path, claude: str) -> None:
    body = {"messages": [{"role": "user", "content": "\ta\r\n[[say done]]"}], "system": "Be\r\nshort. "}
    with Harness(str(tmp_path), claude, {"typing": False, "kept": 0}, program=PROGRAM) as harness:
        status, headers, answer = post(harness.url, {"model": "claude-sonnet-4-6", "max_tokens": 1024, **body})
        assert (status, text_of(answer)) == (200, "done")
        assert 'desc="cold"' in headers["server-timing"]
        assert differences(body, harness.api.messages()[-1].body) == []
        nothing_left(harness)
        assert harness.stop() == 0


@pytest.mark.real
def test_the_real_claude_waits_at_its_prompt(tmp_path: pathlib.Path, claude: str) -> None:
    with Harness(str(tmp_path), claude, {"warm_model": "claude-sonnet-4-6", "submit_limit_s": 30}, program=PROGRAM) as harness:
        until(lambda: health(harness)["pool"]["processes"].get("ready") == 2)
        status, headers, answer = post(harness.url, ask("[[say done]] now", system="Be short."))
        assert (status, text_of(answer), 'desc="ready"' in headers["server-timing"]) == (200, "done", True)
        assert harness.stop() == 0
