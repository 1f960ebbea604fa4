"""A running workbench and a browser that has it open, for the scripts beside this one."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Error, Page, sync_playwright

from benchmarks.served import free_port

_SECONDS = 60


@contextmanager
def opened_workbench() -> Iterator[Page]:
    """The page, as somebody sees who has just opened it in a window of 1280 x 900."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        sys.exit("There is no Chromium or Chrome on this machine: install one.")
    port = free_port()
    command = Path(sys.executable).with_name("promptsr")
    server = subprocess.Popen([command, "app", "--no-browser", "--port", str(port)])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(_SECONDS * 1000)
            _open(page, f"http://127.0.0.1:{port}")
            yield page
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _open(page: Page, url: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            page.goto(url)
            return
        except Error:  # not up yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
