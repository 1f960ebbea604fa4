"""`python -m analysis paper` in its quick form: every entry measured, on a page, in JSON, and not twice."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from analysis.paper.claims import ENTRIES
from tests.support.commands import Run

TITLES = [entry.title for entry in ENTRIES]


@pytest.fixture(scope="module")
def options(small_x4: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a quick run with a small network; the last one is the folder."""
    out = tmp_path_factory.mktemp("paper") / "report"
    return ["--quick", "--model", str(small_x4), "--against", "bicubic-x4", "--out", str(out)]


@pytest.fixture(scope="module")
def made(options: list[str]) -> Path:
    """The folder of that run, with its JSON in `paper.json`."""
    out = Path(options[-1])
    command = [sys.executable, "-m", "analysis", "paper", *options, "--json", str(out / "paper.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "Table VII" in done.stdout and "paper.html" in done.stderr
    return out


@pytest.fixture(scope="module")
def page(chromium_path: str, made: Path) -> Iterator[Page]:
    """The page, opened from disk in a browser without network, at the width of a phone."""
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--headless", "--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 800}, offline=True).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto((made / "paper.html").as_uri())
        yield page
        browser.close()
    assert [url for url in asked if not url.startswith("data:")] == [(made / "paper.html").as_uri()]
    assert complaints == []


def result(made: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made / "paper.json").read_text())
    return found


def test_every_entry_is_measured_and_judged(made: Path) -> None:
    found = result(made)
    assert [entry["title"] for entry in found["entries"]] == TITLES
    assert [entry["error"] for entry in found["entries"]] == [""] * len(ENTRIES)
    verdicts = {(e["title"], i): c["verdict"] for e in found["entries"] for i, c in enumerate(e["claims"])}
    assert len(verdicts) == sum(len(entry.claims) for entry in ENTRIES) == sum(found["counts"].values())
    assert verdicts["Fig. 1", 0] == "reproduced, but also true of untrained weights"
    assert verdicts["Table III", 0] == verdicts["Table V", 0] == verdicts["Table VII", 0] == "reproduced"
    assert verdicts["Table II", 1] == verdicts["Table IV", 1] == "not reproduced"
    assert verdicts["Fig. 4", 0] == "cannot be measured here"
    [line] = json.loads((made / "entries" / "table-3.json").read_text())["tables"]["Costs for a result of 1280 × 720"]
    assert list(line.values()) == ["PromptSR", "779K", "780K", "872K", "53.5G", "53.5G", "232.0G"]


def test_all_entries_show_and_fit_a_phone(page: Page) -> None:
    assert page.locator("article h2").all_inner_texts() == TITLES
    assert all(box.bounding_box() for box in page.locator("article").all())
    assert page.locator(".verdict").count() == sum(len(entry.claims) for entry in ENTRIES)
    assert page.locator("pre").count() == 1 + len(ENTRIES)
    widths = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(widths) >= 11 and all(widths)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_counts_are_those_of_the_verdicts(page: Page, made: Path) -> None:
    assert page.locator(".counts b").all_inner_texts() == [str(count) for count in result(made)["counts"].values()]
    assert page.locator("nav a").count() == len(ENTRIES)
    page.locator("nav a", has_text="Table IV").click()
    assert page.url.endswith("#table-4")


def test_a_failing_entry_leaves_the_others(analysis: Run, options: list[str], made: Path, tmp_path: Path) -> None:
    """In the folder of the run before, so that nothing else is measured."""
    kept = {path: path.stat().st_mtime_ns for path in (made / "entries").iterdir()}
    code, out, err = analysis("paper", *options, "--ablations", tmp_path, "--json", "-")
    assert code == 2 and "2 of 18 entries were not measured" in " ".join(err.split())
    errors = {entry["title"]: entry["error"] for entry in json.loads(out)["entries"] if entry["error"]}
    assert list(errors) == ["Table IV", "Table VI"] and "is no table" in errors["Table IV"]
    assert {path: path.stat().st_mtime_ns for path in (made / "entries").iterdir()} == kept
    assert "not measured" in (made / "paper.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--out", "new", "--model", "nothing"], "There is no model nothing"),
        (["--out", "new", "--bench", "nowhere"], "nowhere is not a folder"),
        (["--out", "FILE"], "FILE"),
    ],
)
def test_bad_requests(arguments: list[str], hint: str, refused: Callable[..., None]) -> None:
    refused(hint, "paper", "--quick", *arguments)
