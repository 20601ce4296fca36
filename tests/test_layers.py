"""The arrows of the design: who may import whom, who may touch the system, who owns a library."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent / "relayd"
BASE = {"errors", "codec", "faults", "printable"}
# Room: the rooms it may import from, itself aside.
ROOMS = {
    "errors": set(),
    "codec": set(),
    "faults": set(),
    "loopback": set(),
    "knobs": {"errors"},
    "limits": {"knobs"},
    "aliases": {"errors"},
    "fallback_url": {"errors", "loopback"},
    "profiles": {"errors"},
    "config": {"aliases", "errors", "fallback_url", "knobs", "limits", "loopback", "profiles"},
    "printable": set(),
    "anthropic": {"config", *BASE},
    "terminal": {"errors"},
    "claude": {"config", "anthropic", "terminal", "loopback", *BASE},
    "http": {"config", "loopback", *BASE},
    "openai": {"anthropic", *BASE},
    "core": {"aliases", "config", "profiles", "anthropic", "openai", "claude", "terminal", "http", *BASE, "__init__"},
    "runtime": {"core", "http", "config", "fallback_url", *BASE},
    "service": {"config"},
    "verdict": {"claude", "codec"},
    "commands": {"knobs", "profiles", "daemon", "service", "doctor", "verdict", "claude", "runtime", "config", *BASE, "__init__"},
    "daemon": {"verdict", "runtime", "core", "claude", "config", "fallback_url", "http", "profiles", *BASE, "__init__"},
    "cli": {"commands", "daemon", "doctor", *BASE, "__init__"},
    "doctor": {
        "daemon",
        "cli",
        "config",
        "anthropic",
        "openai",
        "claude",
        "terminal",
        "http",
        "core",
        "runtime",
        *BASE,
        "__init__",
    },
    "__main__": {"cli"},
    "__init__": set(),
}
SYSTEM = {"os", "socket", "select", "selectors", "time", "threading", "subprocess", "signal", "shutil", "resource", "fcntl"}
SYSTEM_ROOMS = {"commands", "runtime", "service", "doctor", "daemon", "cli", "__main__"}
OWNERS: dict[str, set[str]] = {
    "h11": {"http/http1.py", "http/exchange.py"},
    "wsproto": {"http/websocket.py"},
    "ptyprocess": {"runtime/pty_posix.py"},
    "winpty": {"runtime/pty_windows.py"},
    "orjson": {"codec.py"},
    "jsonschema": set(),  # it fetches, and takes any time: the tests compare our own checker with it
}
FILES = sorted(ROOT.rglob("*.py"))


def imports(path: pathlib.Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(dotted: str) -> str:
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def own_room(path: pathlib.Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_downwards(path: pathlib.Path) -> None:
    own = own_room(path)
    known = {p.name.removesuffix(".py") for p in ROOT.iterdir()}
    for name in imports(path):
        top = name.split(".")[0]
        assert top != "tests", "what ships does not know its tests"
        if top == "relayd":
            other = room(name) if room(name) in known else "__init__"
            assert other == own or other in ROOMS[own], f"{own} may not import {name}"
        if top in SYSTEM:
            assert own in SYSTEM_ROOMS, f"{top} is for the rooms that touch the system, not for {own}"
        if top in OWNERS:
            assert str(path.relative_to(ROOT)) in OWNERS[top], f"{top} has one owner: {OWNERS[top]}"


def test_no_room_is_without_a_rule() -> None:
    """A new room must say what it may import, or the first test would let it import anything."""
    assert {own_room(p) for p in FILES} <= set(ROOMS)


def module_of(dotted: str) -> pathlib.Path | None:
    """The file of what is imported: a module, or the module that holds the name."""
    for name in (dotted, dotted.rpartition(".")[0]):
        base = ROOT.joinpath(*name.split(".")[1:])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if name.startswith("relayd.") and path.is_file():
                return path
    return None


def test_the_package_holds_what_the_program_uses_and_nothing_else() -> None:
    """Half of `doctor/` was benches and fault runs that no command led to: what only the project needs is in `tests/lab/`."""
    reached: set[pathlib.Path] = set()
    by_name = [ROOT / "runtime" / name for name in ("pty_posix.py", "pty_windows.py")]  # one of them is loaded by system.py
    waiting = [ROOT / "__main__.py", *by_name]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [found for name in imports(path) if (found := module_of(name))]
    assert [str(p.relative_to(ROOT)) for p in FILES if p.name != "__init__.py" and p not in reached] == []


CLAUDES_OWN = (
    "MessageDisplay",
    "StopFailure",
    "CLAUDE_CODE_",
    "--resume",
    "prompt_snapshot",
    "[Request interrupted",
    "◐",
    "❯",
    ".claude",
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_one_room_knows_claude_code(path: pathlib.Path) -> None:
    """A string of Claude Code's outside `claude/` is knowledge that the next version breaks unseen."""
    if own_room(path) in ("claude", "doctor"):
        return
    tree = ast.parse(path.read_text())
    documentation = {
        ast.get_docstring(n, clean=False) for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in documentation:
            for text in CLAUDES_OWN:
                assert text not in node.value, f"{text!r} belongs into claude/"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: pathlib.Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 80, f"{node.name} is too long"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: pathlib.Path) -> None:
    if path.read_text().strip():
        assert ast.get_docstring(ast.parse(path.read_text()))


IMPORTS_MAX = 12


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_knows_half_the_house(path: pathlib.Path) -> None:
    """What imports twenty modules decides nothing that can be read alone. Eight files did; each was split by what it decides."""
    modules = {found for name in imports(path) if (found := module_of(name))}
    assert len(modules) <= IMPORTS_MAX, sorted(str(m.relative_to(ROOT)) for m in modules)
