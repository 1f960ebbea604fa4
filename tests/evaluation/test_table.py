"""The table: every printed number beside the measured ones, doubt marked, as text, JSON and files."""

import csv
import json
from dataclasses import asdict
from math import inf
from pathlib import Path

import pytest

from promptsr.evaluation.benchmark_sets import BenchmarkSet
from promptsr.evaluation.evaluate import Evaluation, ImageScore, LeftOut
from promptsr.evaluation.measure import Measured
from promptsr.evaluation.table import FILES, TableOne, table_one, write_table
from promptsr.paper.tables import DATASETS, published

MADE = BenchmarkSet("Kodak24", [(Path("a.png"), None)])
GIVEN = [BenchmarkSet(name, [(Path("a.png"), Path("b.png"))]) for name in DATASETS]


def build(scale: int, sets: list[BenchmarkSet], self_ensemble: bool = False) -> TableOne:
    scores = {each.name: Evaluation("ours", scale, [ImageScore("a.png", 31.2345, 0.87654)]) for each in sets}
    return table_one([Measured("ours", 1_234_567, scores)], sets, scale, self_ensemble)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_printed_number_is_there_and_doubt_is_marked(scale: int) -> None:
    first, *lines = build(scale, [*GIVEN, MADE]).lines
    assert list(first) == ["model", "figures", "parameters", *DATASETS, "Kodak24"]
    assert first["figures"] == "measured" and first["Urban100"] == first["Kodak24"] == "31.23 / 0.8765"
    assert first["parameters"] == "1,235K"
    rows = published("I", scale=scale, clear_only=False)
    assert [line["model"] for line in lines] == list(rows["method"].unique()) and len(lines) == 19 - (scale == 3)
    for line in lines:
        assert line["figures"] == "published" and line["Kodak24"] == "–"
        of_method = rows[rows["method"] == line["model"]].set_index(["dataset", "metric"])
        for name in DATASETS:
            cell = line[name].split(" / ") if line[name] != "–" else ["–", "–"]
            for text, metric in zip(cell, ("psnr_y", "ssim_y"), strict=True):
                row = of_method.loc[name, metric]
                if row["status"] == "clear":
                    assert float(text) == row["value"]
                else:
                    assert text == {"unclear": f"{row['printed']}?", "absent": "–"}[row["status"]]
        size = of_method.loc["", "parameters"]
        if size["status"] == "clear":
            assert float(line["parameters"].rstrip("K").replace(",", "")) * 1000 == size["value"]
        else:
            assert line["parameters"].endswith("?")


def test_known_cells() -> None:
    lines = {line["model"]: line for line in build(4, GIVEN).lines}
    assert lines["IMDN"]["Set5"] == "32.21 / 0.8948"
    assert lines["CARN"]["Set5"] == "32.15? / 0.8937"
    assert lines["PromptSR"]["Urban100"].startswith("27.02 / ")
    assert build(2, GIVEN).lines[5]["Manga109"] == "–"  # LatticeNet: the paper prints a dash


def test_only_the_sets_that_were_measured_are_columns() -> None:
    table = build(4, GIVEN[:1])
    assert {tuple(line) for line in table.lines} == {("model", "figures", "parameters", "Set5")}
    assert all(list(row.sets) == ["Set5"] for row in table.printed)


def test_a_scale_that_the_paper_does_not_have_has_no_printed_rows() -> None:
    table = build(8, [MADE])
    assert [line["model"] for line in table.lines] == ["ours"] and "Published" not in table.caption


def test_the_caption_says_what_was_done() -> None:
    plain, plus = build(4, GIVEN), build(4, [*GIVEN, MADE], self_ensemble=True)
    assert "Table I of W. Liu et al." in plain.caption and "x4" in plain.caption
    assert "self-ensemble" not in plain.caption and "made here" not in plain.caption
    assert "self-ensemble" in plus.caption and "LR images of Kodak24: bicubic, made here." in plus.caption


def test_json_has_all_of_it() -> None:
    table = build(4, GIVEN[:2], self_ensemble=True)
    result = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert (result["scale"], result["self_ensemble"]) == (4, True)
    image = {"name": "a.png", "psnr_y": 31.2345, "ssim_y": 0.87654}
    scores = {"images": [image], "left_out": [], "notes": [], "perfect": 0, "psnr_y": 31.2345, "ssim_y": 0.87654}
    assert result["measured"] == [{"model": "ours", "parameters": 1_234_567, "sets": {"Set5": scores, "Set14": scores}}]
    assert result["published"] == [asdict(row) for row in table.printed]
    imdn = next(row for row in result["published"] if row["method"] == "IMDN")
    assert imdn["sets"]["Set5"]["psnr_y"] == {"value": 32.21, "printed": "32.21", "status": "clear"}


def test_files(tmp_path: Path) -> None:
    table = build(4, GIVEN[:1])
    write_table(table, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert rows["ours"] == {
        "model": "ours",
        "figures": "measured",
        "parameters": "1234567",
        "Set5 psnr_y": "31.2345",
        "Set5 ssim_y": "0.87654",
        "Set5 perfect": "0",
    }
    assert rows["CARN"] == {**rows["CARN"], "parameters": "", "Set5 psnr_y": "", "Set5 ssim_y": "0.8937"}
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| ours | measured | 1,235K | 31.23 / 0.8765 |" in text and table.caption in text
    assert text.count("\n| ") == 1 + 1 + 19


def test_perfect_and_lost_images_are_told_apart(tmp_path: Path) -> None:
    page, photograph, lost = ImageScore("b.png", inf, 1.0), ImageScore("a.png", 30.0, 0.8), (LeftOut("c.png", "c.png"),)
    rows = [
        Measured("first", 1, {"Set5": Evaluation("first", 4, [photograph, page]), "Set14": Evaluation("", 4, [page])}),
        Measured(
            "other", 1, {"Set5": Evaluation("other", 4, [photograph], lost), "Set14": Evaluation("", 4, [], lost)}
        ),
    ]
    table = table_one(rows, GIVEN[:2], 4, False)
    first, other = table.lines[:2]
    assert (first["Set5"], first["Set14"]) == ("30.00 / 0.9000", "∞ / 1.0000")
    assert (other["Set5"], other["Set14"]) == ("30.00 / 0.8000", "–")
    for text in (
        "Set5, first: 1 of 2 is perfect: the mean PSNR is of the other.",
        "Set14, first: 1 of 1 is perfect.",
        "Set5, other: Not measured: c.png.",
    ):
        assert text in table.caption
    write_table(table, tmp_path)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        row, last, *_ = csv.DictReader(file)
    assert (row["Set5 psnr_y"], row["Set5 perfect"], row["Set14 psnr_y"], row["Set14 perfect"]) == (
        "30.0",
        "1",
        "",
        "1",
    )
    assert (last["Set14 psnr_y"], last["Set14 ssim_y"], last["Set14 perfect"]) == ("", "", "0")
    assert "inf" not in (tmp_path / "table.csv").read_text() and table.caption in (tmp_path / "table.md").read_text()
