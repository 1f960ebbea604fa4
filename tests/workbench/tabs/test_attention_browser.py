"""The tab *Attention* as people see it: a click asks another pixel; depth, and categories."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, click_at, numbers, open_tab, send


def test_a_click_asks_that_pixel_and_every_block_is_looked_into(page: Page, plain_photo: Path) -> None:
    open_tab(page, "Attention")
    maps = page.locator("#attention-maps img")
    expect(maps).to_have_count(13, timeout=PATIENCE)  # of the sample that is there at first
    first = maps.nth(5).get_attribute("src") or ""
    choose(page, "attention-model", "own-tiny")
    expect(maps.nth(5)).not_to_have_attribute("src", first, timeout=PATIENCE)
    send(page, plain_photo, "attention")
    expect(page.locator("#attention-facts")).to_contain_text("40 × 24", timeout=PATIENCE)
    assert numbers(page, "attention", *"xy") == (20, 12)
    facts, composed = page.locator("#attention-facts"), page.locator("#attention-maps img").nth(5)
    before = composed.get_attribute("src") or ""
    across, down = click_at(page.locator("#attention-whole img"), 0.8, 0.3)
    wanted = (int(across // 12), int(down // 12))
    expect(facts).to_contain_text("{}, {}".format(*wanted), timeout=PATIENCE)
    assert numbers(page, "attention", *"xy") == wanted
    expect(composed).not_to_have_attribute("src", before)
    expect(page.locator("#attention-table tbody tr")).to_have_count(11)

    page.locator("#attention-jacobian input").uncheck()
    expect(page.locator("#attention-table tbody tr")).to_have_count(10, timeout=PATIENCE)
    expect(facts).not_to_contain_text("rank correlation")

    page.locator("#attention-draw").click()
    expect(page.locator("#attention-files a")).to_have_count(3, timeout=PATIENCE)

    for title, button, result in (
        ("Over depth", "#attention-descend", "#attention-depth img"),
        ("Categories: into", "#attention-sort", "#attention-ari img"),
    ):
        page.get_by_text(title).first.click()
        page.locator(button).click()
        expect(page.locator(result)).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#attention-categories img")).to_have_count(16)
    expect(page.locator("#attention-finding")).to_contain_text("untrained networks")
