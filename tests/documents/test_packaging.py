"""From a bare environment: the built packages, installed as people install them, set up, used and removed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile

import anthropic
import pytest

from relayd import __version__
from relayd.doctor.isolation import Isolation
from relayd.doctor.standin import StandIn
from tests.helpers import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
ROOT = pathlib.Path(__file__).parents[2]


def run(command: list[str], environ: dict[str, str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where wheel and sdist are."""
    place = tmp_path_factory.mktemp("dist")
    done = run([sys.executable, "-m", "build", "--outdir", str(place), str(ROOT)], dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_the_sdist_holds_what_a_build_needs(built: pathlib.Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "man/relayd.1", "relayd/dashboard/index.html", "tests/conftest.py"):
        assert name in names


def test_the_wheel_holds_the_product_and_no_laboratory(built: pathlib.Path) -> None:
    """Half of its `doctor/` was benches and fault runs; they are beside the tests now, and tests do not ship."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"relayd"}
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "relayd").rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert {name for name in names if name.startswith("relayd/")} <= ours
    laboratory = {p.name for p in (ROOT / "tests" / "lab").glob("*.py")} - {"__init__.py"}
    assert laboratory
    assert not {name.removeprefix("relayd/doctor/") for name in names if name.startswith("relayd/doctor/")} & laboratory


def test_pipx_setup_call_and_removal(built: pathlib.Path, claude: str, tmp_path: pathlib.Path) -> None:
    """The journey of the README, with the stand-in where the account would be."""
    place = tmp_path / "pipx"
    pipx = dict(os.environ) | {
        "PIPX_HOME": str(place),
        "PIPX_BIN_DIR": str(place / "bin"),
        "PIPX_MAN_DIR": str(place / "man"),
        "PIPX_DEFAULT_PYTHON": sys.executable,
    }
    done = run([sys.executable, "-m", "pipx", "install", str(next(built.glob("*.whl")))], pipx)
    assert done.returncode == 0, done.stderr
    relayd = str(place / "bin" / "relayd")
    assert {p.name for p in (place / "man").rglob("relayd*")} == {p.name for p in (ROOT / "man").iterdir()}
    with StandIn() as api:
        home = Isolation(str(tmp_path / "user"), api.url).prepare()
        environ = home.environment()
        assert run([relayd, "version"], environ).stdout == f"relayd {__version__}\n"
        made = run([relayd, "setup", "--yes", "--claude", claude, "--port", "0"], environ)
        assert made.returncode == 0, made.stdout + made.stderr
        assert "checks of this version: all work" in made.stdout
        assert "start the daemon with: relayd serve" in made.stdout
        unit = run([relayd, "service", "print"], environ).stdout
        assert f"ExecStart={place}/venvs/relayd/bin/python -m relayd serve\n" in unit
        with subprocess.Popen([relayd, "serve"], env=environ, stderr=subprocess.PIPE, text=True) as daemon:
            assert daemon.stderr is not None
            line = next(line for line in daemon.stderr if "listens on" in line)
            url = line.partition("listens on ")[2].partition(",")[0]
            with anthropic.Anthropic(base_url=url, api_key="any") as client:
                message = client.messages.create(
                    model="claude-sonnet-4-6", max_tokens=99, messages=[{"role": "user", "content": "[[say hello]]"}]
                )
            assert message.content[0].text == "hello"  # type: ignore[union-attr]
            with urllib.request.urlopen(f"{url}/docs/relayd.1") as page:
                assert b"<title>relayd(1)</title>" in page.read()
            daemon.terminate()
            daemon.stderr.read()
        assert daemon.returncode == 0
        assert run([relayd, "service", "uninstall"], environ).returncode == 0
        calls = json.loads(run([relayd, "calls", "--json"], environ).stdout)
        assert [c["status"] for c in calls] == [200]
    assert run([sys.executable, "-m", "pipx", "uninstall", "relayd"], pipx).returncode == 0
    assert not (place / "bin" / "relayd").exists()


def test_uv_installs_it_as_a_tool_and_removes_it(built: pathlib.Path, tmp_path: pathlib.Path) -> None:
    environ = dict(os.environ) | {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    uv = [sys.executable, "-m", "uv", "tool"]
    done = run([*uv, "install", "--python", sys.executable, str(next(built.glob("*.whl")))], environ)
    assert done.returncode == 0, done.stderr
    relayd = str(tmp_path / "bin" / "relayd")
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    assert run([relayd, "version"], home).stdout == f"relayd {__version__}\n"
    unit = run([relayd, "service", "print", "--platform", "linux"], home).stdout
    assert f"ExecStart={tmp_path}/tools/relayd/bin/python" in unit
    assert run([*uv, "uninstall", "relayd"], environ).returncode == 0
    assert not pathlib.Path(relayd).exists()


@pytest.fixture(scope="module")
def recipes(built: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the recipes for packages are, as `scripts/packages` renders them."""
    place = tmp_path_factory.mktemp("recipes")
    shutil.copy(ROOT / "pyproject.toml", place)
    locked = run([sys.executable, "-m", "uv", "lock", "-q", "--project", str(place)], dict(os.environ))
    assert locked.returncode == 0, locked.stderr
    words = [str(next(built.glob("*.tar.gz"))), str(place / "uv.lock"), str(place), "https://example.org/relayd.tar.gz"]
    done = run([sys.executable, str(ROOT / "scripts" / "recipes.py"), *words], dict(os.environ))
    assert done.returncode == 0, done.stderr
    return place


def checked(tool: str, *arguments: str) -> str:
    """What a checker says, where there is one. Fails if it finds anything wrong."""
    if not shutil.which(tool):
        pytest.skip(f"no {tool} on this machine")
    done = run([tool, *arguments], dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def digest(built: pathlib.Path) -> str:
    return hashlib.sha256(next(built.glob("*.tar.gz")).read_bytes()).hexdigest()


FORMULA = """
require "json"
module Language; module Python; module Virtualenv; end; end; end
class Formula
  FOUND = Hash.new { |all, name| all[name] = [] }
  def self.resource(name) = (FOUND["resource"] << name; yield)
  def self.method_missing(name, *words, &block) = FOUND[name.to_s].concat(words.map(&:to_s))
  def self.respond_to_missing?(*) = true
  def self.service = nil
  def self.test = nil
end
load ARGV[0]
puts JSON.generate(Formula::FOUND)
"""
NEEDED = ["h11", "orjson", "ptyprocess", "wsproto"]


def test_the_formula_of_homebrew_is_a_formula(built: pathlib.Path, recipes: pathlib.Path) -> None:
    found = json.loads(checked("ruby", "-W", "-e", FORMULA, str(recipes / "relayd.rb")))
    assert found["resource"] == NEEDED
    assert found["url"][0] == "https://example.org/relayd.tar.gz"
    assert found["sha256"][0] == digest(built)
    assert len(found["url"]) == len(found["sha256"]) == len(NEEDED) + 1
    assert all(len(text) <= 80 for text in found["desc"])


def test_the_pkgbuild_of_arch_is_a_script_without_fault(built: pathlib.Path, recipes: pathlib.Path) -> None:
    script = str(recipes / "PKGBUILD")
    said = checked("bash", "-euc", '. "$1"; echo "$pkgname $pkgver ${sha256sums[*]} ${depends[*]}"', "-", script)
    assert said.split() == ["relayd", __version__, digest(built), "python", *(f"python-{name}" for name in NEEDED)]
    unit = re.search(r"python -c '(.*)' >", (recipes / "PKGBUILD").read_text())
    assert unit
    assert "ExecStart=/usr/bin/relayd serve\n" in run([sys.executable, "-c", unit[1]], dict(os.environ)).stdout
    checked(
        "shellcheck", "-s", "bash", "-e", "SC2034,SC2154,SC2164", script
    )  # names that makepkg reads and sets; it stops at errors


NIX = """
{ path }: import path {
  lib = { licenses.mit = "mit"; platforms.unix = [ ]; };
  fetchurl = given: given;
  installShellFiles = "installShellFiles";
  python3Packages = { buildPythonApplication = given: given; hatchling = "hatchling"; NEEDED };
}
""".replace("NEEDED", " ".join(f'{name} = "{name}";' for name in NEEDED))


def test_the_expression_of_nix_can_be_evaluated(built: pathlib.Path, recipes: pathlib.Path) -> None:
    words = ["--eval", "--strict", "--json", "--expr", NIX, "--arg", "path", str(recipes / "relayd.nix"), "--store", "dummy://"]
    found = json.loads(checked("nix-instantiate", *words))
    assert (found["pname"], found["version"], found["dependencies"]) == ("relayd", __version__, NEEDED)
    assert base64.b64decode(found["src"]["hash"].removeprefix("sha256-")).hex() == digest(built)


def test_the_containerfile_builds_from_what_is_there(built: pathlib.Path, recipes: pathlib.Path, claude: str) -> None:
    text = (recipes / "Containerfile").read_text()
    assert f"source={next(built.glob('*.whl')).name}," in text
    assert f"ARG CLAUDE_VERSION={run([claude, '--version'], {'HOME': '/nonexistent'}).stdout.split()[0]}\n" in text
    checked("hadolint", str(recipes / "Containerfile"))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dpkg"), reason="a Debian package is installed by root on Debian")
def test_the_debian_package_is_installed_started_and_removed(fake_claude: str, tmp_path: pathlib.Path) -> None:
    built = run([str(ROOT / "scripts" / "deb")], dict(os.environ))
    assert built.returncode == 0, built.stderr
    package = built.stdout.strip().splitlines()[-1]
    if shutil.which("lintian"):
        said = run(["lintian", "--allow-root", "--fail-on", "error,warning", package], dict(os.environ))
        assert (said.returncode, said.stdout) == (0, ""), said.stdout
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "RELAYD_CLAUDE": fake_claude, "RELAYD_PORT": "0"}
    try:
        assert run(["dpkg", "-i", package], dict(os.environ)).returncode == 0
        assert run(["/usr/bin/relayd", "version"], environ).stdout == f"relayd {__version__}\n"
        assert "PYTHONPATH=/usr/lib/relayd" in run(["/usr/bin/relayd", "service", "print"], environ).stdout
        assert pathlib.Path("/usr/lib/systemd/user/relayd.service").read_text().count("ExecStart=/usr/bin/relayd serve\n") == 1
        with subprocess.Popen(["/usr/bin/relayd", "serve"], env=environ, stderr=subprocess.PIPE, text=True) as daemon:
            assert daemon.stderr is not None
            assert any("listens on" in line for line in daemon.stderr)
            daemon.terminate()
            daemon.stderr.read()
        assert daemon.returncode == 0
    finally:
        run(["dpkg", "-r", "relayd"], dict(os.environ))
    until(lambda: not pathlib.Path("/usr/lib/relayd").exists())
    assert not pathlib.Path("/usr/bin/relayd").exists()
