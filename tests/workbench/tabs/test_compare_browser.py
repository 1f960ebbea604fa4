"""The tab *Compare* as people see it: a real browser compares, switches, clicks, and downloads the figure."""

import base64
import io
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, choose, natural_size, numbers, open_tab, pixels, send
from tests.workbench.test_accessibility import findings
from tests.workbench.test_in_view import assert_in_view


def source(page: Page, side: int) -> str:
    """Which file the slider shows, left (0) or right (1)."""
    return page.locator("#compare-slider img").nth(side).get_attribute("src") or ""


def open_subtab(page: Page, name: str) -> None:
    page.locator(f"#compare-sub-{name}-button").click()


def test_it_opens_with_a_finished_result(page: Page) -> None:
    for width, height in ((1440, 900), (1280, 720)):
        page.set_viewport_size({"width": width, "height": height})
        open_tab(page, "Compare")
        expect(page.locator("#compare-table tbody tr")).to_have_count(2, timeout=PATIENCE)
        expect(page.locator("#compare-slider img")).to_have_count(2)
        assert_in_view(page, *(page.locator(f"#compare-{part}") for part in ("start", "table", "slider")))
    expect(page.locator("#tab-compare")).not_to_have_attribute("data-old", "")
    expect(page.locator("#compare-bar p")).to_be_hidden()
    choose(page, "compare-left", "HR")
    expect(page.locator("#compare-slider img").first).to_have_attribute("src", re.compile(r"HR\.png"))


def test_sample_to_figure(page: Page) -> None:
    open_tab(page, "Compare")
    slider = page.locator("#compare-slider img")
    expect(slider).to_have_count(2, timeout=PATIENCE)
    before = source(page, 1)  # of the same sample, with which the tab opens
    page.locator(".gallery-item:visible").nth(1).click()
    expect(page.locator("#compare-status .done[data-run]")).to_be_visible(timeout=PATIENCE)
    expect(slider.nth(1)).not_to_have_attribute("src", before, timeout=PATIENCE)
    rows = page.locator("#compare-table tbody tr")
    expect(rows).to_have_count(2, timeout=PATIENCE)
    bicubic, trained = (re.findall(r"[\d.]+", " ".join(row.locator("td").all_inner_texts())) for row in rows.all())
    assert rows.nth(0).locator("th").inner_text() == "bicubic-x4"
    assert float(trained[0]) > float(bicubic[0]) > 20 and float(trained[1]) > float(bicubic[1]) > 0.5
    assert float(trained[2]) > float(bicubic[2]) and float(trained[3]) < float(bicubic[3]) < 1  # MS-SSIM, GMSD
    assert page.locator("#compare-table b").all_inner_texts() == trained[:4]

    expect(slider).to_have_count(2)
    assert [natural_size(side) for side in slider.all()] == [(384, 252)] * 2
    assert "bicubic-x4.png" in source(page, 0) and "bicubic" not in source(page, 1)
    choose(page, "compare-right", "HR")
    expect(slider.nth(1)).to_have_attribute("src", re.compile(r"HR\.png"))
    choose(page, "compare-left", page.locator("#compare-table tbody th").nth(1).inner_text())
    expect(slider.nth(0)).not_to_have_attribute("src", re.compile("bicubic"))
    open_subtab(page, "differences")
    expect(page.locator("#compare-maps img")).to_have_count(2)
    choose(page, "compare-reference", "bicubic-x4")
    expect(page.locator("#compare-maps img")).to_have_count(1)
    expect(page.locator("#compare-colors i")).to_have_count(1)

    open_subtab(page, "files")
    expect(page.locator("#compare-files")).to_be_hidden()
    page.locator("#compare-draw").click()
    links = page.locator("#compare-files a")
    expect(links).to_have_count(3, timeout=PATIENCE)
    with page.expect_download() as downloading:
        links.last.click()
    assert downloading.value.suggested_filename == "chelsea-comparison.svg"
    expect(page.locator("#compare-export-files")).to_be_hidden()
    page.locator("#compare-export").click()
    exported = page.locator("#compare-export-files a")
    expect(exported).to_have_count(2, timeout=PATIENCE)
    with page.expect_download() as downloading:
        exported.first.click()
    assert downloading.value.suggested_filename == "chelsea-images.zip"


def enlarged(page: Page, number: int) -> np.ndarray:
    """The pixels of an enlarged place, each once: it repeats them."""
    canvas = page.locator("#compare-loupe canvas").nth(number)
    url = canvas.evaluate("canvas => canvas.toDataURL()").partition(",")[2]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(url))).convert("RGB"))
    side = numbers(page, "compare", "size")[0]
    factor = drawn.shape[0] // side
    place = drawn[::factor, ::factor]
    np.testing.assert_array_equal(drawn, place.repeat(factor, 0).repeat(factor, 1))
    assert place.shape == (side, side, 3) and factor > 1
    return place


def place_of(page: Page) -> tuple[int, ...]:
    """x, y and size that the loupe shows."""
    return tuple(map(int, re.findall(r"\d+", page.locator("#compare-loupe output").inner_text())))


def test_loupe_shows_the_same_place_of_all(page: Page) -> None:
    open_tab(page, "Compare")
    expect(page.locator("#compare-table tbody tr")).to_have_count(2, timeout=PATIENCE)
    open_subtab(page, "loupe")
    captions, wholes = page.locator("#compare-loupe figcaption"), page.locator("#compare-loupe .whole")
    expect(captions).to_have_count(3)
    expect(wholes.locator("img").nth(2)).to_have_js_property("complete", True)
    names, files = zip(*(
        (caption.inner_text().split()[0], unquote(img.get_attribute("src") or "").partition("file=")[2])
        for caption, img in zip(captions.all(), wholes.locator("img").all(), strict=True)
    ), strict=True)  # fmt: skip
    assert names == ("HR", "bicubic-x4", "promptsr-x4")
    images = [pixels(file) for file in files]

    def assert_shown(x: int, y: int, size: int) -> None:
        assert place_of(page) == (x, y, size)
        for number, image in enumerate(images):
            np.testing.assert_array_equal(enlarged(page, number), image[y : y + size, x : x + size])

    start = place_of(page)
    assert start == numbers(page, "compare", "x", "y", "size")
    assert_shown(*start)
    for number in range(3):  # a rectangle says where
        box, whole = (page.locator(f"#compare-loupe .whole{part}").nth(number).bounding_box() for part in (" i", ""))
        assert box and whole
        scale = whole["width"] / 384
        expected = [whole["x"] + scale * start[0], whole["y"] + scale * start[1], scale * 64, scale * 64]
        assert [box[key] for key in ("x", "y", "width", "height")] == pytest.approx(expected, abs=1)

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    whole = wholes.nth(1).bounding_box()
    assert whole
    page.mouse.move(whole["x"] + 0.6 * whole["width"], whole["y"] + 0.5 * whole["height"])
    x, y, _ = place_of(page)
    assert (x + 32, y + 32) == pytest.approx((0.6 * 384, 0.5 * 252), abs=2)
    assert_shown(x, y, 64)
    page.mouse.move(2, 2)
    assert_shown(*start)
    assert asked == []  # the browser has the pixels

    before = captions.nth(2).inner_text()
    page.mouse.click(whole["x"] + 0.95 * whole["width"], whole["y"] + 0.95 * whole["height"])
    expect(page.locator("#compare-x input")).to_have_value(str(384 - 64))  # as far as it goes
    expect(captions.nth(2)).not_to_have_text(before)
    assert_shown(384 - 64, 252 - 64, 64)

    wholes.nth(2).focus()
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator("#compare-y input")).to_have_value(str(252 - 64 - 17))
    expect(wholes.nth(2)).to_be_focused()
    assert_shown(384 - 65, 252 - 64 - 17, 64)

    page.locator("#compare-size input").fill("24")
    page.locator("#compare-size input").press("Enter")
    expect(page.locator("#compare-loupe output")).to_contain_text("24 pixels")
    assert_shown(384 - 65, 252 - 64 - 17, 24)
    page.locator("#compare-x input").fill("900")
    page.locator("#compare-x input").press("Enter")
    expect(page.locator(".toast-body").first).to_contain_text("does not lie in the 384 x 252 image", timeout=PATIENCE)

    hr, bicubic, trained = (image @ [65.481, 128.553, 24.966] / 255 for image in images)
    steps = [np.diff(hr, axis=axis, prepend=hr.take([0], axis)) for axis in (0, 1)]
    for kind, values in {
        "disagreement": np.abs(bicubic - trained),
        "hardest": np.square(trained - hr),
        "texture": np.hypot(*steps),
    }.items():
        windows = np.lib.stride_tricks.sliding_window_view(values, (24, 24)).mean(axis=(2, 3))
        row, column = map(int, np.unravel_index(windows.argmax(), windows.shape))
        page.locator(f"#compare-suggest-{kind}").click()
        expect(page.locator("#compare-loupe output")).to_have_text(f"x {column}, y {row}, 24 pixels a side")
        assert_shown(column, row, 24)


def test_every_subtab_fits_a_phone_without_a_finding(page: Page) -> None:
    open_tab(page, "Compare")
    expect(page.locator("#compare-slider img")).to_have_count(2, timeout=PATIENCE)
    for name in ("slider", "loupe", "differences", "files"):
        page.set_viewport_size({"width": 390, "height": 844})
        open_subtab(page, name)
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        if name == "loupe":
            first, second = (page.locator("#compare-loupe canvas").nth(number).bounding_box() for number in (0, 1))
            assert first and second and first["x"] + first["width"] < second["x"]  # side by side
        assert findings(page, name) == []


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
