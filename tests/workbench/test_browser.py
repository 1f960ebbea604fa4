"""The workbench as people see it: a real browser clicks through it, and asks no other machine for anything."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from promptsr.zoo.load import list_models
from tests.workbench.conftest import PATIENCE, choose, click_at, natural_size, open_tab, send, watched

if TYPE_CHECKING:
    from tests.workbench.conftest import Server


def tiles_done(status: Locator) -> tuple[int, int]:
    """How many tiles are done, and how many there are."""
    found = re.search(r"(\d+) of (\d+) tiles", status.inner_text())
    assert found, status.inner_text()
    return int(found[1]), int(found[2])


def test_upscale_compare_magnify_download(page: Page, server: Server, deep_photo: Path, tmp_path: Path) -> None:
    send(page, deep_photo)
    choose(page, "upscale-model", "own-tiny")
    page.locator("#upscale-tile input, #upscale-tile textarea").fill("32")
    page.get_by_role("button", name="Upscale").click()
    expect(page.locator("#upscale-status .done")).to_contain_text("208 × 144", timeout=PATIENCE)

    sides = page.locator("#upscale-slider img")
    expect(sides).to_have_count(2)
    assert [natural_size(side) for side in sides.all()] == [(208, 144), (208, 144)]
    assert sides.nth(0).get_attribute("src") != sides.nth(1).get_attribute("src")

    closeups = page.locator(".closeup img")
    expect(closeups).to_have_count(3)  # of the middle
    before = closeups.nth(2).get_attribute("src")
    result = page.locator("#magnifier-result img")
    result.click(position={"x": 8, "y": 8})
    expect(closeups.nth(2)).not_to_have_attribute("src", before or "")
    assert {natural_size(closeup) for closeup in closeups.all()} == {(384, 384)}

    with page.expect_download() as downloading:
        page.locator("#upscale-download").click()
    download = downloading.value
    assert download.suggested_filename == "deep-own-tiny.png"
    assert Path(download.path()).read_bytes() == server.expected(deep_photo, tmp_path / "expected.png", tile=32)


def test_cancel_stops_the_work(page: Page, plain_photo: Path) -> None:
    page.locator("#upscale-image").locator("xpath=..").locator(".gallery-item").first.click()
    page.locator("#upscale-image img").wait_for()
    choose(page, "upscale-model", "own-tiny")
    page.locator("#upscale-tile input, #upscale-tile textarea").fill("8")
    start, cancel = page.get_by_role("button", name="Upscale"), page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_hidden()
    status = page.locator("#upscale-status")
    start.click()
    expect(status).to_contain_text(re.compile(r"own-tiny: \d+ of"), timeout=PATIENCE)
    begun, (first, total) = time.monotonic(), tiles_done(status)
    while (done := tiles_done(status)[0]) < first + 10:
        page.wait_for_timeout(50)
    left = (total - done) * (time.monotonic() - begun) / (done - first)  # seconds that the rest would take
    cancel.click()
    expect(status).to_have_text("Stopped.")
    expect(cancel).to_be_hidden()

    # Only one network runs at a time: the next one can start because the first has stopped.
    begun = time.monotonic()
    send(page, plain_photo)
    choose(page, "upscale-model", "bicubic-x4")
    start.click()
    expect(page.locator("#upscale-status .done")).to_contain_text("160 × 96", timeout=PATIENCE)
    assert time.monotonic() - begun < left / 2


def test_wrong_files_make_a_toast(page: Page, tmp_path: Path) -> None:
    # The sample that the page opens with goes first; its button draws its cross over itself.
    page.locator("#upscale-image").get_by_role("button", name="Clear").click(force=True)
    expect(page.locator("#upscale-image img")).to_have_count(0)
    page.locator("#upscale-start").click()
    toast = page.locator(".toast-body")
    expect(toast).to_contain_text("There is no photograph yet")
    page.locator(".toast-close").click()
    expect(toast).to_have_count(0)
    notes = tmp_path / "notes.png"
    notes.write_text("No image at all.")
    send(page, notes)
    expect(toast).to_contain_text("notes.png is not an image we read")
    expect(page.locator("#upscale-image img")).to_have_count(0)


def test_tiff_can_be_seen(page: Page, tmp_path: Path) -> None:
    photo = tmp_path / "scan.tif"
    Image.linear_gradient("L").resize((48, 32)).save(photo)
    send(page, photo)
    image = page.locator("#upscale-image img")
    expect(image).to_have_attribute("src", re.compile(r"scan\.png$"))
    assert natural_size(image) == (48, 32)


def test_architecture_shows_every_box(page: Page) -> None:
    page.get_by_role("tab", name="Architecture").click()
    views, heading = page.locator("#tour-views img"), page.locator("#tour-text h2")
    expect(heading).to_have_text("Shallow feature encoder", timeout=PATIENCE)
    expect(page.locator("#tour-text .katex-display")).to_be_visible()
    choose(page, "tour-model", "own-tiny")
    for label, title, pictures in (
        ("M coarse", "Coarse similarity map", 2),
        ("Fine LPL", "Fine local prompting layer", 3),
        ("Decoder", "Pixel-shuffle decoder", 3),
    ):
        button = page.locator(".diagram button", has_text=label)
        button.click()
        expect(heading).to_have_text(title, timeout=PATIENCE)
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(views).to_have_count(pictures)
        assert all(natural_size(view)[0] > 300 for view in views.all())
    expect(page.locator("#tour-text")).not_to_contain_text("Untrained")


@pytest.mark.parametrize("place", [(0.2, 0.7), (0.9, 0.1)])
def test_clicks_find_their_pixel(page: Page, plain_photo: Path, place: tuple[float, float]) -> None:
    def chosen(tab: str) -> tuple[float, float]:
        x, y = (float(page.locator(f"#{tab}-{axis} input").input_value()) for axis in "xy")
        return x, y

    send(page, plain_photo)
    page.get_by_role("button", name="Upscale").click()
    expect(page.locator(".closeup img")).to_have_count(3, timeout=PATIENCE)
    page.get_by_role("tab", name="Architecture").click()
    send(page, plain_photo, "tour")
    expect(page.locator("#tour-x input")).to_have_value("20", timeout=PATIENCE)
    for tab, picture in (("tour", "#tour-image img"), ("magnifier", "#magnifier-result img")):
        page.get_by_role("tab", name="Upscale" if tab == "magnifier" else "Architecture").click()
        before = chosen(tab)
        expected = click_at(page.locator(picture), *place)
        expect(page.locator(f"#{tab}-y input")).not_to_have_value(f"{before[1]:.0f}")
        assert chosen(tab) == pytest.approx(expected, abs=2)


def test_untrained_networks_say_so(page: Page, plain_photo: Path) -> None:
    name = next(model.name for model in list_models() if not model.has_weights)
    page.get_by_role("tab", name="Architecture").click()
    expect(page.locator("#tour-text h2")).to_be_visible(timeout=PATIENCE)
    send(page, plain_photo, "tour")
    choose(page, "tour-model", f"{name} (untrained)")
    expect(page.locator("#tour-text")).to_contain_text("Untrained", timeout=PATIENCE)


@pytest.mark.parametrize("page", [390], indirect=True)
def test_page_fits_a_phone(page: Page) -> None:
    for tab, part in (
        ("Architecture", "#tour-views img"),
        ("Compare", "#compare-start"),
        ("Attribution", "#lam-start"),
        ("Failures", "#failures-start"),
        ("Upscale", "#upscale-start"),
    ):
        open_tab(page, tab)
        expect(page.locator(part).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_light_and_dark(page: Page) -> None:
    def background() -> str:
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert isinstance(color, str)
        return color

    light = background()
    page.get_by_role("button", name="Light or dark").click()
    assert background() != light
    page.get_by_role("button", name="Light or dark").click()
    assert background() == light


def test_browser_reaches_nobody_else(browser: BrowserContext) -> None:
    failures: list[str | None] = []
    urls = ["http://192.0.2.1/", "https://elsewhere.example/"]
    with watched(browser) as outside:
        page = browser.new_page()
        page.on("requestfailed", lambda request: failures.append(request.failure))
        for url in urls:
            assert (
                page.evaluate("url => fetch(url, {mode: 'no-cors'}).then(() => 'came', () => 'failed')", url)
                == "failed"
            )
    assert outside == urls and failures == ["net::ERR_NAME_NOT_RESOLVED"] * 2
