"""The tab *Attribution* as people see it: a click on a picture, a preview, the map of that window, another click."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, choose_small, click_at, fill, numbers, open_tab, send

SENT, ROOM = (120, 84), 4
"""Size of the part of `garden` that is shown, and its enlargement, which fills 512 pixels."""


def test_a_click_shows_the_map_of_that_window(page: Page, garden: Path) -> None:
    open_tab(page, "Attribution")
    maps, table = page.locator("#lam-maps img"), page.locator("#lam-table")
    expect(maps).to_have_count(2, timeout=PATIENCE)  # of the sample that is there at first
    expect(page.locator("#tab-lam")).not_to_have_attribute("data-old", "")
    send(page, garden, "lam")
    expect(page.locator("#lam-x input")).to_have_value("51", timeout=PATIENCE)
    expect(page.locator("#tab-lam")).to_have_attribute("data-old", "")
    choose_small(page, "lam")
    page.locator("#lam-steps input").fill("12")
    assert numbers(page, "lam", *"xy") == ((SENT[0] - 1 - 16) // 2, (SENT[1] - 1 - 16) // 2)  # the middle
    x, y = (value / ROOM for value in click_at(page.locator("#lam-whole img"), 0.3, 0.6))
    expect(page.locator("#lam-x input")).not_to_have_value("51", timeout=PATIENCE)
    assert numbers(page, "lam", *"xy") == pytest.approx((x - 8, y - 8), abs=1)
    page.locator("#lam-start").click()
    expect(table).to_contain_text("10 (preview)", timeout=PATIENCE)
    expect(table.locator(".warning")).to_have_count(0)  # finer ones follow
    done, di = page.locator("#lam-status .done"), page.locator("#lam-table td b")
    expect(done).to_contain_text("at {}, {}".format(*numbers(page, "lam", *"xy")), timeout=PATIENCE)
    expect(table).not_to_contain_text("preview")
    expect(maps).to_have_count(1)
    expect(page.locator("#lam-maps .caption-label")).not_to_contain_text("Preview")

    before = maps.get_attribute("src") or ""
    page.locator("#lam-strength input[type=number]").fill("0.1")
    page.locator("#lam-strength input[type=number]").press("Enter")
    expect(maps).not_to_have_attribute("src", before)

    shown, first = maps.get_attribute("src") or "", di.inner_text()
    corner = click_at(page.locator("#lam-whole img"), 0.99, 0.99)  # from now on a click is enough
    assert corner[0] / ROOM > SENT[0] - 8
    expect(maps).not_to_have_attribute("src", shown, timeout=PATIENCE)
    expect(done).to_contain_text(f"at {SENT[0] - 17}, {SENT[1] - 17}", timeout=PATIENCE)
    assert numbers(page, "lam", *"xy") == (SENT[0] - 17, SENT[1] - 17) and di.inner_text() != first


def test_sub_tabs_keys_suggestions_and_warnings(page: Page) -> None:
    open_tab(page, "Attribution")
    expect(page.locator("#lam-maps img")).to_have_count(2, timeout=PATIENCE)
    for name, shown in (("Contribution area", "#lam-areas img"), ("Window", "#lam-crops img")):
        page.locator("#tab-lam").get_by_role("tab", name=name).click()
        expect(page.locator(shown).first).to_be_visible()
        expect(page.locator("#lam-maps img").first).to_be_hidden()
    choose_small(page, "lam")
    choose(page, "lam-models", "bicubic-x4")
    fill(page.locator("#lam-steps input"), "4")
    page.locator("#lam-start").click()
    expect(page.locator("#lam-table")).to_contain_text("own-tiny", timeout=PATIENCE)
    expect(page.locator("#lam-status .done")).to_be_visible(timeout=PATIENCE)
    page.locator("#tab-lam").get_by_role("tab", name="Is it true?").click()
    page.get_by_role("button", name="Check the maps").click()
    expect(page.locator("#lam-check-figure img")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#lam-check-answer p")).to_have_count(2)
    expect(page.locator("#lam-status")).to_have_text("Checked.")

    picture, note = page.get_by_role("button", name="Place: the arrow keys move it"), page.locator("#lam-bar p").first
    before = page.locator("#lam-whole img").get_attribute("src") or ""
    picture.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    expect(page.locator("#lam-whole img")).not_to_have_attribute("src", before, timeout=PATIENCE)
    assert numbers(page, "lam", *"xy") == (78, 58)
    expect(picture).to_be_focused()
    expect(note).to_be_visible()  # that settings have changed
    for _ in range(8):
        page.keyboard.press("Shift+ArrowUp")
    expect(page.locator("#lam-y input")).to_have_value("0")

    fill(page.locator("#lam-steps input"), "2")
    page.locator("#lam-suggest-hardest").click()  # there are maps, so it is attributed too
    expect(page.locator("#lam-status .done[data-run]")).to_contain_text("at 149, 26", timeout=PATIENCE)
    expect(note).to_be_hidden()
    expect(page.locator("#lam-table .warning").first).to_contain_text("is above 5 %")
