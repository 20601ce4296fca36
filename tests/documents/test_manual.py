"""The manual says what the program does: options, states, exit codes, knobs, routes."""

from __future__ import annotations

import argparse
import hashlib
import html
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from relayd import __version__
from relayd.cli import main, parser
from relayd.config import KEYS, Config, load
from relayd.core.session.states import State
from relayd.daemon.assets import MANUAL
from relayd.errors import EXIT_BUG, EXIT_SYSTEM, EXIT_USAGE
from relayd.http.routes import ROUTES, Callback
from tests.generate import SECTIONS, Section

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MAN = (ROOT / "man" / "relayd.1").read_text()
PAGES = sorted((ROOT / "man").iterdir())
DOCS = ROOT / "relayd" / "dashboard" / "docs"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.path.name)
def test_what_is_generated_is_what_the_program_declares(section: Section) -> None:
    """Keys, defaults and bounds in a document were typed by hand and compared; now they are made, by scripts/generate."""
    assert section.is_current


def options(command: argparse.ArgumentParser) -> set[str]:
    return {o for action in command._actions for o in action.option_strings if o.startswith("--") and o != "--help"}


def test_the_manual_page_has_every_option_and_no_other() -> None:
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    known = options(parser()) | {o for command in subparsers.choices.values() for o in options(command)}
    described = {f"--{name}" for name in re.findall(r"^\.It Fl -([\w-]+)", MAN, re.MULTILINE)}
    assert described == known
    assert set(subparsers.choices) == set(re.findall(r"^\.It Cm (\w+)$", MAN, re.MULTILINE))


def test_the_manual_page_lists_the_states() -> None:
    text = MAN.partition(".Sh PROCESS STATES")[2].partition(".Sh")[0]
    assert re.findall(r"^\.It Li (.+)$", text, re.MULTILINE) == [s.value for s in State]


def test_exit_codes_are_those_in_the_manual(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    assert f"0 fine, {EXIT_USAGE} wrong usage" in MAN
    assert f"{EXIT_SYSTEM} the system said no, {EXIT_BUG} a bug" in MAN
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"relayd {__version__}\n"
    with pytest.raises(SystemExit) as wrong:
        main(["serve", "--nonsense"])
    assert wrong.value.code == EXIT_USAGE
    assert main(["serve", "--config", str(tmp_path / "none.toml")]) == EXIT_USAGE
    assert main(["serve", "--claude", "/nonexistent", "--state-dir", str(tmp_path / "state")]) == EXIT_SYSTEM


def test_a_taken_port_is_said_plainly(tmp_path: pathlib.Path) -> None:
    from relayd.runtime.listener import bind

    with bind("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "relayd", "serve", "--port", port, "--claude", "/bin/true", "--state-dir", str(tmp_path)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, env={"HOME": str(tmp_path), "PATH": "/bin"}
        )
    assert done.returncode == EXIT_SYSTEM
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_manual_pages_are_sound(page: pathlib.Path) -> None:
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc on this machine")
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(page)], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def plain(text: str) -> str:
    """Words only, to compare texts that are set differently."""
    return " ".join(re.sub(r"[`\\&]", "", text).split())


def entries(page: str) -> dict[str, str]:
    """The items of a page's list by their heads, with their texts."""
    found = re.findall(r"^\.It (?:Va|Cm) (.+)\n((?:[^.\n].*\n)*)", page, re.MULTILINE)
    return {head: plain(text) for head, text in found}


def test_the_page_of_the_configuration_has_every_key_and_its_defaults_are_a_configuration() -> None:
    page = (ROOT / "man" / "relayd.toml.5").read_text()
    found = "\n".join(entries(page)).replace("\\(dq", '"')
    assert tomllib.loads(found) == {name: knob.default for name, knob in KEYS.items()}
    assert load(found, {}, {}) == Config()


def test_the_page_of_http_has_every_route_and_no_other() -> None:
    page = entries((ROOT / "man" / "relayd-http.7").read_text())
    known = {}
    for route, (methods, pattern, text) in ROUTES.items():
        if not isinstance(route, Callback):
            path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern).replace("|", " , ")
            known[f"{' | '.join(methods)} {path}"] = plain(text)
    assert page == known


def test_the_page_of_http_and_the_readme_name_the_headers() -> None:
    page = (ROOT / "man" / "relayd-http.7").read_text()
    for name in ("x-relayd-ignored", "x-relayd-emulated", "x-relayd-output-format", "server-timing"):
        assert f".It Li {name}\n" in page
        assert name in README


def test_the_pages_name_only_keys_that_there_are() -> None:
    """A key that is dropped or renamed must leave the prose too."""
    named = {name for page in PAGES for name in re.findall(r"\bVa ([a-z][a-z_]+)\b", page.read_text())}
    assert named <= set(KEYS)
    assert {"max", "idle", "same_user"} < named


def test_the_pages_are_installed_and_served() -> None:
    names = {page.name for page in PAGES}
    assert names == set(MANUAL)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {f"man/{name}": f"share/man/man{name[-1]}/{name}" for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_each_page_of_the_dashboards_manual_was_made_from_the_page_as_it_is(page: pathlib.Path) -> None:
    """It names its source's digest, so that a stale one is seen without mandoc."""
    made = (DOCS / f"{page.name}.html").read_text()
    assert hashlib.sha256(page.read_bytes()).hexdigest() in made, "stale: run ./scripts/generate"


def test_the_dashboards_manual_is_what_its_script_makes() -> None:
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc on this machine")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "manual.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), "stale: run ./scripts/generate"


def test_links_of_the_manual_lead_somewhere() -> None:
    """Within the dashboard, to a page and a heading that are there; the page's policy lets nothing else be loaded."""
    texts = {path.name.removesuffix(".html"): path.read_text() for path in DOCS.glob("*.html")}
    ids = {name: set(map(html.unescape, re.findall(r'id="([^"]+)"', text))) for name, text in texts.items()}
    for name, text in texts.items():
        assert not re.search(r"<script|<img|src=|style=", text)
        for target in map(html.unescape, re.findall(r'<a [^>]*href="([^"]+)"', text)):
            path, _, anchor = target.partition("#")
            page = path.removeprefix("/docs").strip("/") or "index" if path else name
            assert path == "/" or page in texts, target
            assert not anchor or anchor in ids[page], target


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert README.count("\n") <= 200
    for text in (README, *((ROOT / name).read_text() for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_readme_gives_each_runtime_dependency_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[^\w-]", line)[0] for line in project["dependencies"]}
    rows = README.partition("| runtime dependency |")[2].partition("\n\n")[0]
    listed = {name for row in re.findall(r"^\| ([^|]+) \|", rows, re.MULTILINE) for name in re.findall(r"[a-z][\w-]+", row)}
    assert listed == wanted


def test_the_diagnostics_quote_what_the_program_says() -> None:
    """Each message of the list stands in the source, but for the last, which is a complaint and no message."""
    heads = re.findall(r"^\.It (.+)$", MAN.partition(".Sh DIAGNOSTICS")[2].partition(".El")[0], re.MULTILINE)
    assert heads.pop() == "every call is slow"
    source = plain("".join(path.read_text() for path in sorted((ROOT / "relayd").rglob("*.py"))))
    for head in heads:
        for message in re.sub(r" \(\d+\)$", "", head).split(", "):
            assert message.removesuffix(" ...").removeprefix("Claude Code ") in source, message


def test_the_help_of_each_command_is_what_the_page_says() -> None:
    page = plain(MAN)
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in subparsers.choices.items():
        assert f".It Cm {name} {plain(command.description or '')}" in page


def test_the_version_is_the_packages() -> None:
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()
