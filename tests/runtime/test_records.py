"""The file of recent calls: whole lines, few enough, whatever the disk does."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from relayd.commands import status
from relayd.runtime.records import LINE_MAX_BYTES, Records

RECORD = {
    **{"at": 1.0, "id": "req_1", "route": "messages", "model": "m", "stream": False, "status": 200, "error": "", "road": "warm"},
    **{"queue_s": 0.0, "first_s": 0.1, "total_s": 0.2, "stop_reason": "end_turn", "tokens": {"output_tokens": 1}},
}


def line(number: int) -> bytes:
    return json.dumps(RECORD | {"id": f"req_{number}"}).encode() + b"\n"


def ids(path: pathlib.Path) -> list[str]:
    return [json.loads(each)["id"] for each in path.read_bytes().splitlines()]


@pytest.fixture
def said() -> list[str]:
    return []


def records(path: pathlib.Path, said: list[str], keep: int = 3) -> Records:
    return Records(str(path), keep, lambda level, text: said.append(text))


def test_the_older_half_goes(tmp_path: pathlib.Path, said: list[str]) -> None:
    path = tmp_path / "r"
    kept = records(path, said)
    for number in range(7):
        kept.append(line(number))
    assert ids(path) == ["req_4", "req_5", "req_6"]
    assert records(path, said)._lines == 3
    assert said == []


def test_half_a_line_does_not_swallow_the_next(tmp_path: pathlib.Path, said: list[str]) -> None:
    """A crash in the middle of a write left half a line, and the next record was glued to it."""
    path = tmp_path / "r"
    path.write_bytes(line(0) + line(1)[:20])
    records(path, said).append(line(2))
    assert path.read_bytes() == line(0) + line(1)[:20] + b"\n" + line(2)


FILL = """
import resource, signal, sys
from relayd.runtime.records import Records
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
said = []
records = Records(sys.argv[1], 1000, lambda level, text: said.append(text))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for number in range(5):
    records.append(b"x" * 99 + b"\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
records.append(b"y" * 99 + b"\\n")
print(len(said))
"""


def test_a_full_disk_leaves_whole_lines_and_is_told_once(tmp_path: pathlib.Path) -> None:
    """The kernel took what it had room for: half a record, glued to the first one that was written when there was room again."""
    path = tmp_path / "r"
    run = [sys.executable, "-c", FILL, str(path), "250"]
    done = subprocess.run(
        run, capture_output=True, text=True, check=True, env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    )
    assert done.stdout == "1\n"
    assert [len(each) for each in path.read_bytes().splitlines()] == [99, 99, 99]


def test_a_file_that_cannot_be_shortened_is_kept_and_not_tried_for_each_call(
    tmp_path: pathlib.Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r"
    kept = records(path, said)
    tried: list[str] = []

    def refuse(old: str, new: str) -> None:
        tried.append(new)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        for number in range(9):
            kept.append(line(number))
    assert (len(tried), len(ids(path)), len(said), os.listdir(tmp_path)) == (1, 9, 1, ["r"])
    for number in range(9, 13):
        kept.append(line(number))
    assert len(ids(path)) <= 6


def test_a_record_that_is_too_long_is_not_kept(tmp_path: pathlib.Path, said: list[str]) -> None:
    """A model name of 32 MB was kept in each record."""
    path = tmp_path / "r"
    kept = records(path, said)
    kept.append(json.dumps(RECORD | {"model": "m" * LINE_MAX_BYTES}).encode() + b"\n")
    kept.append(line(1))
    assert (ids(path), len(said)) == (["req_1"], 1)


@pytest.mark.parametrize(
    "broken",
    [
        *(b"\n", b"5\n", b"[]\n", b"{}\n", b"null\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n"),
        *(json.dumps(RECORD | {"tokens": wrong}).encode() + b"\n" for wrong in (None, 5, {"a": "b"})),
        *(json.dumps(RECORD | {"at": wrong}).encode() + b"\n" for wrong in ("x", 1e300, None)),
        json.dumps(RECORD)[:40].encode(),
    ],
)
def test_lines_that_are_no_records_are_no_rows(broken: bytes) -> None:
    """`relayd calls` ended with a traceback (exit 101) on one torn line, until 2,000 calls later."""
    found = status._record(broken)
    assert found is None or status._call_row(found) is None
    whole = status._record(line(1))
    assert whole is not None
    assert status._call_row(whole) is not None
