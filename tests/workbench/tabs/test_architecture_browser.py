"""The tab *Architecture* as teachers use it: from box to box, in full screen, by links, and on to the notebook."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from analysis.tour.boxes import boxes
from promptsr.config import preset
from tests.workbench.conftest import PATIENCE, Server, open_tab

BOXES = boxes(preset("promptsr-tiny"))


def test_the_tour_goes_from_box_to_box(page: Page) -> None:
    open_tab(page, "Architecture")
    heading, place = page.locator("#tour-text h2"), page.locator(".diagram output")
    previous, following = page.get_by_role("button", name="Previous"), page.get_by_role("button", name="Next")
    expect(heading).to_have_text(BOXES[0].title, timeout=PATIENCE)
    expect(previous).to_be_disabled()
    following.focus()
    for number, box in enumerate(BOXES[1:], start=2):
        expect(following).to_be_focused()  # though the diagram is a new one
        following.press("Enter")
        expect(heading).to_have_text(box.title, timeout=PATIENCE)
        expect(place).to_have_text(f"Box {number} of {len(BOXES)}")
    expect(following).to_be_disabled()
    expect(page.locator('.diagram [aria-pressed="true"]', has_text=BOXES[-1].short)).to_be_focused()
    previous.click()
    expect(heading).to_have_text(BOXES[-2].title, timeout=PATIENCE)
    assert parse_qs(urlsplit(page.url).query)["box"] == [BOXES[-2].key]


def test_full_screen_shows_a_box_in_large_type(page: Page) -> None:
    open_tab(page, "Architecture")
    heading, views = page.locator("#tour-text h2"), page.locator("#tour-views img")
    expect(views).to_have_count(2, timeout=PATIENCE)
    before = heading.bounding_box()
    page.get_by_role("button", name="Full screen").click()
    expect(page.locator("#tour-stage")).to_have_attribute("data-hall", "")
    page.wait_for_function("document.fullscreenElement?.id === 'tour-stage'")
    after = heading.bounding_box()
    assert before and after and after["height"] > 1.3 * before["height"]
    at = page.get_by_role("tab", name="Upscale").bounding_box()
    assert at and page.evaluate(
        "at => document.elementFromPoint(at.x + 9, at.y + 9).closest('#tour-stage') !== null", at
    )
    for key, box in (("PageDown", BOXES[1]), ("ArrowRight", BOXES[2]), ("PageUp", BOXES[1])):
        page.keyboard.press(key)
        expect(heading).to_have_text(box.title, timeout=PATIENCE)
    for part in (heading, *views.all()):
        expect(part).to_be_in_viewport()
    page.get_by_role("button", name="Leave full screen").click()
    expect(page.locator("#tour-stage")).not_to_have_attribute("data-hall", "")
    page.wait_for_function("document.fullscreenElement === null")
    page.keyboard.press("PageDown")  # turns pages again
    expect(heading).to_have_text(BOXES[1].title)


def test_a_link_opens_a_box(page: Page, server: Server) -> None:
    page = page.context.new_page()
    page.goto(f"{server.url}?tab=architecture&box=fine&group=3&block=2")
    expect(page.locator("#tour-text h2")).to_have_text("Fine local prompting layer", timeout=PATIENCE)
    expect(page.locator('.diagram [aria-pressed="true"]')).to_have_text(["Group 3", "Block 2", "Fine LPL"])


def test_a_box_leads_to_its_cells_in_the_notebook(page: Page, tmp_path: Path) -> None:
    open_tab(page, "Architecture")
    link = page.get_by_role("link", name="Open in notebook")
    expect(link).to_have_attribute("target", "_blank", timeout=PATIENCE)
    expect(page.locator("#tour-text")).to_contain_text(f"section {BOXES[0].section}")
    with page.expect_download() as downloading:
        page.locator("#tour-notebook").click()
    downloading.value.save_as(tmp_path / "notebook.ipynb")
    cells = json.loads((tmp_path / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    address = urlsplit(link.get_attribute("href") or "")
    assert address.path.endswith(downloading.value.suggested_filename)
    headings = [cell["source"][0].strip() for cell in cells if cell["cell_type"] == "markdown"]
    assert f"## {address.fragment.replace('-', ' ')}" in headings
