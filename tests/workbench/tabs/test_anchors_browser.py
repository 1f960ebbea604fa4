"""The tab *Anchors* as people see it: a study, and points to hover over, click, go to by keys, hide and zoom."""

import numpy as np
from playwright.sync_api import Locator, Page, expect

from tests.workbench.conftest import PATIENCE, choose, fill, natural_size, open_tab


def study(page: Page, each: int = 3) -> Locator:
    """Studies crops of the samples, `each` of six; the plot."""
    open_tab(page, "Anchors")
    choose(page, "anchors-model", "own-tiny")
    page.locator("#anchors-images input").fill(str(each))
    fill(page.locator("#anchors-perplexity input"), "5")
    page.locator("#anchors-start").click()
    plot = page.locator("#anchors-plot")
    expect(plot.locator("circle[data-point]")).to_have_count(4 * 6 * each, timeout=PATIENCE)
    expect(page.locator("#anchors-status .done")).to_be_visible(timeout=PATIENCE)
    return plot


def middle(dot: Locator) -> tuple[float, float]:
    box = dot.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def alone(plot: Locator) -> str:
    """The number of the point that is farthest from all others."""
    dots = plot.locator("circle[data-point]")
    places = np.array(dots.evaluate_all("dots => dots.map(dot => [dot.cx.baseVal.value, dot.cy.baseVal.value])"))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(len(places))
    return str(distances.min(1).argmax())


def test_it_opens_with_a_study_whose_dots_can_be_clicked(page: Page) -> None:
    open_tab(page, "Anchors")
    plot, shown = page.locator("#anchors-plot"), page.locator("#anchors-shown img")
    expect(plot.locator("circle[data-point]")).to_have_count(4 * 6 * 30)
    expect(page.locator("#anchors-status .done")).to_contain_text("180")
    assert page.locator("#tab-anchors").get_attribute("data-old") is None
    expect(page.locator("#anchors-facts")).to_contain_text("Click on a dot")
    expect(plot.locator(".hint")).to_contain_text("arrow keys")
    svg, dot = plot.locator("svg"), plot.locator(f'circle[data-point="{alone(plot)}"]')
    dot.scroll_into_view_if_needed()
    page.mouse.move(*middle(dot))
    assert svg.evaluate("svg => getComputedStyle(svg).cursor") == "pointer"
    svg.press("ArrowLeft")  # without a mouse
    expect(shown).to_have_count(6, timeout=PATIENCE)
    for picture in shown.all():
        assert natural_size(picture) == (128, 128)
    expect(page.locator("#anchors-facts")).to_contain_text("Residual group")
    page.get_by_role("tab", name="Figure and files").click()
    expect(page.locator("#anchors-files a")).to_have_count(5)
    expect(page.locator("#anchors-figure img")).to_be_visible()


def test_points_are_hidden_zoomed_dragged_and_lead_to_their_images(page: Page) -> None:
    plot = study(page)
    svg = plot.locator("svg")
    second = plot.locator("nav button").nth(1)
    second.click()
    assert second.get_attribute("aria-pressed") == "false"
    visible = plot.locator("circle[data-point]:not(.hidden)")
    expect(visible).to_have_count(54)
    assert set(visible.evaluate_all("dots => dots.map(d => d.dataset.label)")) == {"0", "2", "3"}
    second.click()
    expect(visible).to_have_count(72)

    dot = plot.locator(f'circle[data-point="{alone(plot)}"]')
    svg.scroll_into_view_if_needed()
    before, size = middle(dot), dot.bounding_box()
    pointer = np.floor(before)  # the page is told whole pixels
    page.mouse.move(*pointer)
    page.mouse.wheel(0, -600)
    expect(svg).not_to_have_attribute("viewBox", "0 0 1000 1000")
    zoom = 1000 / float((svg.get_attribute("viewBox") or "").split()[2])
    after, larger = np.array(middle(dot)), dot.bounding_box()
    assert zoom > 1.5
    assert np.allclose(pointer + zoom * (before - pointer), after, atol=0.5)  # what is under the pointer stays there
    assert size and larger and abs(size["width"] - larger["width"]) < 1  # dots do not grow
    box = svg.bounding_box()
    assert box
    way = np.array([box["x"] + box["width"] + 20 - pointer[0], 30])  # to a place beside the picture
    page.mouse.down()
    page.mouse.move(*(pointer + way), steps=4)
    page.mouse.up()
    assert np.allclose(middle(dot), after + way, atol=0.5)
    assert plot.locator(".ring").get_attribute("data-chosen") is None  # a drag is no click
    svg.dblclick(position={"x": 3, "y": 3})
    expect(svg).to_have_attribute("viewBox", "0 0 1000 1000")

    number = alone(plot)
    dot = plot.locator(f'circle[data-point="{number}"]')
    dot.scroll_into_view_if_needed()
    page.mouse.move(*middle(dot))
    group = f"Group {int(number) // 18 + 1}"
    expect(plot.locator("output")).to_have_text(group)
    page.mouse.click(*middle(dot))
    shown = page.locator("#anchors-shown")
    expect(shown.locator("img")).to_have_count(6, timeout=PATIENCE)
    expect(shown.locator(".caption-label").first).to_have_text(f"The chosen point: {group.lower()}")
    expect(page.locator("#anchors-facts")).to_contain_text("Neighbours of the same group")
    assert plot.locator(".ring").get_attribute("data-chosen") == number
    assert np.allclose(middle(plot.locator(".ring")), middle(dot), atol=1)

    left = float(dot.get_attribute("cx") or 0) > 500
    plot.locator("svg").press("ArrowLeft" if left else "ArrowRight")  # towards the others
    expect(plot.locator(".ring")).not_to_have_attribute("data-chosen", number)
    other = plot.locator(".ring").get_attribute("data-chosen") or ""
    expect(shown.locator(".caption-label").first).to_have_text(f"The chosen point: group {int(other) // 18 + 1}")

    choose(page, "anchors-plane", "Group 4, by category")
    expect(plot.locator("circle[data-point]")).to_have_count(18)
    expect(shown.locator("img")).to_have_count(0)
    expect(plot.locator("nav button")).to_have_text(["astronaut", "chelsea", "china", "coffee", "flower", "rocket"])

    page.get_by_role("tab", name="Numbers").click()
    table = page.locator("#anchors-table tbody tr")
    expect(table).to_have_count(15)
    expect(page.locator("#anchors-findings li")).not_to_have_count(0)
