"""The tab *Failures* as people see it: cases are found, one is chosen, and opened elsewhere at the same place."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, fill, numbers, open_tab, send


def test_it_opens_with_a_search_of_the_samples(page: Page) -> None:
    open_tab(page, "Failures")
    news, panel = page.locator("#failures-status .done"), page.locator("#tab-failures")
    expect(page.locator("#failures-details")).to_contain_text("promptsr-tiny-x4", timeout=PATIENCE)
    for name in ("promptsr-x4", "promptsr-tiny-x4"):  # the largest other network that is here
        expect(news).to_contain_text(f"{name}, mean PSNR-Y")
    assert panel.get_attribute("data-old") is None
    for name, result in (("Error against texture", "chart img"), ("Report and tables", "report a")):
        page.get_by_role("tab", name=name).click()
        expect(page.locator(f"#failures-{result}").first).to_be_visible(timeout=PATIENCE)
    assert page.locator("#failures-report").evaluate("report => report.inert") is False
    fill(page.get_by_label("Window, pixels"), "24")
    expect(panel).to_have_attribute("data-old", "")
    assert page.locator("#failures-report").evaluate("report => report.inert") is True


def test_find_choose_open(page: Page, garden: Path) -> None:
    open_tab(page, "Failures")
    send(page, garden, "failures")
    expect(page.locator("#failures-image")).to_contain_text("garden")
    choose(page, "failures-model", "own-tiny")
    fill(page.get_by_label("Window, pixels"), "24")
    page.locator("#failures-start").click()
    pictures = page.locator("#failures-cases img")
    details = page.locator("#failures-details")
    expect(details).to_contain_text("garden.png", timeout=PATIENCE)
    expect(page.locator("#failures-status .done")).to_be_visible()
    expect(pictures.nth(1)).to_be_visible()
    page.locator("#failures-cases .thumbnail-item").nth(1).click()
    expect(page.locator("#failures-case input")).to_have_value("2")
    caption = page.locator("#failures-cases .caption-label").nth(1).inner_text()
    place = re.findall(r"\d+, \d+", caption)[0]
    expect(details).to_contain_text(place)

    page.locator("#failures-to-compare").click()
    names = page.locator("#compare-table tbody th")
    expect(names).to_have_text(["own-tiny", "promptsr-tiny-x4"], timeout=PATIENCE)  # a network, where there is one
    pictures = page.locator("#compare-loupe figcaption")  # where the place is
    expect(pictures).to_have_count(3)
    assert "{}, {}".format(*numbers(page, "compare", *"xy")) == place and numbers(page, "compare", "size") == (24,)
    scores = [part for part in pictures.all_inner_texts() if "dB" in part]
    open_tab(page, "Failures")
    for score in scores:  # the same window of the same models
        assert f"{score.split()[1]} dB" in details.inner_text()

    open_tab(page, "Attribution")
    fill(page.locator("#lam-steps input"), "2")
    open_tab(page, "Failures")
    page.locator("#failures-to-lam").click()
    expect(page.locator("#lam-table tbody th")).to_have_text(["own-tiny", "promptsr-tiny-x4"], timeout=PATIENCE)
    expect(page.locator("#lam-status .done")).to_be_visible(timeout=PATIENCE)
    assert numbers(page, "lam", *"xy") == tuple(int(start) + (24 - 16) // 2 for start in place.split(", "))
    expect(page.locator("#lam-models")).to_contain_text("own-tiny")


def test_no_failure_is_good_news(page: Page, cat: Path) -> None:
    open_tab(page, "Failures")
    send(page, cat, "failures")
    expect(page.locator("#failures-image")).to_contain_text("cat")
    choose(page, "failures-against", "own-tiny")
    page.keyboard.press("Escape")
    page.locator("#failures-against .token-remove:visible").first.click()
    fill(page.get_by_label("Window, pixels"), "84")
    page.locator("#failures-start").click()
    expect(page.locator("#failures-status .done")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#failures-status")).to_contain_text("own-tiny, mean PSNR-Y")
    expect(page.locator("#failures-details")).to_contain_text("Good news: promptsr-x4 loses no window to own-tiny")
    for empty in ("hint", "closeup"):
        expect(page.locator(f"#failures-{empty}")).to_be_hidden()
    expect(page.locator("#failures-to-compare")).to_be_hidden()
    page.get_by_role("tab", name="Error against texture").click()
    expect(page.locator("#failures-chart img")).to_be_visible()
    expect(page.locator(".toast-body")).to_have_count(0)
