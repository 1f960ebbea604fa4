"""The tab *Failures* without a browser: the cases of `analysis.failures.search`, the report, and what is refused."""

import csv
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image

from analysis.failures.search import find_failures
from promptsr import load_model
from promptsr.support.progress import finish
from tests.workbench.conftest import Server, ask


@pytest.fixture(scope="module")
def turned(garden: Path) -> Path:
    """Another photograph."""
    path = garden.with_name("turned.png")
    with Image.open(garden) as image:
        image.rotate(90, expand=True).save(path)
    return path


def test_cases_are_those_of_the_analysis(client: Client, server: Server, garden: Path, turned: Path) -> None:
    pictures, chart, files, news = ask(client, "failures", [garden, turned])
    models = load_model(server.weights), load_model("bicubic-x4")
    study = finish(find_failures(models[0], models[1:], [(garden, None), (turned, None)], window=24, count=3))
    assert len(study.cases) == 3 and {case.image for case in study.cases} <= {"garden.png", "turned.png"}
    assert [picture["caption"] for picture in pictures] == [
        f"{rank}. {case.image} ({case.x}, {case.y}): {case.kind}, −{case.loss_db:.1f} dB against bicubic-x4"
        for rank, case in enumerate(study.cases, start=1)
    ]
    for file in (chart, *(picture["image"] for picture in pictures)):
        with Image.open(file) as drawn:
            assert drawn.width > 1000 and np.asarray(drawn.convert("L")).std() > 5

    report, table, texture = map(Path, files)
    assert [file.name for file in (report, table, texture)] == ["report.html", "cases.csv", "texture.csv"]
    page = report.read_text()
    assert all(case.image in page and f"{case.x}, {case.y}" in page for case in study.cases)
    rows = list(csv.DictReader(table.open()))
    places = [(case.image, str(case.x), str(case.y), case.kind) for case in study.cases]
    assert [(row["image"], row["x"], row["y"], row["kind"]) for row in rows] == places
    assert texture.read_text().count("\n") > 2
    for name, psnr in study.mean("psnr_y").items():
        assert f"{name}, mean PSNR-Y" in news and f"{psnr:.2f} dB" in news

    for number, case in enumerate(study.cases, start=1):
        details, figure = client.predict(number, api_name="/failures_case")
        assert f"{case.loss_db:.2f} dB to bicubic-x4" in details and f"{case.x}, {case.y}" in details
        assert all(f"{psnr:.2f} dB" in details for psnr in case.psnr_y.values())
        assert Path(figure).read_bytes() == Path(pictures[number - 1]["image"]).read_bytes()


def test_no_failure_is_good_news(client: Client, cat: Path) -> None:
    pictures, chart, files, news = ask(client, "failures", [cat], model="promptsr-tiny-x4", window=84)
    assert pictures == [] and chart and "<dt>Cases</dt><dd>0</dd>" in news and "Stopped" not in news
    details, figure = client.predict(1, api_name="/failures_case")
    assert "Good news: promptsr-tiny-x4 loses no window to bicubic-x4" in details and figure is None
    assert "Good news" in Path(files[0]).read_text()


def test_unusable_photographs_are_left_out(client: Client, garden: Path, plain_photo: Path) -> None:
    *_, news = ask(client, "failures", [garden, plain_photo], window=32, cases=1)  # 40 x 24
    assert "Left out" in news and "plain.png" in news
    for number in (0, 2):
        with pytest.raises(AppError, match=f"There is no case {number}: choose one of 1 to 1."):
            client.predict(number, api_name="/failures_case")
