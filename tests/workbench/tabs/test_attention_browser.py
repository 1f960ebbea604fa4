"""The tab *Attention* as people see it: a click asks another pixel; depth, and categories."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.workbench.conftest import JOINS, PATIENCE, Server, choose, click_at, fill, numbers, open_tab, send


def test_a_click_asks_that_pixel_and_every_block_is_looked_into(page: Page, plain_photo: Path) -> None:
    open_tab(page, "Attention")
    maps = page.locator("#attention-maps img")
    expect(maps).to_have_count(17, timeout=PATIENCE)  # of the sample that is there at first
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
    sub_tab(page, "Numbers")
    expect(page.locator("#attention-table tbody tr")).to_have_count(11)

    page.locator("#attention-jacobian input").uncheck()
    expect(page.locator("#attention-table tbody tr")).to_have_count(10, timeout=PATIENCE)
    expect(facts).not_to_contain_text("rank correlation")

    sub_tab(page, "Figure and files")
    page.locator("#attention-draw").click()
    expect(page.locator("#attention-files a")).to_have_count(3, timeout=PATIENCE)
    for title, result in (("Over depth", "#attention-depth img"), ("Categories", "#attention-ari img")):
        sub_tab(page, title)  # which is enough
        expect(page.locator(result)).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#attention-categories img")).to_have_count(16)
    expect(page.locator("#attention-finding")).to_contain_text("untrained networks")


def test_the_place_goes_by_keys_and_by_suggestion(page: Page) -> None:
    open_tab(page, "Attention")
    facts = page.locator("#attention-facts")
    expect(facts).to_contain_text("48, 32", timeout=PATIENCE)
    picture = page.get_by_role("button", name="Place: the arrow keys move it")
    picture.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    expect(facts).to_contain_text("47, 42", timeout=PATIENCE)
    for _ in range(5):
        page.keyboard.press("Shift+ArrowDown")
    expect(facts).to_contain_text("47, 63", timeout=PATIENCE)  # the last row
    expect(picture).to_be_focused()
    page.locator("#attention-suggest-disagreement").click()
    expect(facts).not_to_contain_text("47, 63", timeout=PATIENCE)
    assert numbers(page, "attention", *"xy") != (47, 63)


def test_a_list_that_is_left_without_a_choice_changes_nothing(page: Page) -> None:
    """Gradio says that something was put into a list whenever it is left."""
    open_tab(page, "Attention")
    facts, block = page.locator("#attention-facts"), page.locator("#attention-block input[type=number]")
    expect(facts).to_contain_text("block 3", timeout=PATIENCE)  # the last
    fill(block, "1")
    expect(facts).to_contain_text("block 1", timeout=PATIENCE)
    network = page.locator("#attention-model input")
    before = network.input_value()
    for sought in ("", "tiny"):
        network.click()
        network.press_sequentially(sought)
        page.keyboard.press("Tab")
        page.wait_for_timeout(1500)
        expect(network).to_have_value(before)
        expect(block).to_have_value("1")
    expect(facts).to_contain_text("block 1")
    network.click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(network).not_to_have_value(before)
    expect(block).not_to_have_value("1", timeout=PATIENCE)  # of another network the last again
    expect(facts).not_to_contain_text("block 1", timeout=PATIENCE)


@pytest.mark.parametrize(("title", "known"), [("Over depth", True), ("Categories", True), ("Categories", False)])
def test_an_answer_about_another_photograph_comes_too_late(
    blank: Page, server: Server, garden: Path, title: str, known: bool
) -> None:
    """Also when the browser does not `know` yet the id by which a run is cancelled."""
    page = blank
    page.add_init_script(JOINS)
    page.goto(server.url)
    expect(page.locator(".closeup img")).to_have_count(3, timeout=PATIENCE)
    open_tab(page, "Attention")
    expect(page.locator("#attention-maps img").first).to_be_visible(timeout=PATIENCE)
    page.wait_for_function("window.asked === window.joined")
    late = page.evaluate("known => { window.late = known ? -1 : window.asked + 1; return window.asked + 1; }", known)
    sub_tab(page, title)  # asks whether there is a result already, and then for it
    page.wait_for_function("([late, known]) => (known ? window.joined : window.asked) > late", arg=[late, known])
    send(page, garden, "attention")
    expect(page.locator("#attention-facts")).to_contain_text("96 × 68", timeout=PATIENCE)
    page.wait_for_timeout(4000)
    assert page.evaluate("window.asked === window.joined")
    expect(page.locator(":is(#attention-depth, #attention-ari) img")).to_have_count(0)
    expect(page.locator(":is(#attention-depth-status .done, #attention-finding p)")).to_have_count(0)


def sub_tab(page: Page, title: str) -> None:
    page.locator("#tab-attention").get_by_role("tab", name=title).click()
