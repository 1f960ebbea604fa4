"""The tab *Attention* as people see it: a click asks another pixel; depth, categories, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, click_at, open_tab, send


def place(page: Page) -> tuple[int, int]:
    x, y = (int(page.locator(f"#attention-{axis} input").input_value()) for axis in "xy")
    return x, y


def start(page: Page, photo: Path) -> None:
    """The photograph with an own model, once its maps are there."""
    open_tab(page, "Attention")
    maps = page.locator("#attention-maps img")
    expect(maps).to_have_count(13, timeout=PATIENCE)  # of the sample that is there at first
    choose(page, "attention-model", "own-tiny")
    send(page, photo, "attention")
    expect(page.locator("#attention-facts")).to_contain_text("40 × 24", timeout=PATIENCE)


def test_a_click_asks_that_pixel(page: Page, plain_photo: Path, tmp_path: Path) -> None:
    start(page, plain_photo)
    assert place(page) == (20, 12)
    facts, composed = page.locator("#attention-facts"), page.locator("#attention-maps img").nth(5)
    before = composed.get_attribute("src") or ""
    across, down = click_at(page.locator("#attention-whole img"), 0.8, 0.3)
    wanted = (int(across // 12), int(down // 12))
    expect(facts).to_contain_text("{}, {}".format(*wanted), timeout=PATIENCE)
    assert place(page) == wanted
    expect(composed).not_to_have_attribute("src", before)
    expect(page.locator("#attention-table tbody tr")).to_have_count(11)

    page.locator("#attention-jacobian input").uncheck()
    expect(page.locator("#attention-table tbody tr")).to_have_count(10, timeout=PATIENCE)
    expect(facts).not_to_contain_text("rank correlation")

    page.locator("#attention-draw").click()
    files = page.locator("#attention-files a")
    expect(files).to_have_count(3, timeout=PATIENCE)
    with page.expect_download() as downloading:
        files.last.click()
    assert downloading.value.suggested_filename == "plain-attention.npz"


def test_depth_and_categories(page: Page, plain_photo: Path) -> None:
    start(page, plain_photo)
    for title, button, result in (
        ("Over depth", "#attention-descend", "#attention-depth img"),
        ("Categories: into", "#attention-sort", "#attention-ari img"),
    ):
        page.get_by_text(title).first.click()
        page.locator(button).click()
        expect(page.locator(result)).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#attention-categories img")).to_have_count(16)
    expect(page.locator("#attention-finding")).to_contain_text("untrained networks")


@pytest.mark.parametrize("page", [420], indirect=True)
def test_the_tab_fits_on_a_phone(page: Page, plain_photo: Path) -> None:
    start(page, plain_photo)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_a_pixel_outside_makes_a_toast(page: Page, plain_photo: Path) -> None:
    start(page, plain_photo)
    page.locator("#attention-x input").fill("400")
    page.locator("#attention-x input").press("Enter")
    expect(page.locator(".toast-body")).to_contain_text("outside", timeout=PATIENCE)
