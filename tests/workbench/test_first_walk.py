"""The first walk of somebody new, as `make walk` does it."""

from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext

from docs.walk import walk
from tests.workbench.conftest import Server, watched


def test_from_opening_to_a_downloaded_figure(browser: BrowserContext, server: Server, tmp_path: Path) -> None:
    with watched(browser) as outside:
        page = browser.new_page()
        page.set_viewport_size({"width": 1280, "height": 900})
        page.add_init_script("localStorage['promptsr-settings-lam'] = 'steps=4'")
        page.goto(server.url)
        seconds = walk(page, tmp_path)
    assert outside == []
    first, *_, last = seconds
    assert (first, last) == ("first result", "download")
    pictures = sorted(tmp_path.glob("[1-9]-*.png"))
    assert len(pictures) == len(seconds)
    assert all(np.asarray(Image.open(picture).convert("L")).std() > 20 for picture in pictures)
    figure = np.asarray(Image.open(tmp_path / "china-lam.png").convert("RGB")).astype(int)
    red, green, blue = figure[..., 0], figure[..., 1], figure[..., 2]
    assert ((red - np.maximum(green, blue)) > 150).sum() > 100  # the box, and the hottest pixels
