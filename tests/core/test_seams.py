"""The seams are typed: an event that is wired to a wrong effect is an error of mypy, not of a night."""

from __future__ import annotations

import pathlib
import shutil

import pytest
from mypy import api

ROOT = pathlib.Path(__file__).parents[2]
# Name: file, right line, wrong line, what mypy must say. Before, `mypy --strict` found no issues in the first two.
MISWIRINGS = {
    "an effect of another event": (
        "relayd/core/session/table.py",
        "on(ev.ChildExited, life.lost_both, State.DEAD)",
        "on(ev.ChildExited, resting.late_report, State.DEAD)",
        'Argument 2 to "on"',
    ),
    "a handler of another event": (
        "relayd/core/relay.py",
        "return self._client_left(event.client, now)",
        "return self._timer(event, now)",
        'incompatible type "ClientLeft"; expected "TimerFired"',
    ),
    "an event that nobody handles": (
        "relayd/core/relay.py",
        "            case ev.ViewerCaughtUp():\n                return self.front.viewers.caught_up(event.client)\n",
        "",
        'incompatible type "ViewerCaughtUp"; expected "Never"',
    ),
    "a question that nobody answers": (
        "relayd/core/admin_api.py",
        "            case Question.HELLO:\n                return _json({})\n",
        "",
        'incompatible type "Literal[Question.HELLO]"; expected "Never"',
    ),
    "a page that nobody answers": (
        "relayd/http/routes.py",
        '    LIVE = "live"\n',
        '    LIVE = "live"\n    MAP = "map"\n',
        'incompatible type "Literal[Page.MAP]"; expected "Never"',
    ),
    "a timer that is a text": (
        "relayd/core/session/deadlines.py",
        "return CancelTimer(SlotTimer(self._slot, due))",
        'return CancelTimer(("slot", self._slot, due))',
        'Argument 1 to "CancelTimer"',
    ),
}


@pytest.mark.slow
def test_miswired_seams_are_refused_by_mypy(tmp_path: pathlib.Path) -> None:
    shutil.copytree(ROOT / "relayd", tmp_path / "relayd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, right, wrong, _ in MISWIRINGS.values():
        source = (tmp_path / path).read_text()
        assert source.count(right) == 1, f"{path} has changed: {right}"
        (tmp_path / path).write_text(source.replace(right, wrong))
    files = sorted({str(tmp_path / path) for path, *_ in MISWIRINGS.values()})
    options = ["--config-file", str(tmp_path / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache" / "miswired")]
    said, _, status = api.run([*options, *files])
    assert status == 1, said
    for name, (*_, told) in MISWIRINGS.items():
        assert told in said, f"{name} passes: {said}"
