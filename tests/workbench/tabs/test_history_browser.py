"""The strip of results in the browser: shown again with what belongs to them, in pairs, pinned and dropped."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from promptsr.imaging import decode
from tests.workbench.conftest import PATIENCE, Server, choose, numbers, open_advanced, send


def test_results_are_shown_again_with_all_that_belongs_to_them(
    page: Page, server: Server, plain_photo: Path, tmp_path: Path
) -> None:
    panel, facts, strip = page.locator("#tab-upscale"), page.locator("#upscale-status"), page.locator(".strip li")
    sides, model = page.locator("#upscale-slider img"), page.locator("#upscale-model input")

    def press(number: int, what: str) -> None:
        page.locator(f'.strip [data-what={what}][data-number="{number}"]').click()

    def sources() -> list[str]:
        return [side.get_attribute("src") or "" for side in sides.all()]

    def buttons(entry: Locator) -> list[str]:
        return entry.locator("div button").all_inner_texts()

    expect(strip).to_have_count(0)  # a single result needs none
    send(page, plain_photo)
    expect(page.locator("#upscale-image img")).to_have_attribute("src", re.compile("plain"))
    for number, name in ((2, "own-tiny"), (3, "bicubic-x4")):
        choose(page, "upscale-model", name)
        page.locator("#upscale-start").click()
        expect(strip).to_have_count(number, timeout=PATIENCE)
    expect(strip.locator("b")).to_have_text(["bicubic-x4", "own-tiny", "promptsr-x4"])
    assert [buttons(entry) for entry in strip.all()] == [["Pin"], ["Before", "Pin", "Drop"], ["Pin", "Drop"]]
    expect(facts.locator(".done")).to_contain_text("bicubic-x4", timeout=PATIENCE)
    bicubic = sources()

    press(2, "choose")
    expect(facts).to_contain_text("Afterown-tiny")
    expect(model).to_have_value("own-tiny")
    expect(panel).not_to_have_attribute("data-old", "")
    expect(strip.nth(1).locator("[aria-current]")).to_be_visible()
    own = sources()
    assert own[1] != bicubic[1]
    with page.expect_download() as downloading:
        page.locator("#upscale-download").click()
    assert downloading.value.suggested_filename == "plain-own-tiny.png"
    expected = tmp_path / "expected.png"
    server.expected(plain_photo, expected)
    assert (decode(Path(downloading.value.path())).color == decode(expected).color).all()

    at = numbers(page, "magnifier", "x", "y")
    press(3, "beside")
    expect(sides.nth(0)).to_have_attribute("src", bicubic[1])
    assert sources() == [bicubic[1], own[1]] and numbers(page, "magnifier", "x", "y") == at
    expect(facts).to_contain_text("Beforebicubic-x4Afterown-tiny")
    expect(panel).not_to_have_attribute("data-old", "")
    assert buttons(strip.first) == ["Before", "Pin"]

    press(1, "choose")  # what the page opened with
    expect(facts).to_contain_text("192 × 128")
    expect(model).to_have_value("promptsr-x4")
    expect(page.locator("#upscale-image img")).to_have_attribute("src", re.compile("chelsea"))
    expect(panel).not_to_have_attribute("data-old", "")
    open_advanced(page)
    page.locator("#upscale-tile").locator("input, textarea").fill("16")
    expect(panel).to_have_attribute("data-old", "")

    press(2, "pin")
    expect(strip.nth(1).get_by_role("button", name="Pin own-tiny of plain")).to_have_attribute("aria-pressed", "true")
    press(3, "drop")
    expect(strip.locator("b")).to_have_text(["own-tiny", "promptsr-x4"])
    strip.first.locator(".result").focus()
    page.keyboard.press("Enter")
    expect(facts).to_contain_text("Beforebicubic-x4Afterown-tiny")
    expect(panel).not_to_have_attribute("data-old", "")
