"""The tab *Attribution* as people see it: a click on a picture, a preview, the map of that window, a case opened."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.workbench.conftest import PATIENCE, choose, click_at, open_tab, pixels, send
from tests.workbench.tabs.test_attribution_api import blue

SENT, ROOM = (120, 84), 4
"""What is shown of `garden`, and how many times larger, so that it fills 512 pixels."""


def start(page: Page, garden: Path, steps: int, name: str = "own-tiny") -> None:
    """Everything but the press of the button."""
    open_tab(page, "Attribution")
    send(page, garden, "lam")
    expect(page.locator("#lam-whole img")).to_be_visible()
    models = page.locator("#lam-models")
    for _ in range(2):
        models.locator("button.token-remove:visible, .token-remove:visible").first.click()
    choose(page, "lam-models", name)
    page.locator("#lam-steps input").fill(str(steps))


def place(page: Page) -> tuple[int, int]:
    x, y = (int(page.locator(f"#lam-{axis} input").input_value()) for axis in "xy")
    return x, y


def done(page: Page) -> None:
    expect(page.locator("#lam-status .done")).to_be_visible(timeout=PATIENCE)


def summary(page: Page, folder: Path) -> list[dict[str, Any]]:
    """What the JSON file says of every map."""
    with page.expect_download() as downloading:
        page.locator("#lam-files a").last.click()
    downloading.value.save_as(folder / "lam.json")
    maps: list[dict[str, Any]] = json.loads((folder / "lam.json").read_text())["maps"]
    return maps


def seen(page: Page, image: Locator, folder: Path) -> np.ndarray:
    """The pixels of the file behind an image."""
    file = folder / "seen.png"
    file.write_bytes(page.request.get(image.get_attribute("src") or "").body())
    return pixels(str(file))


def test_a_click_shows_the_map_of_that_window(page: Page, garden: Path, tmp_path: Path) -> None:
    start(page, garden, steps=12)
    assert place(page) == ((SENT[0] - 1 - 16) // 2, (SENT[1] - 1 - 16) // 2)  # the middle
    expect(page.locator("#lam-results")).to_be_hidden()
    x, y = (value / ROOM for value in click_at(page.locator("#lam-whole img"), 0.3, 0.6))
    expect(page.locator("#lam-x input")).not_to_have_value("51")
    assert place(page) == pytest.approx((x - 8, y - 8), abs=1)
    page.locator("#lam-start").click()
    expect(page.locator("#lam-table")).to_contain_text("10 (preview)", timeout=PATIENCE)
    done(page)
    expect(page.locator("#lam-table")).not_to_contain_text("preview")
    maps = page.locator("#lam-maps img")
    expect(maps).to_have_count(1)
    expect(page.locator("#lam-maps .caption-label")).not_to_contain_text("Preview")
    [first] = summary(page, tmp_path)
    assert (first["settings"]["x"], first["settings"]["y"]) == place(page)
    assert page.locator("#lam-table td b").inner_text() == f"{first['di']:.2f}"
    left, right, top, bottom = blue(seen(page, maps, tmp_path))
    across, down = ((low + high) / 2 / 12 * 4 for low, high in ((left, right), (top, bottom)))  # output pixels
    assert (across, down) == pytest.approx((x, y), abs=2)

    before = maps.get_attribute("src") or ""
    colorful = np.ptp(seen(page, maps, tmp_path).astype(int), axis=2).mean()
    page.locator("#lam-strength input[type=number]").fill("0.1")
    page.locator("#lam-strength input[type=number]").press("Enter")
    expect(maps).not_to_have_attribute("src", before)
    assert np.ptp(seen(page, maps, tmp_path).astype(int), axis=2).mean() < colorful

    shown = maps.get_attribute("src") or ""
    corner = click_at(page.locator("#lam-whole img"), 0.99, 0.99)  # from now on a click is enough
    assert corner[0] / ROOM > SENT[0] - 8
    expect(maps).not_to_have_attribute("src", shown, timeout=PATIENCE)
    done(page)
    assert place(page) == (SENT[0] - 17, SENT[1] - 17)
    [second] = summary(page, tmp_path)
    assert (second["settings"]["x"], second["settings"]["y"]) == place(page) and second["di"] != first["di"]

    page.locator("#lam-draw").click()
    expect(page.locator("#lam-drawn a")).to_have_count(2, timeout=PATIENCE)
    with page.expect_download() as downloading:
        page.locator("#lam-drawn a").last.click()
    assert downloading.value.suggested_filename == "garden-lam.pdf"


def test_runs_can_be_cancelled(page: Page, garden: Path) -> None:
    start(page, garden, steps=200)
    status, cancel = page.locator("#lam-status"), page.locator("#lam-cancel")
    expect(cancel).to_be_hidden()
    page.locator("#lam-start").click()
    expect(status).to_contain_text(re.compile(r"Refining: own-tiny: \d+ of \d+ steps"), timeout=PATIENCE)
    cancel.click()
    expect(status).to_have_text("Stopped.")
    expect(cancel).to_be_hidden()
    expect(page.locator("#lam-table")).to_contain_text("preview")  # which stays

    page.locator("#lam-steps input").fill("2")
    page.locator("#lam-start").click()  # can start because the other has stopped
    done(page)
    expect(page.locator("#lam-table td").nth(5)).to_have_text("2")


def test_a_failure_case_opens_at_its_middle(page: Page, garden: Path, tmp_path: Path) -> None:
    open_tab(page, "Failures")
    send(page, garden, "failures")
    expect(page.locator("#failures-image")).to_contain_text("garden")
    choose(page, "failures-model", "own-tiny")
    page.get_by_label("Window, pixels").fill("24")
    page.locator("#failures-start").click()
    expect(page.locator("#failures-details")).to_contain_text("garden.png", timeout=PATIENCE)
    found = re.search(r"(\d+), (\d+)", page.locator("#failures-details").inner_text())
    assert found
    page.locator("#failures-to-lam").click()
    names = page.locator("#lam-table tbody th")
    expect(names).to_have_text(["own-tiny", "bicubic-x4"], timeout=PATIENCE)
    done(page)
    assert place(page) == (int(found[1]) + 4, int(found[2]) + 4)
    assert [(row["settings"]["x"], row["settings"]["y"]) for row in summary(page, tmp_path)] == [place(page)] * 2
    expect(page.locator("#lam-models")).to_contain_text("own-tiny")


SIDE_BY_SIDE = """() => {
  const [first, second] = [...document.querySelectorAll("#lam-maps img")].map(image => image.getBoundingClientRect());
  return first.height > 0 && first.height === second.height && first.top === second.top && first.left < second.left;
}"""


@pytest.mark.parametrize("page", [390], indirect=True)
def test_results_fit_a_phone(page: Page, garden: Path) -> None:
    open_tab(page, "Attribution")
    send(page, garden, "lam")
    expect(page.locator("#lam-whole img")).to_be_visible()
    page.locator("#lam-steps input").fill("2")
    page.locator("#lam-start").click()
    done(page)
    expect(page.locator("#lam-maps img")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.wait_for_function(SIDE_BY_SIDE)  # once both have loaded
