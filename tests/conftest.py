"""Fixtures: the real claude, a scripted fake one, daemons in isolated homes."""

from __future__ import annotations

import os
import pathlib
import stat
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from relayd.doctor.harness import Harness

# No test may depend on a clock, nor on chance: the volume runs are scripts.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=150
)
settings.load_profile("suite")

FAKE = pathlib.Path(__file__).with_name("fake_claude.py")


@pytest.fixture(scope="session")
def claude() -> str:
    """The real binary; `scripts/test` fetches it."""
    path = os.environ.get("TEST_CLAUDE", "")
    assert os.access(path, os.X_OK), "TEST_CLAUDE must name the real binary: run ./scripts/test"
    return path


@pytest.fixture(scope="session")
def fake_claude(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program that stands for claude and does what prompts tell it, faults included."""
    path = tmp_path_factory.mktemp("fake") / "claude"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E -P {FAKE} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture(scope="module")
def real(claude: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A daemon on the real claude, shared by a module."""
    root = str(tmp_path_factory.mktemp("real"))
    with Harness(root, claude, {"warm_model": "claude-sonnet-4-6"}) as harness:
        yield harness
        assert harness.stop() == 0


@pytest.fixture
def daemon(tmp_path: pathlib.Path, fake_claude: str) -> Iterator[Callable[..., Harness]]:
    """Makes daemons on the fake claude; each is ended at the end of the test."""
    made: list[Harness] = []

    def make(**flags: object) -> Harness:
        root = tmp_path / str(len(made))
        root.mkdir()
        program = flags.pop("program", Harness.program)
        flags.setdefault("kept", 0)  # what a call leaves behind is seen at once
        flags.setdefault("typing", False)  # the fake has no prompt
        environment = flags.pop("environment", {})
        harness = Harness(str(root), str(flags.pop("claude", fake_claude)), flags, environment, program=program)
        harness.__enter__()
        made.append(harness)
        return harness

    yield make
    for harness in made:
        harness.__exit__()
