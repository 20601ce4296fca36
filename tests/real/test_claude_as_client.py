"""The real Claude Code as a client of relayd, with another one behind it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest

from relayd.doctor.harness import Harness
from relayd.doctor.isolation import Isolation

pytestmark = pytest.mark.real

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["name", "n"],
    "additionalProperties": False,
}
LIMIT_S = 120
ROOT = pathlib.Path(__file__).parents[2]


def result(harness: Harness, claude: str, directory: pathlib.Path, prompt: str, *arguments: str) -> dict[str, Any]:
    """What `claude -p` says in the end, of a prompt, in a home of its own, as `relayd connect claude-code` sets it up."""
    home = Isolation(str(directory), harness.url).prepare()
    environ = {name: value for name, value in home.environment().items() if not name.startswith("ANTHROPIC_")}
    port = {"RELAYD_PORT": str(urlsplit(harness.url).port)}
    connect = [sys.executable, "-m", "relayd", "connect", "claude-code"]
    subprocess.run(connect, env=environ | port, cwd=ROOT, capture_output=True, check=True, timeout=LIMIT_S)
    settings = f"{home.home}/.config/relayd/clients/claude-code.json"
    work = directory / "work"
    work.mkdir()
    shape = ("--output-format", "json", "--model", "claude-sonnet-4-6")
    command = [claude, "--settings", settings, "-p", prompt, *shape, *arguments]
    run = subprocess.run(
        command,
        cwd=work,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    assert not found["is_error"]
    return found


@pytest.mark.parametrize("prompt", ['[[tool StructuredOutput {"name":"x","n":3}]]', "an object with a name, please"])
def test_a_schema_gives_structured_output(real: Harness, claude: str, tmp_path: pathlib.Path, prompt: str) -> None:
    """It has a tool for that, and asks again for a call of it where the model did not make one."""
    found = result(real, claude, tmp_path, prompt, "--tools", "", "--json-schema", json.dumps(SCHEMA))
    assert set(found["structured_output"]) == {"name", "n"}


def test_it_goes_on_where_its_tool_search_cannot(real: Harness, claude: str, tmp_path: pathlib.Path) -> None:
    """It sends the references that it has found, is refused by name, and gives the tools in full."""
    real.api.clear()
    found = result(real, claude, tmp_path, '[[tools 1 ToolSearch {"query":"select:WebFetch","max_results":1}]][[final done]]')
    assert "Tool references removed" in found["result"]  # the stand-in says what it got
    assert "mcp__client__WebFetch" in [tool["name"] for tool in real.api.messages()[-1].body["tools"]]
    assert os.listdir(tmp_path / "work") == []
