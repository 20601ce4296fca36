"""The dashboard in a real browser, with the real Claude Code behind it: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from relayd.doctor.harness import Harness
from tests.helpers import ask, post, until

CHROMIUM = shutil.which("chromium") or ""
pytestmark = [pytest.mark.real, pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")]
SCREEN = """[...Array(relaydTerminal.rows).keys()]
    .map((y) => relaydTerminal.buffer.active.getLine(y)?.translateToString(true)).join('\\n')"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as tools:
        found = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if anything is wrong in it, or if it asks anybody else for anything."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on(
        "request", lambda asked: None if "127.0.0.1" in asked.url or asked.url.startswith("data:") else wrong.append(asked.url)
    )
    yield made
    context.close()
    assert not wrong


def test_the_terminal_shows_what_claude_code_paints(real: Harness, page: Page) -> None:
    """The answer is held, so that the process is surely running: Claude Code paints an answer only when its block has ended,
    and on a busy machine nothing was running any more when the button was looked at."""
    post(real.url, ask("[[say first]]"))
    page.goto(real.url)
    page.locator("#calls tr").first.wait_for()
    assert "200" in page.locator("#calls tr").first.inner_text()
    real.api.go_on.clear()
    with ThreadPoolExecutor(1) as worker:
        answer = worker.submit(post, real.url, ask("painted [[say yes]][[hold]]", stream=True))
        try:
            running = page.locator("#slots button", has_text="running")
            running.first.wait_for()
            running.first.focus()
            page.keyboard.press("Enter")
            until(lambda: page.evaluate("window.relaydTerminal !== undefined"))
            until(lambda: "painted [[say yes]]" in page.evaluate(SCREEN))
            assert "Claude Code v" in page.evaluate(SCREEN)
            assert running.first.get_attribute("aria-pressed") == "true"
        finally:
            real.api.go_on.set()
        assert answer.result()[0] == 200
    page.keyboard.type("typed into nothing")
    page.get_by_text("Close").click()
    assert page.locator("#screen").is_hidden()


def test_a_page_finds_its_way_back_after_a_restart_and_asks_for_the_token(
    claude: str, tmp_path: pathlib.Path, page: Page
) -> None:
    token = tmp_path / "token"
    with Harness(str(tmp_path / "d"), claude, {"idle": 0, "token_file": str(token)}) as harness:
        page.goto(harness.url)
        page.get_by_text("running, version").wait_for()
        port = harness.url.rpartition(":")[2]
        harness.stop()
        page.get_by_text("the daemon does not answer").wait_for()
        token.write_text("sesame-0123456789")
        token.chmod(0o600)
        harness.environment["RELAYD_PORT"] = port
        harness.start()
        page.locator("#token").wait_for()
        page.locator("#token").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text("That is not the token.").wait_for()
        page.locator("#token").fill("sesame-0123456789")
        page.keyboard.press("Enter")
        page.get_by_text("running, version").wait_for()
        page.reload()
        page.get_by_text("running, version").wait_for()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_it_fits_a_phone_and_keeps_to_the_readers_colours(real: Harness, browser: Browser, scheme: str, width: int) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 740})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(real.url)
    page.locator("#slots button").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(22, 22, 21)") is (scheme == "dark")
    context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_the_manual_can_be_read_and_walked_through(real: Harness, browser: Browser, scheme: str, width: int) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 740})  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []  # such as what the page's policy has kept out
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{real.url}/docs")
    names = page.locator("dt a").all_inner_texts()
    assert len(names) == 5
    for name in names:
        page.locator("body > nav").get_by_text(name, exact=True).click()
        assert page.title() == name
        assert page.locator("h1#NAME").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(22, 22, 21)") is (scheme == "dark")
    page.locator("body > nav").get_by_text("Dashboard").click()
    page.locator("header").get_by_text("Manual").click()
    assert page.url == f"{real.url}/docs"
    assert not complaints
    context.close()


def test_calls_are_found_opened_and_tried(real: Harness, page: Page) -> None:
    post(real.url, ask("x", messages=[]))
    page.goto(real.url)
    page.locator("#model option").first.wait_for(state="attached")
    page.locator("#prompt").fill("[[say one two]]")
    page.locator("#ask").click()
    page.get_by_text("first text after").wait_for()
    assert page.locator("#answer").inner_text() == "one two"
    page.locator("#calls tr", has_text="400").first.wait_for()
    page.locator("#which").select_option("bad")
    assert page.locator("#calls tr:not([hidden])", has_text="end_turn").count() == 0
    page.locator("#which").select_option("good")
    page.locator("#search").fill("END_turn")
    opened = page.locator("#calls tr:not([hidden]) .link").first
    opened.focus()
    page.keyboard.press("Enter")
    page.get_by_text("until the first part").wait_for()
    assert opened.get_attribute("aria-expanded") == "true"
    page.locator("#search").fill("nothing like this")
    assert page.get_by_text("until the first part").is_hidden(), "what belongs to a row goes with it"
