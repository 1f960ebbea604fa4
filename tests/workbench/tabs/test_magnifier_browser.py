"""The magnifier and the before/after slider: by pointer and by keyboard alone, and where the magnifier starts."""

import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from promptsr.imaging import decode
from tests.workbench.conftest import PATIENCE, click_at, natural_size, numbers, open_tab

RESULT, SLIDER = "#magnifier-result", "#upscale-slider"


def place(page: Page) -> tuple[int, ...]:
    return numbers(page, "magnifier", "x", "y")


def square(page: Page, picture: str) -> list[float]:
    """The frame over a picture: left and upper edge, width and height in pixels of the 768 x 512 result."""
    frame, image = (page.locator(f"{picture} {each}").first.bounding_box() for each in (".place-frame", "img"))
    assert frame and image
    scale = 768 / image["width"]
    corner = [scale * (frame[axis] - image[axis]) for axis in ("x", "y")]
    return [*corner, scale * frame["width"], scale * frame["height"]]


def expect_square(page: Page, *expected: float) -> None:
    for picture in (RESULT, SLIDER):
        for _ in range(40):  # the answer of the server comes last
            if square(page, picture) == pytest.approx(expected, abs=1):
                break
            page.wait_for_timeout(100)
        assert square(page, picture) == pytest.approx(expected, abs=1), picture


def file(image: Locator) -> np.ndarray:
    """The pixels of what is shown."""
    address = unquote(image.get_attribute("src") or "")
    return decode(Path(address.partition("/file=")[2])).color


def test_it_starts_where_both_results_differ_most(page: Page) -> None:
    before, after = (file(image) / 255 @ [65.481, 128.553, 24.966] for image in page.locator(f"{SLIDER} img").all())
    means = np.lib.stride_tricks.sliding_window_view(np.abs(after - before), (64, 64)).mean((2, 3))
    top, left = np.unravel_index(means.argmax(), means.shape)
    assert place(page) == (left + 32, top + 32)
    expect_square(page, left // 4 * 4, top // 4 * 4, 64, 64)
    result = page.locator(".closeup img").nth(2)
    assert natural_size(result) == (384, 384)
    rows, columns = (slice(start // 4 * 4, start // 4 * 4 + 64) for start in (top, left))
    np.testing.assert_array_equal(file(result)[::6, ::6], file(page.locator(f"{SLIDER} img").nth(1))[rows, columns])


@pytest.mark.parametrize("picture", [RESULT, SLIDER])
def test_clicks_and_keys_move_it(page: Page, picture: str) -> None:
    closeup = page.locator(".closeup img").nth(2)
    shown = closeup.get_attribute("src") or ""
    x, y = click_at(page.locator(f"{picture} img").first, 0.3, 0.6)
    expect(closeup).not_to_have_attribute("src", shown)
    assert place(page) == pytest.approx((x, y), abs=2)
    left, top = (int(along) // 4 * 4 - 32 for along in place(page))
    expect_square(page, left, top, 64, 64)
    frame = page.locator(f"{picture} .place-frame")
    expect(frame).to_be_focused()

    shown = closeup.get_attribute("src") or ""
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        page.keyboard.press(key)
    expect(closeup).not_to_have_attribute("src", shown)
    assert place(page) == (left + 8 + 32, top - 4 + 16 + 32)
    expect_square(page, left + 8, top + 12, 64, 64)
    expect(frame).to_have_attribute("aria-valuetext", f"x {left + 8}, y {top + 12}")

    page.locator("#magnifier-zoom input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect_square(page, (left + 40) // 4 * 4 - 24, (top + 44) // 4 * 4 - 24, 48, 48)
    page.locator("#magnifier-x input").fill("767")
    page.keyboard.press("Enter")
    expect_square(page, 768 - 48, (top + 44) // 4 * 4 - 24, 48, 48)


def test_a_picture_that_is_shown_smaller_is_clicked_on_in_pixels_of_the_result(page: Page) -> None:
    image = page.locator(f"{RESULT} img")
    small = page.locator("#upscale-image img").get_attribute("src")
    image.evaluate("async (image, src) => { image.src = src; await image.decode(); }", small)
    assert natural_size(image) == (192, 128)
    click_at(image, 0.75, 0.25)
    expect(page.locator("#magnifier-x input")).to_have_value(re.compile("57[4-8]"))
    assert place(page) == pytest.approx((576, 128), abs=4)


def test_the_border_of_a_slider_goes_by_keys_and_is_dragged(page: Page) -> None:
    open_tab(page, "Compare")
    expect(page.locator("#compare-slider img")).to_have_count(2, timeout=PATIENCE)
    for slider in ("#compare-slider", SLIDER):
        border, after = page.locator(f"{slider} [role=slider]").first, page.locator(f"{slider} img").nth(1)
        if slider == SLIDER:
            open_tab(page, "Upscale")
        expect(border).to_have_attribute("aria-valuenow", "50")
        border.focus()
        for key, now in (("ArrowRight", 52), ("ArrowUp", 54), ("PageUp", 64), ("ArrowLeft", 62), ("PageDown", 52),
                         ("End", 100), ("ArrowRight", 100), ("Home", 0), ("ArrowDown", 0)):  # fmt: skip
            page.keyboard.press(key)
            expect(border).to_have_attribute("aria-valuenow", str(now))
            hidden = re.match(r"inset\(0px 0px 0px ([\d.]+)%\)", after.evaluate("image => image.style.clipPath"))
            box, (width, height) = after.bounding_box(), natural_size(after)
            assert hidden and box
            drawn = min(1, box["height"] * width / height / box["width"])  # the share of the width that has a picture
            assert float(hidden[1]) == pytest.approx(50 + (now - 50) * drawn, abs=0.5)
    before, image = place(page), after.bounding_box()
    assert image
    handle = border.bounding_box()
    assert handle
    page.mouse.move(handle["x"] + handle["width"] / 2, image["y"] + 100)
    page.mouse.down()
    page.mouse.move(image["x"] + image["width"] / 4, image["y"] + 100, steps=4)
    page.mouse.up()
    expect(border).to_have_attribute("aria-valuenow", "25")
    assert place(page) == before
