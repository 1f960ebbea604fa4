"""Results match the settings on screen, and button, progress and result are in sight when they matter."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.workbench.conftest import PATIENCE, choose_small, fill, open_advanced, open_tab, send, take_all_steps
from workbench.ui.tab_header import TABS

SIZES = [(1440, 900), (1280, 720), (390, 844)]
SETTINGS = {
    "upscale": ("#upscale-tile", "16", "whole", "#upscale-slider img"),
    "compare": ("#compare-tile", "16", "whole", "#compare-table table"),
    "lam": ("#lam-steps", "200", "3", "#lam-table table"),
    "failures": ("#failures-bar ~ * label:has-text('Show the worst')", "5", "1", "#failures-details"),
    "anchors": ("#anchors-images", "40", "2", "#anchors-plot svg"),
}
"""A field of each tab, a value that makes it work long, one that does not, and its result."""
IN_VIEW_OR_DONE = """bar => {
  const {top, bottom} = bar.getBoundingClientRect();
  return (top >= 0 && bottom <= innerHeight) || getComputedStyle(bar).position === 'static';
}"""
"""Asked at one instant: on a phone the bar gives way to a result as soon as that is there."""


def assert_in_view(page: Page, *parts: Locator) -> None:
    """All of each part lies on the screen, without scrolling, light and dark."""
    assert page.viewport_size
    for _ in range(2):
        page.evaluate("document.body.classList.toggle('dark')")
        for part in parts:
            box = part.bounding_box()
            assert box and box["width"] > 0, part
            assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"], (part, box)
            assert box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"], (part, box)


def choose_photograph(page: Page, tab: str, photo: Path) -> None:
    choose_small(page, tab)
    if tab == "anchors":
        fill(page.locator("#anchors-perplexity input"), "5")
        return
    send(page, photo, tab)
    if tab == "failures":
        expect(page.locator("#failures-image")).to_contain_text(photo.stem)
    else:
        expect(page.locator(f"#{tab}-image img")).to_have_attribute("src", re.compile(photo.stem))
    if tab == "upscale":
        open_advanced(page)
    if tab == "compare":
        page.locator("#compare-way").get_by_text("without scores").click()
    if tab == "lam":
        expect(page.locator("#lam-x input")).to_have_value("51", timeout=PATIENCE)  # the middle
        take_all_steps(page)


@pytest.fixture(scope="module")
def yard(garden: Path) -> Path:
    """The garden at twice its size: in tiles of 16 a run is still going when it is looked for."""
    path = garden.with_name("yard.png")
    Image.open(garden).resize((244, 174)).save(path)
    return path


@pytest.mark.parametrize("tab", SETTINGS)
def test_button_progress_and_result_are_in_sight(page: Page, garden: Path, yard: Path, tab: str) -> None:
    where, slow, quick, result = SETTINGS[tab]
    field = page.locator(where).locator("input, textarea").first
    start, cancel, status = (page.locator(f"#{tab}-{name}") for name in ("start", "cancel", "status"))
    open_tab(page, TABS[tab].title)
    choose_photograph(page, tab, yard if tab in ("upscale", "compare") else garden)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        field.scroll_into_view_if_needed()
        fill(field, slow)
        assert_in_view(page, start)
        start.click()
        if tab == "failures":  # which is done too soon
            expect(status.locator(".status")).to_be_visible(timeout=PATIENCE)
            if width > 640:
                assert_in_view(page, start, status)
            assert page.locator("#failures-bar").evaluate(IN_VIEW_OR_DONE)
        else:
            expect(status.locator(".running")).to_be_visible(timeout=PATIENCE)
            assert_in_view(page, start, cancel, status.locator(".bar"))
            cancel.click()
            expect(status).to_have_text("Stopped.", timeout=PATIENCE)
            assert_in_view(page, start, status)
        expect(status.locator(".running")).to_have_count(0, timeout=PATIENCE)
        fill(field, quick)
        start.click()
        expect(status.locator(".done")).to_be_visible(timeout=PATIENCE)
        expect(page.locator(result).first).to_be_in_viewport(timeout=PATIENCE)
        assert page.locator(f"#tab-{tab}").get_attribute("data-old") is None


def test_a_click_is_seen_to_be_computed(page: Page, garden: Path) -> None:
    """In the tabs without a button a line moves at the upper edge; Gradio's own numbers are on no tab."""
    open_tab(page, "Attention")
    expect(page.locator("#attention-maps img").first).to_be_visible(timeout=PATIENCE)
    page.evaluate(
        """() => {
          window.lines = [];
          new MutationObserver(() => {
            const {content, position, top} = getComputedStyle(document.querySelector('#tab-attention'), '::before');
            if (content !== 'none') window.lines.push(`${position} ${top}`);
            for (const text of document.querySelectorAll('.progress-text, .meta-text, .meta-text-center')) {
              if (text.checkVisibility()) window.lines.push(text.innerText);
            }
          }).observe(document.body, {childList: true, subtree: true, attributes: true});
        }"""
    )
    send(page, garden, "attention")
    expect(page.locator("#attention-facts")).to_contain_text("96 × 68", timeout=PATIENCE)
    assert set(page.evaluate("window.lines")) == {"fixed 0px"}


def test_a_result_of_other_settings_is_marked_as_old(page: Page, park: Path, plain_photo: Path) -> None:
    panel, note, download = (
        page.locator("#tab-upscale"),
        page.locator("#upscale-bar p"),
        page.locator("#upscale-download"),
    )
    start, status = page.locator("#upscale-start"), page.locator("#upscale-status")
    tile = page.locator("#upscale-tile").locator("input, textarea")

    def assert_old(old: bool) -> None:
        expect(panel).to_have_attribute("data-old", "") if old else expect(panel).not_to_have_attribute("data-old", "")
        expect(download).to_have_js_property("inert", old)

    assert_old(False)  # the result that the page opens with
    open_advanced(page)
    tile.fill("16")
    assert_old(True)
    expect(note).to_be_visible()
    expect(status.locator(".done")).to_be_hidden()
    assert float(page.locator("#upscale-slider img").first.evaluate("i => getComputedStyle(i).opacity")) < 0.5
    download.focus()
    expect(download).not_to_be_focused()
    tile.fill("auto")
    assert_old(False)
    expect(note).to_be_hidden()
    expect(status.locator(".done")).to_be_visible()

    send(page, park)
    assert_old(True)
    choose_small(page, "upscale")
    tile.fill("7")  # refused
    start.click()
    expect(page.locator(".toast-body")).to_contain_text("Tiles of 7 pixels are too small", timeout=PATIENCE)
    expect(status).to_have_text("Stopped.")
    assert_old(True)
    tile.fill("16")
    start.click()
    expect(status).to_contain_text(re.compile(r"\d+ of \d+ tiles"), timeout=PATIENCE)
    assert_old(True)
    page.locator("#upscale-cancel").click()
    expect(status).to_have_text("Stopped.", timeout=PATIENCE)
    assert_old(True)
    tile.fill("96")
    start.click()
    tile.fill("16")  # while it runs
    expect(status.locator(".done")).to_have_count(1, timeout=PATIENCE)
    assert_old(True)
    tile.fill("96")
    assert_old(False)
    send(page, plain_photo)
    assert_old(True)


@pytest.mark.parametrize("tab", ["upscale", "compare", "lam"])
def test_a_sample_runs_by_itself(page: Page, tab: str) -> None:
    open_tab(page, TABS[tab].title)
    if tab == "lam":
        fill(page.locator("#lam-steps input"), "2")
    page.locator(f"#tab-{tab} .gallery-item").nth(4).click()
    # The result that the page opens with is of no run.
    expect(page.locator(f"#{tab}-status .done[data-run]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(f"#tab-{tab}")).not_to_have_attribute("data-old", "")
    expect(page.locator(f"#{tab}-image img")).to_have_attribute("src", re.compile("china"))


def test_the_time_of_a_run_is_told_before_if_it_is_known(page: Page, garden: Path) -> None:
    estimate = page.locator("#upscale-estimate")
    open_advanced(page)
    page.locator("#upscale-tile").locator("input, textarea").fill("24")  # with which nothing has run
    expect(page.locator("#upscale-bar p")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(estimate).to_be_empty()
    page.locator("#upscale-tile").locator("input, textarea").fill("auto")
    send(page, garden)
    expect(estimate).to_have_text(re.compile(r"About \d+ s on this machine\."), timeout=PATIENCE)
