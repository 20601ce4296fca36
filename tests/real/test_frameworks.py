"""Client libraries and their own suites, unmodified, on the real Claude Code. `scripts/test` installs them apart.

Each script of `frameworks/` is a program of its own that prints `ok`; the suites have reports of their own.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from relayd.doctor.harness import Harness

pytestmark = pytest.mark.real

SCRIPTS = pathlib.Path(__file__).parents[1] / "frameworks"
PLACE = pathlib.Path(os.environ.get("TEST_FRAMEWORKS", "/nonexistent"))
LIMIT_S = 400


def run(real: Harness, command: list[str], cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    home = PLACE / "home"
    home.mkdir(exist_ok=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "BASE_URL": real.url, "LANG": "C.UTF-8", "NO_PROXY": "*"}
    return subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize(
    ("venv", "script"),
    [
        ("agents", "openai_sdk"),
        ("agents", "pydantic_ai_agent"),
        ("litellm", "litellm_calls"),
        ("instructor", "instructor_models"),
        ("llm", "llm_plugin"),
    ],
)
def test_python_libraries(real: Harness, venv: str, script: str) -> None:
    done = run(real, [str(PLACE / venv / "bin/python"), str(SCRIPTS / f"{script}.py")], PLACE)
    assert done.stdout.endswith("ok\n"), done.stdout + done.stderr


@pytest.mark.parametrize("script", ["anthropic_sdk", "openai_sdk", "ai_sdk"])
def test_npm_libraries(real: Harness, script: str) -> None:
    node = shutil.which("node")
    assert node, "the npm libraries need node"
    modules = PLACE / "node"
    shutil.copy(SCRIPTS / f"{script}.mjs", modules)
    real.api.clear()
    done = run(real, [node, f"{script}.mjs"], modules)
    assert done.stdout == "ok\n", done.stdout + done.stderr
    if script == "anthropic_sdk":  # its first conversation has twenty rounds of tools
        first = [r.headers["x-claude-code-session-id"] for r in real.api.messages()][:21]
        assert (len(first), len(set(first))) == (21, 1)


def test_langchains_standard_integration_tests(real: Harness) -> None:
    """Skipped by the suite itself: JSON mode and audio, which the API does not have, and recorded traffic."""
    python = str(PLACE / "agents/bin/python")
    flags = ["-q", "--noconftest", "-c", "/dev/null", "-p", "no:cacheprovider", "--asyncio-mode=auto", "-W", "ignore"]
    script = SCRIPTS / "langchain_standard.py"
    done = run(real, [python, "-m", "pytest", *flags, "--rootdir", str(SCRIPTS), str(script)], PLACE)
    found = re.search(r"^(\d+) passed, 3 skipped", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout[-5000:]
    assert found, done.stdout[-5000:]
    assert int(found[1]) >= 47


@pytest.mark.parametrize(("shape", "skipped"), [("anthropic", 0), ("openai-chat", 1)])
def test_the_compliance_tester(real: Harness, shape: str, skipped: int) -> None:
    """Skipped for OpenAI's shape: reasoning summaries, which it has no field for."""
    tester = str(PLACE / "comply/bin/llm-comply")
    flags = ["--format", shape, "-u", f"{real.url}/v1", "-k", "any", "-m", "claude-sonnet-4-6", "--json"]
    done = run(real, [tester, *flags], PLACE)
    summary = json.loads(done.stdout)["summary"]
    assert summary == {"total": 9, "passed": 9 - skipped, "failed": 0, "skipped": skipped}, done.stdout
