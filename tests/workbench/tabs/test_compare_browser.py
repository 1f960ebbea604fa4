"""The tab *Compare* as people see it: a real browser compares, switches, clicks, and downloads the figure."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, click_at, natural_size, numbers, open_tab, send


def source(page: Page, side: int) -> str:
    """Which file the slider shows, left (0) or right (1)."""
    return page.locator("#compare-slider img").nth(side).get_attribute("src") or ""


def test_sample_to_figure(page: Page) -> None:
    open_tab(page, "Compare")
    expect(page.locator("#compare-results")).to_be_hidden()
    page.locator(".gallery-item:visible").nth(1).click()
    rows = page.locator("#compare-table tbody tr")
    expect(rows).to_have_count(2, timeout=PATIENCE)
    bicubic, trained = (re.findall(r"[\d.]+", " ".join(row.locator("td").all_inner_texts())) for row in rows.all())
    assert rows.nth(0).locator("th").inner_text() == "bicubic-x4"
    assert float(trained[0]) > float(bicubic[0]) > 20 and float(trained[1]) > float(bicubic[1]) > 0.5
    assert float(trained[2]) > float(bicubic[2]) and float(trained[3]) < float(bicubic[3]) < 1  # MS-SSIM, GMSD
    assert page.locator("#compare-table b").all_inner_texts() == trained[:4]
    expect(page.locator("#compare-export-files")).to_be_hidden()
    page.locator("#compare-export").click()
    exported = page.locator("#compare-export-files a")
    expect(exported).to_have_count(2, timeout=PATIENCE)
    with page.expect_download() as downloading:
        exported.first.click()
    assert downloading.value.suggested_filename == "chelsea-images.zip"

    slider, crops = page.locator("#compare-slider img"), page.locator("#compare-crops img")
    expect(slider).to_have_count(2)
    assert [natural_size(side) for side in slider.all()] == [(384, 252)] * 2
    assert "bicubic-x4.png" in source(page, 0) and "bicubic" not in source(page, 1)
    choose(page, "compare-right", "HR")
    expect(slider.nth(1)).to_have_attribute("src", re.compile(r"HR\.png"))
    choose(page, "compare-left", page.locator("#compare-table tbody th").nth(1).inner_text())
    expect(slider.nth(0)).not_to_have_attribute("src", re.compile("bicubic"))
    expect(page.locator("#compare-maps img")).to_have_count(2)
    choose(page, "compare-reference", "bicubic-x4")
    expect(page.locator("#compare-maps img")).to_have_count(1)

    expect(crops).to_have_count(3)
    before = crops.nth(2).get_attribute("src")
    x, y = click_at(page.locator("#compare-whole img"), 0.3, 0.4)
    expect(crops.nth(2)).not_to_have_attribute("src", before or "")
    assert numbers(page, "compare", *"xy") == pytest.approx((x - 32, y - 32), abs=2)
    captions = page.locator("#compare-crops .caption-label")
    assert [re.sub(r"[\d.]{4,}", "N", text) for text in captions.all_inner_texts()][1] == "bicubic-x4 N dB / N"
    page.locator("#compare-size input").fill("24")
    page.locator("#compare-size input").press("Enter")
    expect(crops.first).to_have_js_property("naturalWidth", 384)  # 24 x 16
    page.locator("#compare-x input").fill("900")
    page.locator("#compare-x input").press("Enter")
    expect(page.locator(".toast-body").first).to_contain_text("does not lie in the 384 x 252 image", timeout=PATIENCE)
    page.locator("#compare-x input").fill("60")

    expect(page.locator("#compare-files")).to_be_hidden()
    page.locator("#compare-draw").click()
    links = page.locator("#compare-files a")
    expect(links).to_have_count(3, timeout=PATIENCE)
    with page.expect_download() as downloading:
        links.last.click()
    assert downloading.value.suggested_filename == "chelsea-comparison.svg"


def test_choices_follow_scale_and_way(page: Page, plain_photo: Path) -> None:
    open_tab(page, "Compare")
    models = page.locator("#compare-models")
    expect(models).to_contain_text("bicubic-x4")
    page.locator("#compare-scale").get_by_text("×3").click()
    expect(models).to_contain_text("bicubic-x3")
    expect(models).not_to_contain_text("x4")
    page.locator("#compare-scale").get_by_text("×4").click()
    expect(page.locator("#compare-hr")).to_be_hidden()
    page.locator("#compare-way").get_by_text("HR image").click()
    expect(page.locator("#compare-hr")).to_be_visible()
    page.locator("#compare-way").get_by_text("without scores").click()
    expect(page.locator("#compare-hr")).to_be_hidden()
    send(page, plain_photo, "compare")
    page.locator("#compare-start").click()
    expect(page.locator("#compare-status .done")).to_contain_text("160 × 96", timeout=PATIENCE)
    expect(page.locator("#compare-table td").first).to_have_text("–")
