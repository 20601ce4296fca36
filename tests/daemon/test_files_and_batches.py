"""Files and Message Batches as the official Python SDK uses them, with a scripted claude, also one whose daemon is killed."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import time
from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from relayd.doctor.harness import Harness
from tests.helpers import ask, connect, post, read_answer, text_of, until

Make = Callable[..., Harness]
MODEL = "claude-sonnet-4-6"


def sdk(daemon: Harness) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=daemon.url, api_key="any", max_retries=0)


def requests(*texts: str, **fields: Any) -> list[Any]:
    message = {"model": MODEL, "max_tokens": 1024}
    return [
        {"custom_id": f"r{n}", "params": message | {"messages": [{"role": "user", "content": text}]} | fields}
        for n, text in enumerate(texts)
    ]


def ended(client: anthropic.Anthropic, batch: str) -> Any:
    def look() -> Any:
        found = client.messages.batches.retrieve(batch)
        return found if found.processing_status == "ended" else None

    return until(look, 40.0)


def test_the_whole_surface_of_files(daemon: Make, tmp_path: pathlib.Path) -> None:
    harness = daemon()
    with sdk(harness) as client:
        path = tmp_path / "a paper.pdf"
        path.write_bytes(b"%PDF-1.4 of one page")
        paper = client.files.upload(file=path, expires_in_seconds=3600)
        assert (paper.filename, paper.mime_type, paper.size_bytes) == ("a paper.pdf", "application/pdf", 20)
        assert paper.expires_at is not None
        assert (paper.expires_at - paper.created_at).total_seconds() == 3600
        note = client.files.upload(file=("note.txt", b"echo from a file", "text/plain"))
        assert client.files.retrieve_metadata(note.id) == note
        assert [f.id for f in client.files.list(limit=1)] == [note.id, paper.id]
        assert [f.id for f in client.files.list(ids=[paper.id, "file_none"])] == [paper.id]
        assert [f.id for f in client.beta.files.list()] == [note.id, paper.id]
        old = client.get("/v1/files?limit=1", cast_to=object, options={"headers": {"anthropic-beta": "files-api-2025-04-14"}})
        assert {k: v for k, v in old.items() if k != "data"} == {"has_more": True, "first_id": note.id, "last_id": note.id}  # type: ignore[attr-defined]
        with pytest.raises(anthropic.BadRequestError) as refused:
            client.files.download(note.id)
        assert type(refused.value).__name__ == "FileNotDownloadableError"
        content: list[Any] = [
            {"type": "document", "source": {"type": "file", "file_id": note.id}},
            {"type": "text", "text": "echo seen"},
        ]
        answer = client.messages.create(model=MODEL, max_tokens=100, messages=[{"role": "user", "content": content}])
        assert "seen" in answer.content[0].text  # type: ignore[union-attr]
        stored = pathlib.Path(harness.state_dir, "files")
        assert {stat.S_IMODE(os.stat(f).st_mode) for f in stored.iterdir()} == {0o600}
        assert stat.S_IMODE(os.stat(stored).st_mode) == 0o700
        harness.kill()
        harness.start()
    with sdk(harness) as client:
        for file in client.files.list(limit=1):
            assert client.files.delete(file.id).type == "file_deleted"
        with pytest.raises(anthropic.NotFoundError, match=f"File `{note.id}` not found"):
            client.files.retrieve_metadata(note.id)
        assert list(stored.iterdir()) == []


def test_an_upload_that_is_too_large_and_one_that_is_no_form(daemon: Make) -> None:
    harness = daemon(body_max_bytes=100_000)
    with sdk(harness) as client, pytest.raises(anthropic.APIStatusError) as refused:
        client.files.upload(file=("a", b"x" * 200_000))
    assert refused.value.status_code == 413
    assert post(harness.url, ask("echo x"), "/v1/files")[0] == 415
    assert post(harness.url, b"x", "/v1/messages", content_type="multipart/form-data; boundary=a")[0] == 415


def test_the_whole_surface_of_batches(daemon: Make) -> None:
    harness = daemon()
    with sdk(harness) as client:
        wrong = requests("echo w", stream=True)[0] | {"custom_id": "wrong"}
        batch = client.messages.batches.create(requests=[*requests("echo a", "echo b", "echo ü"), wrong])
        assert (batch.processing_status, batch.request_counts.processing, batch.results_url) == ("in_progress", 4, None)
        with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
            client.messages.batches.results(batch.id)
        found = ended(client, batch.id)
        assert (found.request_counts.succeeded, found.request_counts.errored) == (3, 1)
        results = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
        texts = {name: r.message.content[0].text for name, r in results.items() if r.type == "succeeded"}  # type: ignore[union-attr]
        assert texts == {"r0": "a", "r1": "b", "r2": "ü"}
        assert results["wrong"].type == "errored"
        assert results["wrong"].error.error.type == "invalid_request_error"
        other = client.beta.messages.batches.create(requests=requests("echo beta"))
        ended(client, other.id)
        assert [line.custom_id for line in client.beta.messages.batches.results(other.id)] == ["r0"]
        assert [b.id for b in client.messages.batches.list(limit=1)] == [other.id, batch.id]
        long = client.messages.batches.create(requests=requests(*["slow 0.2 a b"] * 9))
        with pytest.raises(anthropic.BadRequestError):
            client.messages.batches.delete(long.id)
        assert client.messages.batches.cancel(long.id).processing_status == "canceling"
        counts = ended(client, long.id).request_counts
        assert counts.canceled + counts.succeeded == 9
        assert counts.canceled >= 6
        for each in client.messages.batches.list():
            assert client.messages.batches.delete(each.id).type == "message_batch_deleted"
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.retrieve(batch.id)
        assert os.listdir(os.path.join(harness.state_dir, "batches")) == []
    records = pathlib.Path(harness.state_dir, "recent-calls.jsonl").read_text().splitlines()
    assert {json.loads(line)["route"] for line in records} >= {"batch"}


def test_long_results_come_at_the_pace_of_their_client(daemon: Make) -> None:
    """They are read from the disk as they are taken: 40 MB are more than the daemon keeps for a client that does not read."""
    harness = daemon()
    with sdk(harness) as client:
        batch = client.messages.batches.create(requests=requests("echo a"))
        ended(client, batch.id)
        path = pathlib.Path(harness.state_dir, "batches", f"{batch.id}.results")
        line = path.read_bytes()
        path.write_bytes(line * (40_000_000 // len(line)))
        with connect(harness.url) as sock:
            host = harness.url.removeprefix("http://")
            sock.sendall(f"GET /v1/messages/batches/{batch.id}/results HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            time.sleep(0.3)  # in which nobody reads: the daemon must wait with the file
            status, headers, body = read_answer(sock)
        assert (status, headers["content-type"], len(body)) == (200, "application/x-jsonl", path.stat().st_size)
        assert body == path.read_bytes()
        head = client._client.head(f"{harness.url}/v1/messages/batches/{batch.id}/results")
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(body)))


def test_a_batch_survives_a_daemon_that_is_killed(daemon: Make) -> None:
    """Nothing is lost, and nothing is twice among the results: what was under way has no result, and runs again."""
    harness = daemon(max=3)
    with sdk(harness) as client:
        batch = client.messages.batches.create(requests=requests(*[f"slow 0.05 w{n} x" for n in range(14)]))
    results = pathlib.Path(harness.state_dir, "batches", f"{batch.id}.results")
    done = [0]
    for _ in range(2):
        until(lambda: results.exists() and results.read_bytes().count(b"\n") >= done[-1] + 2)
        harness.kill()
        done.append(results.read_bytes().count(b"\n"))
        with open(results, "ab") as file:
            file.write(b'{"custom_id":"r13","result":{"type":"succ')  # half a line, as after a loss of power
        harness.start()
    with sdk(harness) as client:
        counts = ended(client, batch.id).request_counts
        lines = list(client.messages.batches.results(batch.id))
    assert (counts.succeeded, counts.processing) == (14, 0)
    assert sorted(line.custom_id for line in lines) == sorted(f"r{n}" for n in range(14))
    texts = {line.custom_id: line.result.message.content[0].text for line in lines}  # type: ignore[union-attr]
    assert all(f" w{n} " in texts[f"r{n}"] for n in range(14)), texts


def test_a_live_call_waits_for_no_batch(daemon: Make) -> None:
    """Requests that take seconds hold two processes of four: a call beside them is answered at once."""
    harness = daemon(max=4, idle=1)
    with sdk(harness) as client:
        batch = client.messages.batches.create(requests=requests(*["slow 2 a b"] * 6))
        until(lambda: json.loads(post_status(harness))["pool"]["running"] == 2)
        for number in range(3):
            begun = time.monotonic()
            assert text_of(post(harness.url, ask(f"echo {number}"))[2]) == str(number)
            assert time.monotonic() - begun < 2
        client.messages.batches.cancel(batch.id)


def post_status(harness: Harness) -> bytes:
    with connect(harness.url) as sock:
        sock.sendall(f"GET /v1/health HTTP/1.1\r\nhost: {harness.url.removeprefix('http://')}\r\n\r\n".encode())
        return read_answer(sock)[2]
