"""Recipes for packages of relayd, rendered from one description: Homebrew, Arch Linux, Nix, and an OCI image.

The description is `pyproject.toml`, the lock that uv makes of its dependencies, and the source archive. Names of packages stand
here only where a system has other ones. Run by `scripts/packages`; writes files and does nothing else.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import pathlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
BREW_PYTHON = "python@3.13"
IMAGE_PYTHON, IMAGE_NODE = "3.13-slim-bookworm", "22-bookworm-slim"
DESCRIPTION_MAX_CHARS = 80  # of Homebrew
COMPILED = {"orjson": "rust"}  # what a package is built with
# For packages that install no service by `relayd service install`: the unit as the program itself writes it.
UNIT = (
    "from relayd.service import systemd; from relayd.service.spec import Spec; "
    'print(systemd.service(Spec(("/usr/bin/relayd", "serve"))), end="")'
)
NEEDS_CLAUDE = "Claude Code must be installed and logged in (npm install -g @anthropic-ai/claude-code)"


@dataclass(frozen=True)
class Source:
    """An archive: where it is, and its SHA-256 in hexadecimal."""

    name: str
    version: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Description:
    """All that the recipes know. `dependencies` are those of the product on Unix, and what they need."""

    source: Source
    text: str
    license: str
    homepage: str
    dependencies: tuple[Source, ...]
    claude_version: str

    @property
    def names(self) -> list[str]:
        """The dependencies' names."""
        return [each.name for each in self.dependencies]


def describe(archive: pathlib.Path, url: str, lock: pathlib.Path) -> Description:
    """Read the description. `url` is where the archive will be; empty: where it lies now."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    url = url or archive.resolve().as_uri()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    text = re.sub(r"^(A|An|The) ", "", project["description"])
    pinned = re.search(r"^CLAUDE_VERSION=(\S+)", (ROOT / "scripts" / "prepare.sh").read_text(), re.MULTILINE)
    assert pinned
    return Description(
        source=Source(project["name"], project["version"], url, digest),
        text=text[0].upper() + text[1:],
        license=project["license"],
        homepage=project.get("urls", {}).get("Homepage", url),
        dependencies=tuple(_locked(tomllib.loads(lock.read_text())["package"], project["name"])),
        claude_version=pinned[1],
    )


def _locked(packages: list[dict[str, Any]], root: str) -> Iterator[Source]:
    """The source archives of what `root` needs on Unix, in alphabetical order."""
    by_name = {package["name"]: package for package in packages}
    wanted, waiting = set(), [root]
    while waiting:
        for need in by_name[waiting.pop()].get("dependencies", ()):
            if "== 'win32'" not in need.get("marker", "") and need["name"] not in wanted:
                wanted.add(need["name"])
                waiting.append(need["name"])
    for name in sorted(wanted):
        package = by_name[name]
        yield Source(name, package["version"], package["sdist"]["url"], package["sdist"]["hash"].removeprefix("sha256:"))


def homebrew(about: Description) -> str:
    """The formula, relayd.rb."""
    resources = "\n".join(
        f'  resource "{each.name}" do\n    url "{each.url}"\n    sha256 "{each.sha256}"\n  end\n' for each in about.dependencies
    )
    builders = sorted({COMPILED[name] for name in about.names if name in COMPILED})
    builds = "".join(f'  depends_on "{name}" => :build\n' for name in builders)
    return f"""\
class Relayd < Formula
  include Language::Python::Virtualenv

  desc "{about.text[:DESCRIPTION_MAX_CHARS]}"
  homepage "{about.homepage}"
  url "{about.source.url}"
  sha256 "{about.source.sha256}"
  license "{about.license}"

{builds}  depends_on "{BREW_PYTHON}"

{resources}
  def install
    virtualenv_install_with_resources(link_manpages: true)
    generate_completions_from_executable(bin/"relayd", "completion", shells: [:bash, :zsh, :fish])
  end

  def caveats
    "{NEEDS_CLAUDE}."
  end

  service do
    run [opt_bin/"relayd", "serve"]
    keep_alive successful_exit: false
    log_path var/"log/relayd.log"
    error_log_path var/"log/relayd.log"
    environment_variables PATH: std_service_path_env
  end

  test do
    assert_match "relayd #{{version}}", shell_output("#{{bin}}/relayd version")
    assert_match "ExecStart=", shell_output("#{{bin}}/relayd service print --platform linux")
  end
end
"""


def arch(about: Description) -> str:
    """The PKGBUILD."""
    depends = " ".join(["python", *(f"python-{name}" for name in about.names)])
    folder = f"{about.source.name}-{about.source.version}"
    return f"""\
# Maintainer: relayd maintainers
pkgname={about.source.name}
pkgver={about.source.version}
pkgrel=1
pkgdesc='{about.text}'
arch=(any)
url='{about.homepage}'
license=({about.license})
depends=({depends})
makedepends=(python-build python-installer python-hatchling)
optdepends=('nodejs: for Claude Code from npm, which must be installed and logged in')
source=('{about.source.url}')
sha256sums=('{about.source.sha256}')

build() {{
    cd {folder}
    python -m build --wheel --no-isolation
}}

package() {{
    cd {folder}
    python -m installer --destdir="$pkgdir" dist/*.whl
    install -Dm644 LICENSE "$pkgdir/usr/share/licenses/$pkgname/LICENSE"
    install -Dm644 /dev/null "$pkgdir/usr/lib/systemd/user/relayd.service"
    python -c '{UNIT}' >"$pkgdir/usr/lib/systemd/user/relayd.service"
    install -Dm644 /dev/null "$pkgdir/usr/share/bash-completion/completions/relayd"
    python -m relayd completion bash >"$pkgdir/usr/share/bash-completion/completions/relayd"
    install -Dm644 /dev/null "$pkgdir/usr/share/zsh/site-functions/_relayd"
    python -m relayd completion zsh >"$pkgdir/usr/share/zsh/site-functions/_relayd"
    install -Dm644 /dev/null "$pkgdir/usr/share/fish/vendor_completions.d/relayd.fish"
    python -m relayd completion fish >"$pkgdir/usr/share/fish/vendor_completions.d/relayd.fish"
}}
"""


def nix(about: Description) -> str:
    """The expression for `pkgs.callPackage ./relayd.nix { }`."""
    digest = base64.b64encode(bytes.fromhex(about.source.sha256)).decode()
    return f"""\
{{
  lib,
  python3Packages,
  fetchurl,
  installShellFiles,
}}:

python3Packages.buildPythonApplication {{
  pname = "{about.source.name}";
  version = "{about.source.version}";
  pyproject = true;

  src = fetchurl {{
    url = "{about.source.url}";
    hash = "sha256-{digest}";
  }};

  build-system = [ python3Packages.hatchling ];
  dependencies = with python3Packages; [
{"".join(f"    {name}{chr(10)}" for name in about.names)}  ];
  nativeBuildInputs = [ installShellFiles ];

  postInstall = ''
    installShellCompletion --cmd relayd \\
      --bash <($out/bin/relayd completion bash) \\
      --zsh <($out/bin/relayd completion zsh) \\
      --fish <($out/bin/relayd completion fish)
  '';

  pythonImportsCheck = [ "relayd.cli" ];

  meta = {{
    description = "{about.text}";
    homepage = "{about.homepage}";
    license = lib.licenses.{about.license.lower()};
    mainProgram = "relayd";
    platforms = lib.platforms.unix;
  }};
}}
"""


def container(about: Description) -> str:
    """The Containerfile; its context is the folder with the wheel."""
    wheel = f"{about.source.name}-{about.source.version}-py3-none-any.whl"
    return f"""\
# relayd with Claude Code, whose login is in a volume and nowhere in the image.
#   podman build -t relayd -f dist/packages/Containerfile dist
#   podman run --rm -it -v relayd-login:/login --entrypoint claude relayd          # log in, once
#   podman run --rm --init --network=host --userns=keep-id:uid=1000,gid=1000 -v relayd-login:/login relayd
# relayd listens on loopback only: it is reached through the host's network, or from the same pod.
FROM docker.io/library/node:{IMAGE_NODE} AS claude
ARG CLAUDE_VERSION={about.claude_version}
RUN npm install --prefix /claude "@anthropic-ai/claude-code-linux-$(node -p process.arch)@$CLAUDE_VERSION" \\
    && mv /claude/node_modules/@anthropic-ai/*/claude /usr/local/bin/claude

FROM docker.io/library/python:{IMAGE_PYTHON}
COPY --from=claude /usr/local/bin/claude /usr/local/bin/claude
RUN --mount=type=bind,source={wheel},target=/tmp/{wheel} \\
    pip install --no-cache-dir /tmp/{wheel} \\
    && useradd --create-home --uid 1000 relayd \\
    && install --directory --owner=relayd --group=relayd --mode=700 /login
USER 1000:1000
WORKDIR /home/relayd
ENV CLAUDE_CONFIG_DIR=/login
VOLUME /login
ENTRYPOINT ["relayd"]
CMD ["serve"]
"""


RECIPES = {"relayd.rb": homebrew, "PKGBUILD": arch, "relayd.nix": nix, "Containerfile": container}


def main() -> None:
    """Write the recipes; print their paths."""
    parser = argparse.ArgumentParser(description="render recipes for packages of relayd")
    parser.add_argument("archive", type=pathlib.Path, help="the source archive")
    parser.add_argument("lock", type=pathlib.Path, help="uv.lock")
    parser.add_argument("out", type=pathlib.Path, help="folder for the recipes")
    parser.add_argument("url", nargs="?", default="", help="where the archive will be (default: where it lies)")
    chosen = parser.parse_args()
    about = describe(chosen.archive, chosen.url, chosen.lock)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, render in RECIPES.items():
        (chosen.out / name).write_text(render(about))
        print(chosen.out / name)


if __name__ == "__main__":
    main()
