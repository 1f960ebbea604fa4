"""The page as a whole: places go from tab to tab, links open them, keys start and stop, and the look is kept."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, Server, click_at, numbers, open_tab, send
from workbench.ui.tab_header import TABS


def another(page: Page, address: str) -> Page:
    """Another page of the same browser, so that this one leaves nothing half done."""
    other = page.context.new_page()
    other.goto(address)
    return other


def test_a_place_goes_from_tab_to_tab(page: Page, server: Server) -> None:
    x, y = click_at(page.locator("#magnifier-result img"), 0.3, 0.6)
    expect(page.locator("#magnifier-x input")).not_to_have_value("384")
    column, row = numbers(page, "magnifier", "x", "y")
    assert (column, row) == pytest.approx((x, y), abs=2)

    page.locator("#upscale-to-compare").click()
    names = ["bicubic-x4", "promptsr-tiny-x4"]
    expect(page.locator("#compare-table tbody th")).to_have_text(names, timeout=PATIENCE)
    expect(page.locator("#compare-x input")).to_have_value(str(column - 32))
    assert numbers(page, "compare", "y", "size") == (row - 32, 64)
    link = urlsplit(page.url)
    assert parse_qs(link.query) == {
        "tab": ["compare"], "sample": ["chelsea"], "side": ["192"], "way": ["enlarge"], "model": names,
        "x": [str(column)], "y": [str(row)],
    }  # fmt: skip

    page.locator("#compare-to-attention").click()
    facts = page.locator("#attention-facts")
    expect(facts).to_contain_text(f"{column // 8}, {row // 8}", timeout=PATIENCE)  # half of the 192 pixels, enlarged x4
    page.locator("#attention-to-architecture").click()
    expect(page.locator("#tour-x input")).to_have_value(str(column // 8 * 2 + 1), timeout=PATIENCE)
    expect(page.locator("#tour-views img").first).to_be_visible(timeout=PATIENCE)

    page = another(page, f"{server.url}?{link.query}")  # of somebody else
    expect(page.locator("#compare-table tbody th")).to_have_text(names, timeout=PATIENCE)
    expect(page.locator("#compare-x input")).to_have_value(str(column - 32))
    assert page.url.endswith(link.query)


def test_photographs_of_ones_own_stay_out_of_the_address(page: Page, garden: Path) -> None:
    send(page, garden)
    page.locator("#upscale-start").click()
    expect(page.locator("#upscale-status .done")).to_contain_text("488 × 348", timeout=PATIENCE)
    page.locator("#upscale-to-lam").click()
    expect(page.locator("#lam-table tbody th")).to_have_text(["bicubic-x4", "promptsr-tiny-x4"], timeout=PATIENCE)
    assert urlsplit(page.url).query == "tab=lam"
    assert numbers(page, "lam", "x", "y") == (488 // 2 - 8, 348 // 2 - 8)
    page.keyboard.press("Escape")
    expect(page.locator("#lam-status")).to_have_text("Stopped.", timeout=PATIENCE)


def test_every_tab_says_what_it_is_for_and_the_address_follows(page: Page) -> None:
    for tab, about in reversed(TABS.items()):
        open_tab(page, about.title)
        intro = page.locator(".intro:visible")
        expect(intro).to_contain_text(about.sentence)
        assert intro.locator("svg").evaluate("picture => picture.getBBox().width") > 40
        assert urlsplit(page.url).query == f"tab={tab}"


def test_a_wrong_link_says_so(page: Page, server: Server) -> None:
    page = another(page, f"{server.url}?tab=lam&sample=nothing")
    expect(page.locator(".toast-body")).to_contain_text("There is no sample nothing: a link names one of astronaut")
    expect(page.locator("#upscale-slider")).to_be_visible()


def test_keys_start_and_reach_everything(page: Page) -> None:
    page.locator("#magnifier-x input").fill("200")
    before = page.locator(".closeup img").nth(2).get_attribute("src") or ""
    page.keyboard.press("Enter")
    expect(page.locator(".closeup img").nth(2)).not_to_have_attribute("src", before)
    shown = page.locator("#upscale-slider img").first.get_attribute("src") or ""
    page.keyboard.press("Control+Enter")
    expect(page.locator("#upscale-slider img").first).not_to_have_attribute("src", shown, timeout=PATIENCE)
    page.get_by_role("tab", name="Upscale").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#compare-start")).to_be_visible()
    assert page.url.endswith("?tab=compare")


def test_the_look_and_the_tab_are_kept(page: Page) -> None:
    look = "[document.body.classList.contains('dark'), getComputedStyle(document.body).backgroundColor]"
    light = page.evaluate(look)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(look)
    assert dark[0] and not light[0] and dark[1] != light[1]
    open_tab(page, "Anchors")
    page = another(page, page.url)
    expect(page.get_by_role("tab", name="Anchors")).to_have_attribute("aria-selected", "true")
    assert page.evaluate(look) == dark
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(look) == light
