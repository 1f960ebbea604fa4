"""`python -m analysis lam-study`: the JSON that scripts rely on, the table it follows from, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

Run = Callable[..., tuple[int, str, str]]
MODELS = ("--model", "bicubic-x4", "--model", "promptsr-tiny-x4")
SMALL = ("--patch", "24", "--per-image", "1", "--steps", "2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()[:128, 150:310]).save(folder / "face.png")
    Image.fromarray(data.chelsea()[60:220, 100:228]).save(folder / "cat.png")
    Image.new("RGB", (128, 128)).save(folder / "flat.png")
    return folder


def test_json_csv_and_figure(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    command = [sys.executable, "-m", "analysis", "lam-study", str(photos), *MODELS, *SMALL, "--out", str(out)]
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "flat.png was left out" in done.stderr and list(result["skipped"]) == ["flat.png"]
    assert (result["images"], result["regions"], result["patch"]) == (2, 2, 24)
    bicubic, promptsr = result["means"]
    assert bicubic["low"] <= bicubic["di"] <= bicubic["high"] < promptsr["low"] <= promptsr["di"]
    [difference] = result["differences"]
    assert difference["difference"] == pytest.approx(bicubic["di"] - promptsr["di"])
    assert sorted(path.name for path in out.iterdir()) == ["di.png", "finished", "study.csv", "study.md"]
    table = pd.read_csv(out / "study.csv")
    assert list(table.columns) == ["image", "x", "y", "model", "di", "completeness_gap", "psnr_y", "seconds"]
    by_model = table.groupby("model")["di"].mean()
    assert by_model["promptsr-tiny-x4"] == pytest.approx(promptsr["di"])
    written = (out / "study.md").read_text()
    assert "| model | mean DI | bicubic-x4 minus it | gap above 5 % |" in written
    assert f"| bicubic-x4 | {bicubic['di']:.2f} ({bicubic['low']:.2f} to {bicubic['high']:.2f}) |  |" in written
    assert f"| promptsr-tiny-x4 | {promptsr['di']:.2f} (" in written
    told = f"{difference['difference']:+.2f} ({difference['low']:+.2f} to {difference['high']:+.2f})"
    inexact = int((table.query("model == 'promptsr-tiny-x4'")["completeness_gap"].abs() > 0.05).sum())
    assert f" | {told} | {inexact} of 2 |" in written
    assert "2 windows of 16 x 16 output pixels of 2 images, in inputs of 24 x 24 pixels; up to 2 steps" in written
    with Image.open(out / "di.png") as figure:
        assert min(figure.size) > 300 and np.asarray(figure.convert("L")).std() > 10


def test_table(photos: Path, tmp_path: Path, analysis: Run) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "cat.png").write_bytes((photos / "cat.png").read_bytes())
    code, out, err = analysis("lam-study", tmp_path / "one", *MODELS[:2], *SMALL, "-o", tmp_path / "out")
    assert code == 0, err
    table = pd.read_csv(tmp_path / "out" / "study.csv")
    assert "bicubic-x4" in out and f"{table['di'][0]:.2f}" in out
    assert "unknown" in out and "nan" not in out  # the interval of one image


@pytest.mark.parametrize(
    ("hint", "arguments"),
    [
        ("No image could be studied", ["--patch", 64]),
        ("at least 1 step", ["--steps", 0]),
        ("FILE", ["--out", "FILE"]),
        ("FILE", ["--json", "FILE/x.json"]),
    ],
)
def test_bad_requests(refused: Callable[..., None], photos: Path, hint: str, arguments: list[object]) -> None:
    refused(hint, "lam-study", photos, *MODELS, "--out", "new", *arguments)
