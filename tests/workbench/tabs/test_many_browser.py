"""The tab *Many photographs* as people see it: dropped, listed, upscaled, tried again, and downloaded as one file."""

import base64
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.workbench.conftest import PATIENCE, Server, choose, open_advanced, open_tab

DROP = """(place, files) => {
  const dropped = new DataTransfer();
  for (const [name, content] of files) {
    dropped.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, {type: 'image/png'}));
  }
  place.dispatchEvent(new DragEvent('drop', {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A bad one among good ones, one of which takes long."""
    rng = np.random.default_rng(6)
    sizes = {"first.png": (20, 24), "notes.png": (4, 4), "large.png": (112, 160), "last.png": (16, 28)}
    for name, size in sizes.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.png").write_text("No image at all.")
    return [tmp_path / name for name in sizes]


def test_drop_cancel_go_on_retry_download(page: Page, server: Server, photos: list[Path], tmp_path: Path) -> None:
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in photos]
    page.locator("#upscale-image").locator("button, img").first.evaluate(DROP, files)  # which opens the tab for many
    items = page.locator("#many-list li")
    states = page.locator("#many-list .state")
    expect(items).to_have_count(4, timeout=PATIENCE)
    expect(states).to_have_text(["waiting", "failed", "waiting", "waiting"])
    expect(items.nth(1)).to_contain_text("notes.png is not an image we read")
    expect(items.locator("img")).to_have_count(3, timeout=PATIENCE)
    expect(page.locator("#many-download")).to_be_hidden()
    choose(page, "many-model", "own-tiny")
    open_advanced(page, "many")
    page.locator("#many-tile").locator("input, textarea").fill("16")
    page.locator("#many-tile").locator("input, textarea").press("Tab")

    page.locator("#many-start").click()
    expect(states.nth(0)).to_have_text("done", timeout=PATIENCE)
    expect(states.nth(2)).to_have_text("at work", timeout=PATIENCE)
    expect(items.locator("button")).to_have_count(2)
    expect(items.locator("button").first).to_be_hidden()
    page.locator("#many-cancel").click()
    expect(page.locator("#many-status")).to_have_text("Stopped.", timeout=PATIENCE)
    expect(states).to_have_text(["done", "failed", "waiting", "waiting"], timeout=PATIENCE)
    assert names_in_download(page) == ["first.png"]  # what is finished is kept

    items.nth(3).get_by_role("button", name="Upscale last.png").click()
    expect(states).to_have_text(["done", "failed", "waiting", "done"], timeout=PATIENCE)
    page.locator("#many-start").click()
    expect(states).to_have_text(["done", "failed", "done", "done"], timeout=PATIENCE)
    expect(page.locator("#many-status .done")).to_contain_text("3 of 4", timeout=PATIENCE)
    items.nth(1).get_by_role("button", name="Retry notes.png").press("Enter")
    expect(page.locator("#many-status .done")).to_contain_text("3 of 4", timeout=PATIENCE)
    expect(states.nth(1)).to_have_text("failed")
    with page.expect_download() as downloading:
        page.locator("#many-download").click()
    assert downloading.value.suggested_filename == "3-own-tiny.zip"
    with zipfile.ZipFile(downloading.value.path()) as archive:
        assert archive.namelist() == ["first.png", "large.png", "last.png"]
        for path in (photos[0], *photos[2:]):
            assert archive.read(path.name) == server.expected(path, tmp_path / "expected.png", tile=16)


def names_in_download(page: Page) -> list[str]:
    with page.expect_download() as downloading:
        page.locator("#many-download").click()
    with zipfile.ZipFile(downloading.value.path()) as archive:
        return archive.namelist()


def test_it_opens_with_the_samples(page: Page) -> None:
    open_tab(page, "Many photographs")
    expect(page.locator("#many-list .state")).to_have_text(["done"] * 6, timeout=PATIENCE)
    expect(page.locator("#many-status .done")).to_contain_text("6 of 6")
    expect(page.locator("#tab-many")).not_to_have_attribute("data-old", "")
    assert len(names_in_download(page)) == 6
