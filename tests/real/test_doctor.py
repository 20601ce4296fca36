"""The doctor on real binaries: the pinned version can do everything, and what older ones lack is said as it is."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from relayd import verdict
from relayd.doctor.checks import CHECKS, MODEL, Result, examine
from relayd.doctor.harness import Harness
from relayd.runtime.files import fingerprint
from tests.helpers import lacking

pytestmark = pytest.mark.real

ROOT = pathlib.Path(__file__).parents[2]
OLDER = dict(word.split("=", 1) for word in os.environ.get("TEST_OLDER_CLAUDES", "").split())


def test_the_command_reports_and_leaves_its_verdict_for_the_daemon(claude: str, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "relayd", "doctor", "--json", "--claude", claude]
    environ = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(p for p in [str(ROOT), *sys.path] if p),
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
    found = json.loads(done.stdout)
    assert {c["name"]: c["works"] for c in found["checks"]} == dict.fromkeys(CHECKS, True)
    assert (done.returncode, found["refusal"]) == (0, "")
    kept = verdict.read((tmp_path / ".local/state/relayd/doctor.json").read_bytes(), fingerprint(claude))
    assert kept is not None
    assert (kept.version, kept.lacks, kept.no_tools) == (found["version"], frozenset(), "")


@pytest.mark.parametrize("version", ["2.1.162"])
def test_older_versions_lack_what_the_table_says(version: str, tmp_path: pathlib.Path) -> None:
    assert version in OLDER, "TEST_OLDER_CLAUDES must name the older binaries: run ./scripts/test"
    flags: dict[str, object] = {"warm_model": MODEL, "idle": 1, "live": False, "witness": False}
    told: list[Result] = []
    with Harness(str(tmp_path), OLDER[version], flags) as harness:
        results = examine(harness, told.append, without=("speed",))
    assert results == told
    assert {r.name for r in results if not r.works} == lacking(version), [(r.name, r.seen) for r in results if not r.works]
