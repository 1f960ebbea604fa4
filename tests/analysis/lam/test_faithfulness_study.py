"""The study of faithfulness and its command: means, intervals, resumption, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

from analysis.common.bootstrap import bootstrap_interval
from analysis.lam.faithfulness_study import MEASURES, FaithfulnessStudy

Run = Callable[..., tuple[int, str, str]]


def made(values: list[float], measure: str) -> pd.Series:
    """Return the row of `means` for two regions of each image."""
    regions = pd.DataFrame({"image": np.repeat(["a", "b", "c"], 2), "x": 0, "y": 0, "model": "mine"})
    regions[list(MEASURES)] = 0.5
    regions[measure] = values
    study = FaithfulnessStudy(("mine",), 4, 16, 64, 0, regions, pd.DataFrame(), {})
    return study.means.set_index("measure").loc[measure]


def test_means_are_over_images_and_of_ratios_geometric() -> None:
    plain = made([1, 3, 5, 5, 0, 2], "infidelity")
    assert (plain.value, plain.images) == (pytest.approx((2 + 5 + 1) / 3), 3)
    assert (plain.low, plain.high) == pytest.approx(bootstrap_interval(np.array([2, 5, 1.0])))
    ratio = made([1, 4, 2, 2, np.nan, np.inf], "far / distance")
    assert (ratio.value, ratio.images) == (pytest.approx(2), 2)  # a window without a value does not count
    nothing = made([np.nan] * 6, "far / random")
    assert np.isnan(nothing.value) and nothing.images == 0


def test_the_command_writes_and_resumes(analysis: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(data.astronaut()[20:164, 120:264]).save(folder / "face.png")
    Image.new("RGB", (144, 144), (90, 90, 90)).save(folder / "flat.png")
    arguments = ("lam-check", folder, "-m", "bicubic-x4", "--per-image", "1", "--patch", "24", "-o", tmp_path / "out")
    code, out, err = analysis(*arguments, "--json", "-")
    assert code == 0, err
    found = json.loads(out)
    assert found["models"] == ["bicubic-x4"] and found["regions"] == 1 and list(found["skipped"]) == ["flat.png"]
    means = {row["measure"]: row for row in found["means"]}
    assert list(means) == list(MEASURES)
    # Bicubic interpolation has no weights to shuffle, and reads nothing far from the window.
    assert means["sanity"]["value"] == pytest.approx(1) and means["far / distance"]["value"] is None
    assert means["all / random"]["value"] > 3 and means["infidelity"]["value"] < 0.1
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["check.csv", "check.md", "check.png", "curves.csv", "finished"]
    text = (tmp_path / "out" / "check.md").read_text()
    assert "| far / distance | none |" in text and "| sanity | 1.00 |" in text
    curves = pd.read_csv(tmp_path / "out" / "curves.csv")
    whole = curves[(curves["part"] == "all") & (curves["way"] == "deletion") & (curves["share"] == 1)]
    assert whole["change"].to_numpy() == pytest.approx(1)
    with Image.open(tmp_path / "out" / "check.png") as figure:
        assert np.asarray(figure.convert("L")).std() > 10
    kept = next((tmp_path / "out" / "finished").iterdir())
    before = kept.stat().st_mtime_ns
    code, again, _ = analysis(*arguments, "--json", "-")
    assert code == 0 and json.loads(again) == found and kept.stat().st_mtime_ns == before


def test_impossible_questions_are_refused(analysis: Run, tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()[:96, :96]).save(tmp_path / "a.png")
    for arguments, message in (
        (("-m", "bicubic-x4", "-m", "bicubic-x4"), "Two models are called"),
        (("-m", "bicubic-x4", "-m", "bicubic-x2"), "scale"),
        (("-m", "bicubic-x4", "--patch", "4"), "too small for a window"),
    ):
        code, _, err = analysis("lam-check", tmp_path, *arguments, "-o", tmp_path / "out")
        assert code == 2 and message in " ".join(err.split())
