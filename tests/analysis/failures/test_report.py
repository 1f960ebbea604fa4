"""The report of failure cases opens from disk in a browser, requests nothing else, and shows names as they are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from skimage import data

from analysis.failures.report import write_report
from analysis.failures.search import find_failures
from analysis.failures.study import FailureStudy
from promptsr.data.pairs import find_pairs
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

EVIL = "<img src=x onerror=document.title='owned'>$x^{.png"
COMMAND = "python -m analysis failures '<b>photos</b>'"
TINY, BICUBIC = load_model("promptsr-tiny-x4"), load_model("bicubic-x4")


def search(model: SRModel, other: SRModel, folder: Path, window: int) -> FailureStudy:
    Image.fromarray(data.astronaut()[:160, 150:310]).save(folder / EVIL)
    return finish(find_failures(model, [other], find_pairs(folder, None), window=window, count=3))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FailureStudy:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "<script>broken.png").write_bytes(b"no image")
    return search(BICUBIC, TINY, folder, 40)


@pytest.fixture(scope="module")
def page(chromium_path: str, study: FailureStudy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The report, opened from disk in a browser without network, at the width of a phone."""
    report = write_report(study, tmp_path_factory.mktemp("report") / "made" / "on the way", COMMAND)
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium_path, args=flags)
        page = browser.new_context(viewport={"width": 390, "height": 800}, offline=True).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(report.as_uri())
        yield page
        browser.close()
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert complaints == []


def test_all_pictures_show(page: Page, study: FailureStudy) -> None:
    widths = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth)")
    # surroundings, HR, LR and the scale; a crop and a map of errors of either model
    assert len(widths) == len(study.cases) * (4 + 2 * 2) and all(widths)
    boxes = page.locator(".place i").evaluate_all("boxes => boxes.map(b => [b.offsetWidth, b.offsetHeight])")
    assert len(boxes) == 3 and all(min(box) > 20 for box in boxes)
    assert page.locator(".chart svg").bounding_box() is not None


def test_names_are_text(page: Page) -> None:
    assert page.title() == "Failure cases of bicubic-x4 ×4"
    assert set(page.locator("h3").all_inner_texts()) == {EVIL}
    assert page.locator("pre").inner_text() == COMMAND
    assert "<script>broken.png" in page.locator("li").inner_text()
    assert page.locator("script, b:has(b), img:not([src^='data:'])").count() == 0


def test_numbers_are_those_of_the_study(page: Page, study: FailureStudy) -> None:
    case = study.cases[0]
    first = page.locator("article").first
    assert f"{case.loss_db:.2f} dB worse than promptsr-tiny-x4" in first.inner_text()
    assert first.locator(".kind").inner_text() == case.kind
    rows = [re.split(r"\s+", row) for row in first.locator("tr").all_inner_texts()[1:]]
    assert rows == [[name, f"{case.psnr_y[name]:.2f}", f"{case.ssim_y[name]:.4f}"] for name in study.models]


def test_it_fits_a_phone_and_is_dark_where_that_is_wanted(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ground = "getComputedStyle(document.body).backgroundColor"
    colors = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colors.append(sum(map(int, re.findall(r"\d+", page.evaluate(ground))[:3])))
    assert colors[0] > 700 and colors[1] < 100


def test_tables(study: FailureStudy, tmp_path: Path) -> None:
    first, again = (write_report(study, tmp_path).read_bytes() for _ in range(2))
    assert first == again
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "cases.csv", "texture.csv"}
    cases = pd.read_csv(tmp_path / "cases.csv")
    assert cases["rank"].tolist() == [1, 2, 3] and set(cases["image"]) == {EVIL}
    for row, case in zip(cases.to_dict("records"), study.cases, strict=True):
        assert (row["x"], row["y"], row["window"], row["kind"]) == (case.x, case.y, 40, case.kind)
        assert row["psnr_y bicubic-x4"] == pytest.approx(case.psnr_y["bicubic-x4"])
        assert row["coherence"] == pytest.approx(case.texture.coherence)
    texture = pd.read_csv(tmp_path / "texture.csv")
    assert texture["windows"].sum() == 2 * len(study.windows)


def test_a_model_without_failures_gets_a_report_too(tmp_path: Path) -> None:
    study = search(TINY, BICUBIC, tmp_path, 160)
    text = write_report(study, tmp_path).read_text()
    assert study.cases == () and "there is no failure to show" in text
    assert (tmp_path / "cases.csv").read_text().startswith("rank,image,x,y")
