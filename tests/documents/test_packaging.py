"""From a bare environment: the built packages, installed as people install them, set up, used and removed."""

from __future__ import annotations

import json
import os
import pathlib
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


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dpkg"), reason="a Debian package is installed by root on Debian")
def test_the_debian_package_is_installed_started_and_removed(fake_claude: str, tmp_path: pathlib.Path) -> None:
    built = run([str(ROOT / "scripts" / "deb")], dict(os.environ))
    assert built.returncode == 0, built.stderr
    package = built.stdout.strip().splitlines()[-1]
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
