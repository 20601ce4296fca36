"""The threats of relayd-security(7) that need a daemon of their own: each fails without its protection."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from relayd.doctor.harness import Harness
from relayd.doctor.isolation import Isolation
from relayd.runtime import peer
from tests.daemon.test_http import children, raw
from tests.helpers import ask, connect, connected, files_holding, post, text_of, until

Make = Callable[..., Harness]
NOBODY = 65534
# A client in a process of its own, with another user's rights.
CLIENT = """
import os, socket, sys
host, port = sys.argv[1].split(":")
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
client = socket.socket()
client.connect((host, int(port)))
client.sendall(b"GET /v1/health HTTP/1.1\\r\\nhost: %b\\r\\nconnection: close\\r\\n\\r\\n" % sys.argv[1].encode())
data = b""
while piece := client.recv(65536):
    data += piece
head, _, body = data.partition(b"\\r\\n\\r\\n")
print(head.split()[1].decode(), body.decode())
"""


def as_user(url: str, uid: int) -> str:
    command = [sys.executable, "-c", CLIENT, urlsplit(url).netloc, str(uid)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_is_refused(daemon: Make) -> None:
    url = daemon().url
    answer = as_user(url, NOBODY)
    assert answer.startswith("403 ")
    assert json.loads(answer[4:])["error"] == {"type": "permission_error", "message": "relayd answers its own user only"}
    assert as_user(url, 0).startswith("200 ")
    assert as_user(daemon(same_user="false").url, NOBODY).startswith("200 ")


HIT_AND_RUN = CLIENT.partition("data = b")[0].replace("GET /v1/health", "DELETE /v1/sessions/mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("same_user", "status"), [("true", 200), ("false", 404)])
def test_another_user_who_closes_at_once_does_not_pass_for_root(daemon: Make, same_user: str, status: int) -> None:
    """The kernel says user 0 of a socket that nobody holds any more; such a request must not be carried out."""
    harness = daemon(same_user=same_user)
    post(harness.url, ask("echo x"), x_relayd_session="mine")
    os.kill(harness.pid, signal.SIGSTOP)
    try:
        command = [sys.executable, "-c", HIT_AND_RUN, urlsplit(harness.url).netloc, str(NOBODY)]
        subprocess.run(command, check=True, env={}, timeout=20)
    finally:
        os.kill(harness.pid, signal.SIGCONT)
    assert raw(harness.url, "GET", "/v1/sessions/mine")[0] == status


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells whose socket it is")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_both_ways_to_ask_the_kernel_agree(family: socket.AddressFamily, host: str) -> None:
    with connected(family, host) as (client, accepted):
        near, far = accepted.getsockname()[:2], client.getsockname()[:2]
        assert peer.peer_uid(accepted) == os.geteuid()
        found = (os.geteuid(), os.fstat(client.fileno()).st_ino)
        assert peer._look_up(family, far, near) == peer._ask(family, far, near) == found
        client.shutdown(socket.SHUT_WR)
        assert peer.peer_uid(accepted) == os.geteuid()
        assert peer._look_up(family, (host, 1), near) is None
        client.close()
        assert peer.peer_uid(accepted) == peer.NOBODY


def test_a_token_is_asked_for_where_there_is_one(daemon: Make, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("sesame-0123456789\n")
    file.chmod(0o600)
    harness = daemon(token_file=str(file))
    url = harness.url
    for headers, status, message in (
        ({}, 401, "x-api-key header is required"),
        ({"x_api_key": "wrong"}, 401, "invalid x-api-key"),
        ({"authorization": "Bearer sesame-012345678"}, 401, "invalid x-api-key"),
        ({"authorization": "Basic sesame-0123456789"}, 401, "x-api-key header is required"),
        ({"x_api_key": "sesame-0123456789"}, 200, ""),
        ({"authorization": "bearer sesame-0123456789"}, 200, ""),
    ):
        found, _, body = post(url, ask("echo in"), **headers)
        assert found == status, headers
        assert text_of(body) == "in" if status == 200 else json.loads(body)["error"]["message"] == message
    for path in ("/v1/models", "/v1/status", "/metrics", "/v1/sessions"):
        assert raw(url, "GET", path)[0] == 401
    assert "sesame" not in "\n".join(harness.log)


def test_a_token_that_others_can_read_is_refused_at_the_start(daemon: Make, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "token"
    file.write_text("sesame")
    file.chmod(0o644)
    with pytest.raises(RuntimeError, match="can be read by others"):
        daemon(token_file=str(file))


def test_guessed_paths_of_hooks_and_tools_lead_nowhere(daemon: Make) -> None:
    url = daemon().url
    for path in ("/hooks/AAAAAAAAAAAAAAAAAAAAAA", "/mcp/AAAAAAAAAAAAAAAAAAAAAA", "/telemetry/AAAAAAAAAAAAAAAAAAAAAA/v1/logs"):
        assert post(url, {}, path)[0] == 404


def test_secrets_of_a_process_end_with_it(daemon: Make) -> None:
    harness = daemon(idle=1)
    slots = pathlib.Path(harness.state_dir, "slots")
    (settings,) = until(lambda: [path for path in slots.glob("*/settings.json") if path.read_bytes()])  # empty at first
    path = urlsplit(json.loads(settings.read_text())["hooks"]["Stop"][0]["hooks"][0]["url"]).path
    assert post(harness.url, {"hook_event_name": "Nothing"}, path)[0] == 200
    for pid in children(harness):
        os.kill(pid, 9)
    until(lambda: not settings.exists())
    assert post(harness.url, {"hook_event_name": "Nothing"}, path)[0] == 404


def test_two_thousand_idle_connections_lock_nobody_out(daemon: Make) -> None:
    url = daemon(connections_max=200).url
    idle = []
    for _ in range(2000):
        sock = connect(url)
        idle.append(sock)
    assert text_of(post(url, ask("echo through"))[2]) == "through"
    for sock in idle:
        sock.close()


def test_a_workspace_that_is_a_link_or_holds_files_is_refused(tmp_path: pathlib.Path, fake_claude: str) -> None:
    """A link could make Claude Code's directory, and the trust in it, somebody else's."""
    for number, (prepare, message) in enumerate(
        [
            (lambda work: work.symlink_to("/etc"), "not a link"),
            (lambda work: (work.mkdir(), (work / "CLAUDE.md").write_text("x")), "must be empty"),
        ]
    ):
        root = tmp_path / str(number)
        (root / "state").mkdir(parents=True)
        prepare(root / "state" / "workspace")
        with pytest.raises(RuntimeError, match=message):
            Harness(str(root), fake_claude).__enter__()


def test_files_are_for_this_user_alone_and_no_secret_is_in_them_or_in_the_log(daemon: Make, tmp_path: pathlib.Path) -> None:
    harness = daemon(log_level="debug", log_format="json")
    for text in ("echo PRIVATE-WORDS", "crash running PRIVATE-WORDS", "fail rate_limit PRIVATE-WORDS"):
        post(harness.url, ask(text, system="PRIVATE-WORDS"), x_api_key="PRIVATE-WORDS", x_relayd_session="s")
    post(harness.url, ask("echo PRIVATE-WORDS", stream=True))
    post(harness.url, b'{"PRIVATE-WORDS')
    until(lambda: len(os.listdir(f"{harness.state_dir}/slots")) <= 2)
    until(lambda: not files_holding(pathlib.Path(harness.root), b"PRIVATE-WORDS"))
    log = "\n".join(harness.log)
    assert "PRIVATE-WORDS" not in log
    assert Isolation(harness.root, "").environment()["ANTHROPIC_API_KEY"] not in log
    for line in harness.log:
        assert {"at", "level", "message"} <= set(json.loads(line))
    for path in pathlib.Path(harness.state_dir).rglob("*"):
        assert path.lstat().st_mode & 0o077 == 0, path
    record = pathlib.Path(harness.state_dir, "recent-calls.jsonl")
    assert [json.loads(line)["status"] for line in record.read_text().splitlines()] == [200, 500, 429, 200, 400]


def test_the_environment_of_the_daemon_does_not_reach_the_processes(tmp_path: pathlib.Path, fake_claude: str) -> None:
    with Harness(str(tmp_path), fake_claude, {"idle": 1}, {"SOME_SECRET": "PRIVATE-WORDS"}) as harness:
        (pid,) = until(lambda: children(harness))
        environ = pathlib.Path(f"/proc/{pid}/environ")
        until(lambda: b"CLAUDE_CODE_TMPDIR=" in environ.read_bytes())  # before its exec it is still a copy of the daemon
        assert b"PRIVATE-WORDS" not in environ.read_bytes()
