"""The tab *Failures* as people see it: cases are found, one is chosen, and opened in *Compare* at the same place."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, open_tab, send


def test_find_choose_open(page: Page, garden: Path) -> None:
    open_tab(page, "Failures")
    send(page, garden, "failures")
    expect(page.locator("#failures-image")).to_contain_text("garden")
    choose(page, "failures-model", "own-tiny")
    page.get_by_label("Window, pixels").fill("24")
    page.get_by_label("Window, pixels").press("Tab")
    page.wait_for_timeout(500)  # nobody types and clicks within the same instant, which the page may miss under load
    expect(page.locator("#failures-results")).to_be_hidden()
    page.locator("#failures-start").click()
    pictures = page.locator("#failures-cases img")
    expect(page.locator("#failures-status .done")).to_be_visible(timeout=PATIENCE)
    expect(pictures.nth(1)).to_be_visible()
    details = page.locator("#failures-details")
    expect(details).to_contain_text("garden.png")
    page.locator("#failures-cases .thumbnail-item").nth(1).click()
    expect(page.locator("#failures-case input")).to_have_value("2")
    caption = page.locator("#failures-cases .caption-label").nth(1).inner_text()
    place = re.findall(r"\d+, \d+", caption)[0]
    expect(details).to_contain_text(place)

    with page.expect_download() as downloading:
        page.locator("#failures-report a").first.click()
    assert downloading.value.suggested_filename == "report.html"

    page.locator("#failures-to-compare").click()
    names = page.locator("#compare-table tbody th")
    expect(names).to_have_text(["own-tiny", "bicubic-x4"], timeout=PATIENCE)
    expect(page.locator("#compare-crops img")).to_have_count(3)
    assert ", ".join(page.locator(f"#compare-{axis} input").input_value() for axis in "xy") == place
    expect(page.locator("#compare-size input")).to_have_value("24")
    scores = [part for part in page.locator("#compare-crops .caption-label").all_inner_texts() if "dB" in part]
    open_tab(page, "Failures")
    for score in scores:  # the same window of the same models
        assert f"{score.split()[1]} dB" in details.inner_text()


def test_an_unreadable_file_makes_a_toast(page: Page, tmp_path: Path) -> None:
    notes = tmp_path / "notes.png"
    notes.write_text("No image at all.")
    open_tab(page, "Failures")
    send(page, notes, "failures")
    expect(page.locator("#failures-image")).to_contain_text("notes")
    page.locator("#failures-start").click()
    expect(page.locator(".toast-body")).to_contain_text("notes.png is not an image we read", timeout=PATIENCE)
    expect(page.locator("#failures-cancel")).to_be_hidden()
