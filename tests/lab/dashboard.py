"""`scripts/dashboard`: the dashboard in a browser with 1,000 calls, looked at by axe-core, with screenshots for people.

python -m tests.lab.dashboard DIR axe.min.js
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import Browser, Page, sync_playwright

from relayd.doctor import client
from relayd.doctor.harness import Harness
from tests.helpers import ask
from tests.real.test_limits import LOGIN, windows

WRONG = 990
VIEWS = (("light", "light", 1200), ("dark", "dark", 1200), ("phone", "light", 360))
SLOW = {"offline": False, "latency": 300, "downloadThroughput": 50_000, "uploadThroughput": 20_000}  # bytes a second
SHOWN = "document.querySelectorAll('#calls tr[hidden]').forEach((row) => row.remove())"  # axe looks at each of 13,000 cells else


def fill(harness: Harness) -> None:
    """Calls of every kind that is quick to make."""
    resets = int(time.time()) + 7200
    with ThreadPoolExecutor(8) as many:
        list(many.map(lambda _: client.post(harness.url, ask("", messages=[])), range(WRONG)))
    for number in range(4):
        harness.api.headers = windows(resets, 0.4 + number / 10, 0.93)
        client.post(harness.url, ask(f"[[say number {number}]]", stream=True)).expect()


def look(browser: Browser, url: str, name: str, scheme: str, width: int, out: pathlib.Path, axe: str) -> int:
    """One view; how many violations axe found."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    begun = time.monotonic()
    page.goto(url)
    page.locator("#calls tr").nth(WRONG).wait_for(state="attached")
    print(f"{name}: 1,000 calls after {time.monotonic() - begun:.2f} s", end="; ")
    page.locator("#search").fill("200")
    page.locator("#calls tr:not([hidden]) .link").first.click()
    page.screenshot(path=out / f"{name}.png", full_page=True)
    found = violations(page, axe)
    print(f"axe-core: {len(found)} violations {found or ''} {wrong or ''}")
    context.close()
    return len(found) + len(wrong)


def violations(page: Page, axe: str) -> list[str]:
    """What axe-core says of the page as it is."""
    page.evaluate(SHOWN)
    page.evaluate(axe + "; 0")
    return [f"{each['id']}: {each['nodes'][0]['html'][:100]}" for each in page.evaluate("axe.run()")["violations"]]


def slow(browser: Browser, url: str) -> None:
    """How long the page takes over a slow network."""
    context = browser.new_context()
    page = context.new_page()
    context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    begun = time.monotonic()
    page.goto(url)
    page.get_by_text("running, version").wait_for(timeout=60_000)
    print(f"slow network: status after {time.monotonic() - begun:.2f} s")
    context.close()


def main() -> int:
    """1 if anything was found."""
    out, axe = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).read_text()
    out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as root, Harness(root, os.environ["TEST_CLAUDE"], environment=LOGIN) as harness:
        fill(harness)
        with sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path=chromium, args=arguments)
            found = sum(look(browser, harness.url, *view, out, axe) for view in VIEWS)
            slow(browser, harness.url)
            page = browser.new_page()
            page.goto(f"{harness.url}/docs/relayd.1")
            manual = violations(page, axe)
            print(f"manual: axe-core: {len(manual)} violations {manual or ''}")
    return 1 if found or manual else 0


if __name__ == "__main__":
    sys.exit(main())
