"""The README's cookbook is run as it stands."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from relayd.doctor.harness import Harness

pytestmark = pytest.mark.real
README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
RECIPES = re.findall(r"```python\n(.*?)```", README.partition("## Cookbook")[2].partition("\n## ")[0], re.DOTALL)
EXPECTED = (
    "The result is Sunny in Rome.",
    "name='Anna' age=30",
    "echo: What is this?",
    "echo: My name is Anna.\necho: What is my name?",
    str([f"echo: Question {n}" for n in range(6)]),
)


def test_there_are_five_recipes() -> None:
    assert len(RECIPES) == len(EXPECTED) == 5


@pytest.mark.parametrize("number", range(5))
def test_recipes_run(real: Harness, number: int) -> None:
    environ = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": real.url, "ANTHROPIC_API_KEY": "any", "HOME": real.root}
    done = subprocess.run(
        [sys.executable, "-c", RECIPES[number]], env=environ, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout.strip()) == (0, EXPECTED[number]), done.stderr
