"""The tab *Failures* without a browser: the cases of `analysis.failures.search`, the report, and what is refused."""

from __future__ import annotations

import csv
import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image

from analysis.failures.search import find_failures
from promptsr import load_model
from promptsr.support.progress import finish

if TYPE_CHECKING:
    from tests.workbench.conftest import Server


@pytest.fixture(scope="module")
def turned(garden: Path) -> Path:
    """Another photograph."""
    path = garden.with_name("turned.png")
    with Image.open(garden) as image:
        image.rotate(90, expand=True).save(path)
    return path


def search(client: Client, files: list[Path], **changed: Any) -> tuple[Any, ...]:
    arguments = {"model": "own-tiny", "against": ["bicubic"], "window": 24, "cases": 3, **changed}
    found: tuple[Any, ...] = client.predict(
        [handle_file(file) for file in files], *arguments.values(), api_name="/failures"
    )
    return found


def test_cases_are_those_of_the_analysis(client: Client, server: Server, garden: Path, turned: Path) -> None:
    pictures, chart, files, news = search(client, [garden, turned])
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


def test_unusable_photographs_are_left_out(client: Client, garden: Path, plain_photo: Path) -> None:
    *_, news = search(client, [garden, plain_photo], window=32)  # 40 x 24
    assert "Left out" in news and "plain.png" in news
    with pytest.raises(AppError, match=r"plain.png .40 x 24. is smaller than a window"):
        search(client, [plain_photo], window=32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "../models/own-tiny"}, "There is no model ../models/own-tiny"),
        ({"against": []}, "Choose 1 to 3 different models, not none."),
        ({"against": ["bicubic-x3"]}, "bicubic-x3 enlarges x3, not x4"),
        ({"against": ["own-tiny"]}, "Two models are called own-tiny"),
        ({"against": ["bicubic"] * 4}, "Choose 1 to 3 different models, not bicubic"),
        ({"window": 10}, "A window of 10 pixels is too small"),
        ({"cases": 0}, "The number of cases must be 1 or more"),
        ({"window": None}, "window must be a whole number, not nothing."),
    ],
)
def test_impossible_searches_are_refused(client: Client, garden: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(AppError) as refusal:
        search(client, [garden], **changed)
    assert message in str(refusal.value)


def test_unfit_files_are_refused(client: Client, garden: Path, tmp_path: Path) -> None:
    text, twin, large = tmp_path / "notes.png", tmp_path / "garden.png", tmp_path / "large.png"
    text.write_text("No image at all.")
    twin.write_bytes(garden.read_bytes())
    Image.new("L", (2**12 + 1, 2**11)).save(large)
    for files, message in (
        ([garden, text], "notes.png is not an image we read"),
        ([garden, twin], "Two photographs have the same name"),
        ([large], "large.png has 4097 x 2048 pixels"),
        ([garden] * 25, "same name"),
    ):
        with pytest.raises(AppError) as refusal:
            search(client, files)
        assert message in str(refusal.value)


def test_cases_that_are_not_there(server: Server, client: Client, garden: Path) -> None:
    with pytest.raises(AppError, match="There is no case: choose photographs"):
        Client(server.url, verbose=False, analytics_enabled=False).predict(1, api_name="/failures_case")
    search(client, [garden], cases=1)
    for number in (0, 2):
        with pytest.raises(AppError, match=f"There is no case {number}: choose one of 1 to 1."):
            client.predict(number, api_name="/failures_case")


@pytest.mark.parametrize("path", ["/etc/passwd", "http://192.0.2.1/photo.png"])
def test_only_what_was_sent_is_read(server: Server, path: str) -> None:
    files = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
    request = urllib.request.Request(
        f"{server.url}/gradio_api/call/failures",
        json.dumps({"data": [files, "own-tiny", ["bicubic"], 24, 3]}).encode(),
        {"Content-Type": "application/json"},
    )
    event = json.load(urllib.request.urlopen(request, timeout=30))["event_id"]
    answer = urllib.request.urlopen(f"{server.url}/gradio_api/call/failures/{event}", timeout=30).read().decode()
    assert answer.startswith("event: error") and "root:" not in answer
