"""`python -m analysis failures`: the JSON that scripts rely on, the report, and what is refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from promptsr.zoo.load import WEIGHTS
from tests.support.commands import Run

MODEL = ("--model", "bicubic-x4", "--against", "promptsr-tiny-x4")


@pytest.fixture
def failures(analysis: Run) -> Run:
    """Run `python -m analysis failures` in this process, for speed: exit code, stdout, stderr."""
    return partial(analysis, "failures")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()[:128, 150:310]).save(folder / "[red]astronaut.png")
    Image.fromarray(data.chelsea()[60:220, 100:228]).save(folder / "cat.png")
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n")
    return folder


def test_json_and_report(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "analysis", "failures", str(photos), *MODEL, "--scale", "4", "--out", str(out)]
    command += ["--window", "48", "--count", "3", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "1 of 3 images were left out" in done.stderr, done.stderr
    result = json.loads(done.stdout)
    assert {"image", "x", "y", "window", "kind", "loss_db"} <= set(result["cases"][0])
    losses = [case["loss_db"] for case in result["cases"]]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True) and losses[-1] > 0
    for case in result["cases"]:
        width, height = Image.open(photos / case["image"]).size
        assert case["window"] == 48 and 0 <= case["x"] <= width - 48 and 0 <= case["y"] <= height - 48
        assert case["kind"] in ("blur", "artefact") and case["against"] == "promptsr-tiny-x4"
    assert (result["images"], list(result["skipped"])) == (2, ["damaged.png"])
    assert "damaged.png was left out" in done.stderr and str(out / "report.html") in done.stderr
    page = (out / "report.html").read_text()
    assert "failures" in page and "--window 48" in page
    assert len((out / "cases.csv").read_text().splitlines()) == 4


def test_table(failures: Run, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    code, out, err = failures(photos, *MODEL, "-o", tmp_path, "--window", 48, "--per-image", 1, "--json", target)
    assert code == 2, err
    names = sorted(case["image"] for case in json.loads(target.read_text())["cases"])
    assert names == ["[red]astronaut.png", "cat.png"] and all(name in out for name in names)  # brackets and all


def test_no_failure_is_good_news(failures: Run, photos: Path, tmp_path: Path) -> None:
    folder, out_folder = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    shutil.copy(photos / "cat.png", folder)
    models = ("-m", "promptsr-tiny-x4", "-a", "bicubic-x4")
    code, out, err = failures(folder, *models, "-o", out_folder, "--window", 128, "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    assert (result["against"], result["cases"]) == (["bicubic-x4"], [])
    report = (out_folder / "report.html").read_text()
    for text in (err, report):
        assert "promptsr-tiny-x4 loses no window to bicubic-x4" in text and "choose stronger opponents" in text


def test_the_largest_other_network_is_the_default_opponent(
    failures: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "models" / "own.safetensors"
    own.parent.mkdir()
    shutil.copy(WEIGHTS / "promptsr-tiny-x4.safetensors", own)
    cases = (
        ("bicubic-x4", "promptsr-x4"),
        (own, "promptsr-x4"),
        ("promptsr-x4", "promptsr-tiny-x4"),
        ("promptsr-tiny-x4", "promptsr-x4"),
    )
    for model, expected in cases:
        monkeypatch.setenv("PROMPTSR_MODELS", str(own.parent))
        code, out, err = failures(photos, "-m", model, "-o", tmp_path / expected / str(model == own), "--json", "-")
        assert code == 2 and json.loads(out)["against"] == [expected], err


def test_models_of_one_name_go_by_what_was_typed(failures: Run, photos: Path, tmp_path: Path) -> None:
    bundled = WEIGHTS / "promptsr-tiny-x4.safetensors"
    code, out, err = failures(photos, "-m", "promptsr-tiny-x4", "-a", bundled, "-o", tmp_path, "--json", "-")
    assert code == 2, err
    assert set(json.loads(out)["psnr_y"]) == {"promptsr-tiny-x4", str(bundled)}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["PHOTOS", *MODEL, "--window", 500], "500"),
        (["PHOTOS", *MODEL, "--scale", 2], "x4, not x2"),
        (["PHOTOS", "--model", "bicubic-x4", "--against", "bicubic-x4"], "Two models are called bicubic-x4"),
        (["EMPTY", *MODEL], "holds no image"),
        (["PHOTOS", *MODEL, "--lr", "EMPTY"], "holds no image"),
        (["PHOTOS", *MODEL, "--out", "FILE"], "FILE"),
        (["PHOTOS", *MODEL, "--json", "FILE/x.json"], "FILE"),
    ],
)
def test_bad_requests(
    arguments: list[str],
    hint: str,
    refused: Callable[..., None],
    photos: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folders = {"PHOTOS": photos, "EMPTY": tmp_path_factory.mktemp("empty")}
    refused(hint, "failures", "--out", "new", *(folders.get(word, word) for word in arguments))
