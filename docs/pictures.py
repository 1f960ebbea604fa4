"""Takes the pictures of the README: `make pictures` (needs Chromium or Chrome).

Starts the workbench, clicks through it as a user would, and photographs every tab.
"""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parent
_SECONDS = 120


def main() -> None:
    """Takes the pictures."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        sys.exit("There is no Chromium or Chrome on this machine: install one.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("promptsr")
    server = subprocess.Popen([command, "app", "--no-browser", "--port", str(port)])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(_SECONDS * 1000)
            _open(page, f"http://127.0.0.1:{port}")
            _upscale(page)
            _compare(page)
            _attribution(page)
            _failures(page)
            _attention(page)
            _anchors(page)
            _architecture(page)
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _open(page: Page, url: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            page.goto(url)
            return
        except Exception:  # not up yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _upscale(page: Page) -> None:
    page.locator("#upscale-image").locator("xpath=..").locator(".gallery-item").nth(1).click()
    page.locator("#upscale-image img").wait_for()
    page.get_by_role("button", name="Upscale").click()
    page.locator("#upscale-status .done").wait_for()
    page.locator("#upscale-slider img").nth(1).wait_for()
    page.locator(".closeup img").nth(2).wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=DOCS / "upscale.png", full_page=True)


def _compare(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-image").locator("xpath=..").locator(".gallery-item").nth(4).click()
    page.locator("#compare-image img").wait_for()
    page.locator("#compare-start").click()
    page.locator("#compare-crops img").nth(2).wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "compare.png", full_page=True)


def _attribution(page: Page) -> None:
    page.get_by_role("tab", name="Attribution").click()
    page.locator("#lam-image").locator("xpath=..").locator(".gallery-item").nth(4).click()
    page.locator("#lam-whole img").wait_for()
    page.locator("#lam-start").click()
    page.locator("#lam-status .done").wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "attribution.png", full_page=True)


def _failures(page: Page) -> None:
    page.get_by_role("tab", name="Failures").click()
    page.locator("#failures-start").click()
    page.locator("#failures-cases img").first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "failures.png", full_page=True)


def _attention(page: Page) -> None:
    page.get_by_role("tab", name="Attention").click()
    page.locator("#attention-maps img").nth(5).wait_for()
    page.locator("#attention-whole img").click(position={"x": 250, "y": 110})  # between the eyes of the cat
    page.wait_for_timeout(5000)
    page.screenshot(path=DOCS / "attention.png", full_page=True)


def _anchors(page: Page) -> None:
    page.get_by_role("tab", name="Anchors").click()
    page.locator("#anchors-start").click()
    page.locator("#anchors-status .done").wait_for()
    page.locator("#anchors-plot circle[data-point='130']").click(force=True)  # others may lie above it
    page.locator("#anchors-shown img").nth(5).wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "anchors.png", full_page=True)


def _architecture(page: Page) -> None:
    page.get_by_role("tab", name="Architecture").click()
    page.locator("#tour-image").locator("xpath=..").locator(".gallery-item").nth(1).click()
    page.get_by_text("Coarse LPL", exact=True).click()
    page.get_by_text("Features that leave").wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "architecture.png", full_page=True)


if __name__ == "__main__":
    main()
