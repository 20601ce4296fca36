"""What the daemon makes of a claude that dies, lies, stalls or stays; every client gets one clear answer."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from relayd.doctor import client
from relayd.doctor.harness import Harness
from tests.daemon.test_http import children
from tests.helpers import ask, connect, events_of, files_holding, post, read_answer, request_bytes, text_of, until
from tests.lab.fault_world import PROGRAM

Make = Callable[..., Harness]


@pytest.mark.parametrize(
    ("prompt", "status", "words"),
    [
        ("crash starting", 500, "ended unexpectedly (status 3)"),
        ("crash running", 500, "ended unexpectedly (status 3)"),
        ("kill", 500, "ended unexpectedly (signal 9)"),
        ("die-slowly", 500, "ended unexpectedly (status 4)"),
        ("close-tty", 500, "terminal unexpectedly"),
        ("echo no-transcript", 500, "without writing its answer"),
        ("hang", 504, "silence_limit_s"),
        ("screen Do you want this?", 500, "Do you want this?"),
        ("screen Select login method", 401, "not logged in"),
        ("fail rate_limit API Error: Request rejected (429) · slow", 429, "slow"),
        ("fail model_not_found no such model", 404, "model: claude-sonnet-4-6"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_each_fault_is_one_clear_error_and_the_next_call_works(
    daemon: Make, prompt: str, status: int, words: str, stream: bool
) -> None:
    harness = daemon(silence_limit_s=1, transcript_lag_s=0.3, term_limit_s=0.3, idle=1, max=2)
    found, _, body = post(harness.url, ask(prompt, stream=stream))
    if found == 200:  # the stream had begun: the error is its last event
        event = events_of(body)[-1]
        assert event["type"] == "error"
        message = event["error"]["message"]
    else:
        assert found == status
        message = json.loads(body)["error"]["message"]
    assert words in message
    assert text_of(post(harness.url, ask("echo next"))[2]) == "next"


def test_text_that_was_streamed_and_is_not_in_the_transcript_ends_in_an_error(daemon: Make) -> None:
    """A whole answer is the transcript's; a stream has shown the hook's text before the transcript could tell."""
    harness = daemon()
    events = events_of(post(harness.url, ask("diverge no-stop", stream=True))[2])
    assert events[-1]["type"] == "error"
    assert "differs from the transcript" in events[-1]["error"]["message"]
    assert text_of(post(harness.url, ask("diverge"))[2]) == "diverge"


@pytest.mark.parametrize(
    "prompt",
    [
        "echo words garbage",
        "echo words twice",
        "echo words\n\nand\nmore backwards",
        "echo words stop-lag 0.5",
        "echo words no-usage",
        "echo words flood 300000",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_can_be_put_right_is(daemon: Make, prompt: str, stream: bool) -> None:
    harness = daemon()
    status, _, body = post(harness.url, ask(prompt, stream=stream))
    assert status == 200
    text = "".join(e["delta"]["text"] for e in events_of(body) if e["type"] == "content_block_delta") if stream else text_of(body)
    assert text == prompt.removeprefix("echo ")


def program(directory: pathlib.Path, text: str) -> pathlib.Path:
    """An executable script to be run as claude."""
    path = directory / "claude"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_claude_that_cannot_be_started_is_an_error_with_the_reason(daemon: Make, tmp_path: pathlib.Path) -> None:
    broken = program(tmp_path, "#!/nonexistent/interpreter\n")
    harness = daemon(claude=broken, idle=0)
    status, _, body = post(harness.url, ask("echo x"))
    assert status == 500
    assert "could not be started" in json.loads(body)["error"]["message"]


def test_a_claude_that_exits_while_it_boots(daemon: Make, tmp_path: pathlib.Path) -> None:
    broken = program(tmp_path, "#!/bin/sh\necho 'this version is too old'; exit 9\n")
    harness = daemon(claude=broken, idle=0)
    status, _, body = post(harness.url, ask("echo x"))
    assert status == 500
    assert "(status 9); its screen said: this version is too old" in json.loads(body)["error"]["message"]


def test_a_claude_that_never_reaches_its_gate(daemon: Make, tmp_path: pathlib.Path) -> None:
    stuck = program(tmp_path, "#!/bin/sh\nexec sleep 60\n")
    harness = daemon(claude=stuck, idle=0, spawn_limit_s=0.5)
    status, _, body = post(harness.url, ask("echo x"))
    assert status == 504
    assert "spawn_limit_s" in json.loads(body)["error"]["message"]
    until(lambda: not children(harness))


def test_one_that_ignores_term_is_killed(daemon: Make) -> None:
    harness = daemon(idle=0, term_limit_s=0.3)
    assert text_of(post(harness.url, ask("echo x ignore-term"))[2]) == "x ignore-term"
    until(lambda: not children(harness))


def test_a_new_binary_replaces_what_waits(daemon: Make, fake_claude: str, tmp_path: pathlib.Path) -> None:
    own = tmp_path / "claude"
    own.write_bytes(pathlib.Path(fake_claude).read_bytes())
    own.chmod(0o755)
    harness = daemon(claude=own, binary_check_s=0.1)
    before = until(lambda: len(children(harness)) == 2 and set(children(harness)))
    program = own.read_bytes()
    own.write_bytes(b"")  # it is being written: what is started now cannot run
    until(lambda: any("Exec format error" in line for line in harness.log))
    own.write_bytes(program + b"\n")
    until(lambda: len(children(harness)) == 2 and not before & set(children(harness)))
    assert text_of(post(harness.url, ask("echo fresh"))[2]) == "fresh"


def test_a_transcript_that_somebody_has_cut_is_not_answered_from(daemon: Make) -> None:
    """Claude Code took up what was left of a conversation with "Continue from where you left off.", and the client got the
    answer to that: seen only when fault runs compared the texts of answers."""
    harness = daemon()
    answers: list[tuple[int, dict[str, str], bytes]] = []
    said = "slow 0.5 echo well"
    thread = threading.Thread(target=lambda: answers.append(post(harness.url, ask(said))))
    thread.start()
    transcripts = pathlib.Path(harness.isolation.config_dir, "projects")
    held = until(lambda: [f for f in transcripts.glob("*/*.jsonl") if b"echo well" in f.read_bytes()])
    os.truncate(held[0], 40)
    thread.join(30)
    until(lambda: any("cut its transcript" in line for line in harness.log))
    status, _, body = answers[0]  # asked again in another process, unless the answer had begun
    assert (text_of(body) == said) if status == 200 else (b"cut its transcript" in body)


def test_the_time_of_day_is_that_of_the_machine_after_it_has_slept(daemon: Make, tmp_path: pathlib.Path) -> None:
    """A laptop's monotonic clock stands still in its sleep: the model was told yesterday's date, and limits lasted for hours."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    harness = daemon(program=("-c", PROGRAM.format(path=str(clock))))
    offsets = (0.0, 36_000.0, -86_400.0)
    for offset in offsets:
        clock.write_text(str(offset))
        assert text_of(post(harness.url, ask("echo well"))[2]) == "well"
    calls = client.get(harness.url, "/v1/status").value["recent"]
    assert [round((time.time() + o - c["at"]) / 600) for o, c in zip(reversed(offsets), calls, strict=True)] == [0, 0, 0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_waits_for_running_calls_and_leaves_nothing(daemon: Make, number: int) -> None:
    harness = daemon(term_limit_s=0.3)
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("echo a\nb\nc\nlast slow 0.2", stream=True)))
        assert sock.recv(20).startswith(b"HTTP/1.1 200")
        pids = children(harness)
        assert harness.process is not None
        harness.process.send_signal(number)
        rest = b""
        while piece := sock.recv(65536):
            rest += piece
    assert b"event: message_stop" in rest
    assert harness.process.wait(20) == 0
    assert not any(psutil.pid_exists(p) for p in pids)
    assert not os.listdir(f"{harness.state_dir}/slots")
    assert not [f for f in pathlib.Path(harness.isolation.config_dir).rglob("*.jsonl")]


def test_no_new_call_is_taken_at_the_end(daemon: Make) -> None:
    harness = daemon()
    with connect(harness.url) as first, connect(harness.url) as second:
        first.sendall(request_bytes(harness.url, ask("echo a\nb\nc\nd slow 0.3", stream=True)))
        assert first.recv(20).startswith(b"HTTP/1.1 200")
        assert harness.process is not None
        harness.process.terminate()
        until(lambda: any("SIGTERM" in line for line in harness.log))
        second.sendall(request_bytes(harness.url, ask("echo late")))
        status, headers, _ = read_answer(second)
        assert (status, "retry-after" in headers) == (529, True)


def test_after_a_kill_the_next_start_ends_orphans_and_sweeps(daemon: Make) -> None:
    """kill -9 of the daemon closes its terminals and FIFOs; a process that lives on is found by its record."""
    harness = daemon(idle=0)
    with connect(harness.url) as sock:
        sock.sendall(request_bytes(harness.url, ask("hang ignore-term SECRET-WORDS")))
        transcripts = until(lambda: files_holding(pathlib.Path(harness.root), b"SECRET-WORDS"))
        until(lambda: ignores_hang_up(children(harness)[0]))
        stubborn = children(harness)[0]
        harness.kill()
    assert psutil.pid_exists(stubborn)
    harness.start()
    assert not any(t.exists() for t in transcripts)
    until(lambda: not psutil.pid_exists(stubborn) or psutil.Process(stubborn).status() == psutil.STATUS_ZOMBIE)
    assert text_of(post(harness.url, ask("echo again"))[2]) == "again"


def ignores_hang_up(pid: int) -> bool:
    """True once a process ignores SIGHUP (bit 0 of the mask)."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigIgn:")[2].split()[0], 16) & 1)


def test_two_daemons_do_not_share_a_state_directory(daemon: Make) -> None:
    first = daemon()
    second = Harness(first.root, first.claude, {})
    second.api.start()
    with pytest.raises(RuntimeError, match="another daemon uses"):
        second.start()
    second.api.stop()
    assert text_of(post(first.url, ask("echo still here"))[2]) == "still here"


def test_logs_hold_no_word_of_a_call(daemon: Make) -> None:
    harness = daemon(log_level="debug", silence_limit_s=1, start_limit_s=1)
    threads = [
        threading.Thread(target=post, args=(harness.url, ask(f"{command} SECRET-WORDS", system="SECRET-WORDS")))
        for command in ("echo", "crash running", "hang", "diverge", "fail server_error API Error: 500")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert harness.log
    assert not [line for line in harness.log if "SECRET-WORDS" in line]


def test_a_process_that_dies_without_a_word_is_replaced_once(daemon: Make, tmp_path: pathlib.Path) -> None:
    """Found by random kills: a waiting process that had just died got the next call, which failed though others could do it."""
    harness = daemon()
    status, _, body = post(harness.url, ask(f"crash-once {tmp_path / 'crashed'}"))
    assert (status, text_of(body)) == (200, f"crash-once {tmp_path / 'crashed'}")
    status, _, body = post(harness.url, ask("crash starting"))
    assert status == 500


def test_a_term_just_after_the_ready_line_ends_the_daemon_tidily(daemon: Make) -> None:
    """Seen on a busy machine: the line was out before the signals were caught, and the daemon died of the signal."""
    assert [daemon().stop() for _ in range(5)] == [0] * 5


def test_signals_to_a_process_that_is_just_being_born_are_not_the_daemons(daemon: Make) -> None:
    """Found by random kills: between fork and exec a child has the daemon's handlers, and a TERM for it ended the daemon."""
    harness = daemon(idle=3, refill_delay_s=0)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for pid in children(harness):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    assert text_of(post(harness.url, ask("echo next"))[2]) == "next"
    assert not [line for line in harness.log if "SIGTERM" in line]
