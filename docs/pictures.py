"""Take the pictures of the README: `make pictures` (needs Chromium or Chrome).

Click through the workbench as a user would, and photograph every tab.
"""

from pathlib import Path

from playwright.sync_api import Page, expect

from docs.serving import opened_workbench

DOCS = Path(__file__).parent


def main() -> None:
    """Take a picture of each tab, named after its function below."""
    with opened_workbench() as page:
        for tab in (upscale, compare, attribution, failures, attention, anchors, architecture):
            page.get_by_role("tab", name=tab.__name__.title()).click()
            tab(page)
            page.wait_for_timeout(1500)
            page.screenshot(path=DOCS / f"{tab.__name__}.png", full_page=True)


def _choose_sample(page: Page, image: str, number: int) -> None:
    page.locator(image).locator("xpath=..").locator(".gallery-item").nth(number).click()


def upscale(page: Page) -> None:
    """Wait for the result of the first sample."""
    page.locator("#upscale-status .done").wait_for()
    page.locator("#upscale-slider img").nth(1).wait_for()
    page.locator(".closeup img").nth(2).wait_for()


def compare(page: Page) -> None:
    """Compare two models on a sample."""
    pictures = page.locator("#compare-slider img").nth(1)
    first = pictures.get_attribute("src") or ""  # of the result that the tab opens with
    _choose_sample(page, "#compare-image", 4)
    expect(pictures).not_to_have_attribute("src", first, timeout=60_000)  # which follow the scores


def attribution(page: Page) -> None:
    """Draw the maps of a sample."""
    _choose_sample(page, "#lam-image", 4)
    page.locator("#lam-status .done[data-run]").wait_for()


def failures(page: Page) -> None:
    """Wait for the search of the samples."""
    page.locator("#failures-cases img").first.wait_for()


def attention(page: Page) -> None:
    """Look at a pixel between the eyes of the cat."""
    page.locator("#attention-maps img").nth(5).wait_for()
    page.locator("#attention-whole img").click(position={"x": 250, "y": 110})
    page.wait_for_timeout(3500)


def anchors(page: Page) -> None:
    """Choose a point of the study of the samples."""
    page.locator("#anchors-plot circle[data-point='130']").click(force=True)  # others may lie above it
    page.locator("#anchors-shown img").nth(5).wait_for()


def architecture(page: Page) -> None:
    """Show the output of a box."""
    _choose_sample(page, "#tour-image", 1)
    page.get_by_text("Coarse LPL", exact=True).click()
    page.get_by_text("Output features").wait_for()


if __name__ == "__main__":
    main()
