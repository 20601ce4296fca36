#!/usr/bin/env python3
"""Makes the pages of the dashboard's /docs from the manual pages in man/, by mandoc.

    ./scripts/manual.py            writes relayd/dashboard/docs/*.html
    ./scripts/manual.py --check    writes nothing; ends with 1 and names the files that are not up to date

The result is committed: a wheel and a checkout serve the same files, and nobody needs mandoc to run relayd. Each file
names the digest of the page it was made from, so that a test sees a stale one where there is no mandoc.
Uses the standard library and mandoc (Debian: apt-get install mandoc; macOS has it).
"""

from __future__ import annotations

import hashlib
import html
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ("relayd.1", "relayd.toml.5", "relayd-http.7", "relayd-clients.7", "relayd-security.7")
OUT = ROOT / "relayd" / "dashboard" / "docs"
TOC = r'<nav class="toc" aria-label="Contents">\n\1</nav>\n'
SHELL = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="source" content="{source}">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/dashboard/docs.css">
</head>
<body>
<nav aria-label="Manual">{links}</nav>
<main>
{body}
</main>
</body>
</html>
"""


def title(page: str) -> str:
    """`relayd.toml.5` as people write it: relayd.toml(5)."""
    name, _, section = page.rpartition(".")
    return f"{name}({section})"


def digest(page: str) -> str:
    """What a made file names its source by."""
    return f"{page} sha256:{hashlib.sha256((ROOT / 'man' / page).read_bytes()).hexdigest()}"


def summary(page: str) -> str:
    """The line after the page's name."""
    found = re.search(r"^\.Nd (.*)$", (ROOT / "man" / page).read_text(), re.MULTILINE)
    assert found, f"{page} has no .Nd"
    return found[1]


def links(current: str) -> str:
    """The way to the other pages."""
    marked = {"": 'href="/docs" aria-current="page"'}
    ways = [("Manual", marked.get(current, 'href="/docs"'))]
    for page in PAGES:
        ways.append((title(page), f'href="/docs/{page}"' + (' aria-current="page"' if page == current else "")))
    return " ".join(f"<a {way}>{html.escape(text)}</a>" for text, way in [*ways, ("Dashboard", 'href="/"')])


def body(page: str) -> str:
    """The page in HTML, without mandoc's head and foot, which name the machine's system. References to others lose their link."""
    command = ["mandoc", "-T", "html", "-O", "fragment,toc,man=/docs/%N.%S", str(ROOT / "man" / page)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r'<div class="manual-text">\n(.*)\n</div>', made, re.DOTALL)
    assert found, f"mandoc has changed: no text of {page}"

    text = re.sub(r'<h1 class="Sh">TABLE OF CONTENTS</h1>\n(<ul.*?)(?=<section)', TOC, found[1], count=1, flags=re.DOTALL)

    def own(link: re.Match[str]) -> str:
        return link[0] if link[1] in PAGES else f"<span>{link[2]}</span>"

    return re.sub(r'<a class="Xr" href="/docs/([^"]*)">(.*?)</a>', own, text, flags=re.DOTALL)


def made() -> dict[str, str]:
    """Every file of OUT by its name."""
    found = {
        f"{page}.html": SHELL.format(source=digest(page), title=title(page), links=links(page), body=body(page)) for page in PAGES
    }
    rows = "\n".join(
        f'<dt><a href="/docs/{page}">{title(page)}</a></dt>\n<dd>{html.escape(summary(page))}</dd>' for page in PAGES
    )
    index = f"<h1>The manual of relayd</h1>\n<dl>\n{rows}\n</dl>"
    return found | {"index.html": SHELL.format(source="man/", title="relayd: manual", links=links(""), body=index)}


def main() -> int:
    """Write the files, or name those that differ."""
    wanted = made()
    there = {path.name: path.read_text() for path in OUT.glob("*.html")}
    if "--check" in sys.argv[1:]:
        stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        print("\n".join(stale))
        return 1 if stale else 0
    OUT.mkdir(exist_ok=True)
    for name in there.keys() - wanted.keys():
        (OUT / name).unlink()
    for name, text in wanted.items():
        (OUT / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
