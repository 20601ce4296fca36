"""Small faults, one at a time, in a pure module: does a test of `tests/core` notice? Run by `scripts/mutate`; never in CI.

A mutant is a copy of the package in a directory of its own with one place changed: a comparison, `and` for `or`, `+` for `-`,
a `not` dropped, another constant, a statement left out, a return that says nothing. The places are drawn by seed. The tests
run in a process of their own, which stops at the first that fails and after a limit of time. What is left alive is printed
with file and line, to be read: some mutants are no faults at all.
"""

from __future__ import annotations

import argparse
import ast
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).parents[2]
# Without the tests of types, of speed, and of every value at every place: the first would call every mutant of a type a
# find, the others take most of the time.
TESTS = ("tests/core", "--deselect", "tests/core/test_seams.py", "-k", "not work_per_event and not at_every_place")
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SUMS: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}


@dataclass(frozen=True)
class Mutant:
    """One changed place. `source` is the whole module with the change."""

    line: int
    what: str
    source: str


def changes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Apply each change to the tree in turn, give its line and words, and undo it when asked for the next."""
    for parent in ast.walk(tree):
        yield from _in_expression(parent)
        if isinstance(parent, (ast.FunctionDef, ast.If, ast.For, ast.While, ast.With, ast.match_case, ast.Try)):
            for number, statement in enumerate(parent.body):
                if _may_go(statement):
                    parent.body[number] = ast.copy_location(ast.Pass(), statement)
                    yield statement.lineno, f"without `{ast.unparse(statement).splitlines()[0]}`"
                    parent.body[number] = statement
        if isinstance(parent, ast.FunctionDef) and len(parent.body) > 1:
            body, parent.body = parent.body, [ast.copy_location(ast.Return(None), parent.body[0])]
            yield body[0].lineno, f"{parent.name} returns at once"
            parent.body = body


def _may_go(statement: ast.stmt) -> bool:
    """True for what can be left out: no documentation, no name that is bound here for the first time, nothing empty."""
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign):
        return not isinstance(statement.targets[0], ast.Name)
    return isinstance(statement, (ast.AugAssign, ast.Delete, ast.If, ast.Return, ast.For))


def _in_expression(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Compare(ops=[old, *_]) if type(old) in COMPARISONS:
            new = COMPARISONS[type(old)]
            node.ops[0] = new()
            yield node.lineno, f"{type(old).__name__} becomes {new.__name__} in `{ast.unparse(node)}`"
            node.ops[0] = old
        case ast.BoolOp(op=both):
            node.op = ast.Or() if isinstance(both, ast.And) else ast.And()
            yield node.lineno, f"and/or: `{ast.unparse(node)}`"
            node.op = both
        case ast.BinOp(op=operator) if type(operator) in SUMS:
            node.op = SUMS[type(operator)]()
            yield node.lineno, f"+/-: `{ast.unparse(node)}`"
            node.op = operator
        case ast.UnaryOp(op=ast.Not()):
            inner = node.operand
            node.operand = ast.copy_location(ast.UnaryOp(ast.Not(), inner), node)
            yield node.lineno, f"no `not`: `{ast.unparse(inner)}`"
            node.operand = inner
        case ast.Constant(value=bool() | int() | float() as old_value):
            node.value = not old_value if isinstance(old_value, bool) else old_value + 1
            yield node.lineno, f"{old_value} becomes {node.value}"
            node.value = old_value


def mutants(path: pathlib.Path) -> list[Mutant]:
    tree = ast.parse(path.read_text())
    return [Mutant(line, what, ast.unparse(ast.fix_missing_locations(tree))) for line, what in changes(tree)]


def verdict(place: pathlib.Path, limit_s: float) -> str:
    """killed, survived, or time: the tests on the copy at `place`."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
    environ = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=place, env=environ, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return "time"
    return "survived" if done.returncode == 0 else "killed"


def copy_of_the_project(place: pathlib.Path) -> None:
    for name in ("relayd", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "frameworks"))
    for name in ("pyproject.toml", "man"):
        source = ROOT / name
        shutil.copytree(source, place / name) if source.is_dir() else shutil.copy(source, place / name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("modules", nargs="*", help="files below relayd/core (default: all)")
    parser.add_argument("--count", type=int, default=50, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that the tests get for each")
    options = parser.parse_args()
    chosen = [ROOT / name for name in options.modules] or sorted((ROOT / "relayd" / "core").rglob("*.py"))
    found = [(path, mutant) for path in chosen for mutant in mutants(path)]
    sample = random.Random(options.seed).sample(found, min(options.count, len(found)))
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        copy_of_the_project(place)
        if verdict(place, options.limit) != "survived":
            print("the tests fail, or take too long, without any change")
            return 1
        for path, mutant in sample:
            name = path.relative_to(ROOT)
            (place / name).write_text(mutant.source)
            said = verdict(place, options.limit)
            (place / name).write_text(path.read_text())
            tally[said] += 1
            if said != "killed":
                print(f"{said:8} {name}:{mutant.line} {mutant.what}", flush=True)
    print(
        f"{len(sample)} of {len(found)} mutants: {tally['killed']} killed, {tally['time']} by time, {tally['survived']} survived"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
