"""Takes the pictures of the README: `make pictures` (needs Chromium or Chrome).

Clicks through the workbench as a user would, and photographs every tab.
"""

from pathlib import Path

from playwright.sync_api import Page

from docs.serving import opened_workbench

DOCS = Path(__file__).parent


def main() -> None:
    """Takes the pictures."""
    with opened_workbench() as page:
        _upscale(page)
        _compare(page)
        _attribution(page)
        _failures(page)
        _attention(page)
        _anchors(page)
        _architecture(page)


def _upscale(page: Page) -> None:
    page.locator("#upscale-status .done").wait_for()  # that of the sample it opens with
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
    page.get_by_text("Output features").wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "architecture.png", full_page=True)


if __name__ == "__main__":
    main()
