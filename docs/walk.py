"""A newcomer's route from opening the page to a downloaded LAM figure: `make walk` (needs Chromium).

Photograph every step into outputs/walk, and print its seconds.
"""

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from docs.serving import opened_workbench

_TARGET = Path("outputs") / "walk"


def main() -> None:
    """Walk, and print a line for each step."""
    with opened_workbench() as page:
        page.reload()  # measure the page, not the start of the server
        for name, seconds in walk(page, _TARGET).items():
            print(f"{seconds:6.1f} s  {name}")


def walk(page: Page, folder: Path) -> dict[str, float]:
    """Walk from a page that is being opened; return the seconds of each step by its name, in order.

    Args:
        page: the workbench.
        folder: receives the pictures of the steps, and the downloaded figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    for number, (name, step) in enumerate(_STEPS.items(), start=1):
        begun = time.monotonic()
        step(page, folder)
        seconds[name] = time.monotonic() - begun
        page.wait_for_timeout(1000)  # until pictures have faded in
        page.screenshot(path=folder / f"{number}-{name.replace(' ', '-')}.png", full_page=True)
    return seconds


def _first_result(page: Page, folder: Path) -> None:
    page.locator("#upscale-status .done").wait_for()
    page.locator("#upscale-slider img").nth(1).wait_for()
    page.locator(".closeup img").nth(2).wait_for()


def _another_photograph(page: Page, folder: Path) -> None:
    page.get_by_role("button", name="Sample china").locator("visible=true").click()
    page.locator("#upscale-image img[src*=china]").wait_for()
    page.locator("#upscale-status .done[data-run]").wait_for()  # a sample runs by itself; the first result is no run


def _magnify(page: Page, folder: Path) -> None:
    before = page.locator(".closeup img").nth(2).get_attribute("src")
    box = page.locator("#magnifier-result img").bounding_box()
    assert box
    page.locator("#magnifier-result img").click(position={"x": 0.36 * box["width"], "y": 0.45 * box["height"]})
    page.locator(f".closeup img:not([src='{before}'])").nth(2).wait_for()


def _why(page: Page, folder: Path) -> None:
    page.locator("#upscale-to-lam").click()
    page.locator("#lam-table table").wait_for()


def _attributed(page: Page, folder: Path) -> None:
    page.locator("#lam-status .done[data-run]").wait_for()
    page.locator("#lam-maps img").nth(1).wait_for()


def _figure(page: Page, folder: Path) -> None:
    page.locator("#tab-lam").get_by_role("tab", name="Figure and files").click()
    page.locator("#lam-draw").click()
    page.locator("#lam-figure img").wait_for()


def _download(page: Page, folder: Path) -> None:
    with page.expect_download() as downloading:
        page.locator("#lam-drawn a[download]").first.click()
    downloading.value.save_as(folder / downloading.value.suggested_filename)


_STEPS: dict[str, Callable[[Page, Path], None]] = {
    "first result": _first_result,
    "another photograph": _another_photograph,
    "magnify": _magnify,
    "ask why": _why,
    "attributed": _attributed,
    "figure": _figure,
    "download": _download,
}

if __name__ == "__main__":
    main()
