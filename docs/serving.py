"""A running workbench and a browser with its page, for the scripts beside this one."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from benchmarks.served import serving


@contextmanager
def opened_workbench() -> Iterator[Page]:
    """Open the page of a new workbench in a window of 1280 x 900."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        sys.exit("There is no Chromium or Chrome on this machine: install one.")
    with TemporaryDirectory() as folder, serving(Path(folder)) as workbench, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(workbench.url)
        yield page
        browser.close()
