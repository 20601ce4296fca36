"""The examples of the README and the recipes of relayd-clients(7) are run as they stand.

The recipes are taken from the web page that the dashboard serves, which is what a reader copies: so the escapes of
the manual page are tested, too.
"""

from __future__ import annotations

import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from relayd.doctor.harness import Harness

pytestmark = pytest.mark.real
ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CLIENTS = (ROOT / "relayd" / "dashboard" / "docs" / "relayd-clients.7.html").read_text()
FRAMEWORKS = pathlib.Path(os.environ.get("TEST_FRAMEWORKS", "/nonexistent"))
ADDRESS = "http://127.0.0.1:7421"
EXPECTED = (
    "The result is Sunny in Rome.",
    "name='Anna' age=30",
    "echo: What is this?",
    "echo: My name is Anna.\necho: What is my name?",
    str([f"echo: Question {n}" for n in range(6)]),
)


def blocks(section: str) -> list[str]:
    """The programs of a section of relayd-clients(7)."""
    text = CLIENTS.partition(f'id="{section}"')[2].partition('<h1 class="Sh"')[0]
    return [html.unescape(re.sub(r"<[^>]+>", "", found)) for found in re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)]


RECIPES = blocks("COOKBOOK")
SETUPS = blocks("SETTING_UP_A_CLIENT")


def example(language: str, word: str) -> str:
    """The README's program in a language that has a word in it."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if word in text]
    return str(found)


def run(real: Harness, command: list[str], cwd: pathlib.Path = ROOT) -> str:
    """What a program prints, with the daemon's address where the documents have the usual one."""
    environ = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": real.url, "ANTHROPIC_API_KEY": "any", "HOME": real.root}
    command = [part.replace(ADDRESS, real.url) for part in command]
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_there_are_five_recipes() -> None:
    assert len(RECIPES) == len(EXPECTED) == 5


@pytest.mark.parametrize("number", range(5))
def test_recipes_run(real: Harness, number: int) -> None:
    assert run(real, [sys.executable, "-c", RECIPES[number]]) == EXPECTED[number]


@pytest.mark.parametrize("text", [example("sh", "curl"), SETUPS[0]], ids=["README", "relayd-clients"])
def test_the_call_by_curl(real: Harness, text: str) -> None:
    assert ADDRESS in text
    assert json.loads(run(real, ["bash", "-c", text]))["content"][0]["text"] == "echo: Hello"


def test_the_example_in_python(real: Harness) -> None:
    text = example("python", "import anthropic")
    assert ADDRESS in text
    assert run(real, [sys.executable, "-c", text]) == "echo: Hello"


def test_the_example_for_an_openai_client(real: Harness) -> None:
    text = example("python", "import openai")
    python = FRAMEWORKS / "agents" / "bin" / "python"
    if not python.exists():
        pytest.skip("the client libraries are not installed: ./scripts/test installs them")
    assert ADDRESS in text
    assert "content='echo: Hello'" in run(real, [str(python), "-c", text])


def test_the_example_in_typescript(real: Harness) -> None:
    text = example("ts", "import Anthropic")
    node, modules = shutil.which("node"), FRAMEWORKS / "node"
    if not node or not modules.exists():
        pytest.skip("the client libraries are not installed: ./scripts/test installs them")
    assert ADDRESS in text
    program = modules / "readme.mjs"
    program.write_text(text.replace(ADDRESS, real.url).replace(" as const", ""))  # older versions of Node know no types
    assert "text: 'echo: Hello'" in run(real, [node, program.name], modules)
