"""The workbench as people see it: a real browser clicks through it, and asks no other machine for anything."""

import re
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from promptsr.zoo.load import list_models
from tests.workbench.conftest import (
    PATIENCE,
    Server,
    choose,
    choose_small,
    click_at,
    fill,
    natural_size,
    numbers,
    open_advanced,
    open_tab,
    send,
    take_all_steps,
    watched,
)
from workbench.ui.tab_header import TABS


def test_upscale_compare_magnify_download(page: Page, server: Server, deep_photo: Path, tmp_path: Path) -> None:
    send(page, deep_photo)
    choose(page, "upscale-model", "own-tiny")
    open_advanced(page)
    page.locator("#upscale-tile input, #upscale-tile textarea").fill("32")
    page.get_by_role("button", name="Upscale").click()
    expect(page.locator("#upscale-status .done")).to_contain_text("208 × 144", timeout=PATIENCE)

    sides = page.locator("#upscale-slider img")
    expect(sides).to_have_count(2)
    assert [natural_size(side) for side in sides.all()] == [(208, 144), (208, 144)]
    assert sides.nth(0).get_attribute("src") != sides.nth(1).get_attribute("src")

    closeups = page.locator(".closeup img")
    expect(closeups).to_have_count(3)  # of where both results differ most
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

    choose(page, "upscale-format", "JPEG")  # afterwards: the result stays
    expect(page.locator("#tab-upscale")).not_to_have_attribute("data-old", "")
    with page.expect_download() as downloading:
        page.locator("#upscale-download").click()
    assert downloading.value.suggested_filename == "deep-own-tiny.jpg"
    written = server.expected(deep_photo, tmp_path / "expected.jpg", tile=32)
    assert Path(downloading.value.path()).read_bytes() == written
    toast = page.locator(".toast-body")
    expect(toast).to_contain_text("JPEG does not keep 16 bits per channel, the transparency")


def test_the_result_is_seen_while_it_grows(page: Page, tmp_path: Path) -> None:
    Image.effect_noise((300, 260), 90).convert("RGB").save(tmp_path / "noise.png")
    send(page, tmp_path / "noise.png")
    choose(page, "upscale-model", "own-tiny")
    open_advanced(page)
    fill(page.locator("#upscale-tile").locator("input, textarea"), "16")
    page.locator("#upscale-start").click()
    growing, finished = page.locator("#upscale-growing img"), page.locator("#upscale-slider")
    expect(growing).to_be_visible(timeout=PATIENCE)
    expect(finished).to_be_hidden()
    assert natural_size(growing) == (600, 520)  # half of 1200 x 1040
    assert float(growing.evaluate("i => getComputedStyle(i).opacity")) == 1
    before = growing.get_attribute("src") or ""
    expect(growing).not_to_have_attribute("src", before, timeout=PATIENCE)
    page.locator("#upscale-cancel").click()
    expect(page.locator("#upscale-status")).to_have_text("Stopped.", timeout=PATIENCE)
    expect(growing).to_be_hidden()
    expect(finished).to_be_visible()  # the result before, which is marked as old
    expect(page.locator("#tab-upscale")).to_have_attribute("data-old", "")


def test_cancel_stops_the_work_of_every_tab(page: Page, garden: Path, park: Path) -> None:
    """Only one network runs at a time: the next one can start because the one before has stopped."""
    for tab, field, value, running in (
        ("upscale", "tile", "16", r"\d+ of \d+ tiles"),
        ("compare", "tile", "16", r"\d+ of \d+ tiles"),
        ("lam", "steps", "200", r"Refining: .*: \d+ of \d+ steps"),
        ("anchors", "images", "40", r"[1-9]\d* of 240 images"),
    ):
        open_tab(page, TABS[tab].title)
        choose_small(page, tab)
        if tab != "anchors":
            photograph = garden if tab == "lam" else park
            send(page, photograph, tab)
            expect(page.locator(f"#{tab}-image img")).to_have_attribute("src", re.compile(photograph.stem))
        if tab == "compare":
            page.locator("#compare-way").get_by_text("without scores").click()  # of all its pixels, which takes longer
        if tab == "lam":
            expect(page.locator("#lam-x input")).to_have_value("51", timeout=PATIENCE)  # the middle
            take_all_steps(page)
        if tab == "upscale":
            open_advanced(page)
        fill(page.locator(f"#{tab}-{field}").locator("input, textarea").first, value)
        status, cancel = page.locator(f"#{tab}-status"), page.locator(f"#{tab}-cancel")
        expect(cancel).to_be_hidden()
        page.locator(f"#{tab}-start").click()
        expect(status).to_contain_text(re.compile(running), timeout=PATIENCE)
        cancel.click()
        expect(status).to_have_text("Stopped.")
        expect(cancel).to_be_hidden()
        if tab == "lam":
            expect(page.locator("#lam-table")).to_contain_text("preview")  # which stays


@pytest.mark.parametrize(
    ("tab", "field", "slow", "quick"), [("upscale", "tile", "16", "96"), ("lam", "steps", "200", "2")]
)
def test_a_stopped_run_says_nothing_about_the_next(
    page: Page, garden: Path, park: Path, tab: str, field: str, slow: str, quick: str
) -> None:
    """Though the browser hears only later that the server has cancelled something."""
    page.evaluate(
        """() => {
          const fetch = window.fetch;
          window.fetch = async (...args) => {
            const answer = await fetch(...args);
            if (String(args[0]).endsWith('/cancel')) await new Promise(done => setTimeout(done, 5000));
            return answer;
          };
        }"""
    )
    open_tab(page, TABS[tab].title)
    choose_small(page, tab)
    photograph = garden if tab == "lam" else park
    send(page, photograph, tab)
    expect(page.locator(f"#{tab}-image img")).to_have_attribute("src", re.compile(photograph.stem))
    if tab == "lam":
        expect(page.locator("#lam-x input")).to_have_value("51", timeout=PATIENCE)  # the middle
        take_all_steps(page)
    if tab == "upscale":
        open_advanced(page)
    setting = page.locator(f"#{tab}-{field}").locator("input, textarea").first
    start, status = page.locator(f"#{tab}-start"), page.locator(f"#{tab}-status")
    fill(setting, slow)
    start.click()
    expect(status).to_contain_text(re.compile(r"[1-9]\d* of \d+"), timeout=PATIENCE)
    setting.fill(quick)
    page.locator(f"#{tab}-cancel").click()
    expect(status).to_have_text("Stopped.", timeout=PATIENCE)
    start.click()
    expect(status.locator(".done")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(6000)
    expect(status.locator(".done")).to_be_visible()


def test_wrong_files_make_a_toast(page: Page, tmp_path: Path) -> None:
    # The sample that the page opens with goes first.
    page.locator("#upscale-image").get_by_role("button", name="Remove Image").click()
    expect(page.locator("#upscale-image img")).to_have_count(0)
    page.locator("#upscale-start").click()
    toast = page.locator(".toast-body")
    expect(toast).to_contain_text("There is no photograph yet")
    expect(page.locator("#upscale-cancel")).to_be_hidden()
    page.locator(".toast-close").click()
    expect(toast).to_have_count(0)
    notes = tmp_path / "notes.png"
    notes.write_text("No image at all.")
    send(page, notes)
    expect(toast).to_contain_text("notes.png is not an image we read")
    expect(page.locator("#upscale-image img")).to_have_count(0)


def test_what_browsers_do_not_know_can_be_seen(page: Page, tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()  # so that Pillow writes it
    image = page.locator("#upscale-image img")
    for width, name in enumerate(("scan.tif", "scan.tga", "scan.bmp", "scan.ppm", "scan.heic", "scan"), start=48):
        photo = tmp_path / name
        Image.linear_gradient("L").resize((width, 32)).convert("RGB").save(photo, None if photo.suffix else "JPEG")
        send(page, photo)
        expect(image).to_have_attribute("src", re.compile(r"scan\.png$"))
        expect(image).to_have_js_property("naturalWidth", width)
        assert natural_size(image) == (width, 32)
        page.locator("#upscale-image").get_by_role("button", name="Remove Image").click()
        expect(image).to_have_count(0)


def test_architecture_shows_every_box(page: Page, plain_photo: Path) -> None:
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

    send(page, plain_photo, "tour")
    expect(page.locator("#tour-x input")).to_have_value("20", timeout=PATIENCE)
    expected = click_at(page.locator("#tour-image img"), 0.9, 0.1)
    expect(page.locator("#tour-y input")).not_to_have_value("12")
    assert numbers(page, "tour", *"xy") == pytest.approx(expected, abs=2)
    name = next(model.name for model in list_models() if not model.has_weights)
    choose(page, "tour-model", f"{name} (untrained)")
    expect(page.locator("#tour-text")).to_contain_text("Untrained", timeout=PATIENCE)


def test_the_browser_reaches_no_other_host(browser: BrowserContext) -> None:
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


STREAMS = """const ask = window.fetch, wait = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
window.fetch = async (address, options) => {
  const answer = await ask(address, options);
  return String(address.url ?? address).includes('/queue/data') ? late(answer) : answer;
};
"""
LATE_STREAMS = {
    "its parts come late": """const late = (answer) => new Response(answer.body.pipeThrough(new TransformStream({
  async transform(part, out) {
    await wait(150);
    out.enqueue(part);
  }
})), answer);""",
    "it comes when it is over": """const late = async (answer) => {
  const text = await answer.text();
  await wait(400);
  return new Response(text, answer);
};""",
}


@pytest.mark.parametrize("late", LATE_STREAMS.values(), ids=LATE_STREAMS)
def test_a_stream_that_ends_late_costs_no_answer(late: str, blank: Page, server: Server) -> None:
    """Gradio reads answers from one stream, which ends with the last; it opens no other before it knows that."""
    blank.add_init_script(STREAMS + late)
    blank.goto(server.url)
    expect(blank.locator(".closeup img")).to_have_count(3, timeout=PATIENCE)
    for tab, result in (("Compare", "#compare-slider img"), ("Architecture", "#tour-views img")):
        open_tab(blank, tab)
        expect(blank.locator(result).first).to_be_visible(timeout=PATIENCE)
