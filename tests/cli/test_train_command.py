"""`promptsr train`: from a recipe to weights that upscale, and what it refuses before anything is written."""

import csv
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from promptsr import load_model
from promptsr.imaging import Picture, encode
from tests.support.commands import Run

RECIPE = """
model: {preset: promptsr-tiny, scale: 2, channels: 4, groups: 1, window_size: 4, anchor_stride: 4, heads: 1}
data: HR
validation: HR
steps: 3
batch: 2
patch: 8
"""


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is run, with a recipe and an image."""
    rng = np.random.default_rng(2)
    encode(Picture(rng.integers(0, 256, (70, 70, 3), dtype=np.uint8)), tmp_path / "HR" / "noise.png")
    encode(Picture(np.zeros((4, 9, 3), np.uint8)), tmp_path / "LR" / "small.png")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.setenv("PROMPTSR_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_recipe_makes_a_model_that_upscales(
    promptsr: Run, promptsr_process: Callable[..., CompletedProcess[str]], folder: Path
) -> None:
    (folder / "HR" / "cut.png").write_bytes((folder / "HR" / "noise.png").read_bytes()[:700])
    done = promptsr_process("train", "recipe.yaml", "steps=4", "validation=null", "--out", "run")
    assert done.returncode == 0, done.stderr
    (folder / "HR" / "cut.png").unlink()
    assert "Note: cut.png is damaged" in done.stderr and "It is left out." in done.stderr
    assert "Done: run/final.safetensors" in done.stderr
    with (folder / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4"] and float(rows[0]["images_per_second"]) > 0

    code, out, errors = promptsr("train", "recipe.yaml", "--out", "run")
    assert (code, out) == (2, "") and "go on with --resume" in errors
    code, _, errors = promptsr("train", "recipe.yaml", "--out", "scored")
    assert code == 0 and "validation PSNR-Y" in errors, errors
    best = folder / "scored" / "best.safetensors"
    assert load_model(best).scale == 2
    assert promptsr("upscale", "HR/noise.png", "-o", "big.png", "-m", best)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["nowhere.yaml"], "There is no recipe nowhere.yaml"),
        (["recipe.yaml", "stepz=3"], "no setting stepz"),
        (["recipe.yaml", "data=nowhere"], "nowhere is not a folder"),
        (["recipe.yaml", "device=cuda:99"], "cuda:99"),
        (["recipe.yaml", "lr=LR"], "name folders of LR images by data_lr"),
        (["recipe.yaml", "data_lr=LR"], "LR has no LR image called noise.png"),
        (["recipe.yaml", "validation=LR"], "is smaller than 5 pixels: leave it out"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    arguments: list[str], hint: str, folder: Path, refused: Callable[..., str]
) -> None:
    assert hint in " ".join(refused("train", *arguments, "--out", "run").split())


def test_an_out_folder_that_is_a_file_is_refused(folder: Path, refused: Callable[..., str]) -> None:
    assert "recipe.yaml is a file" in refused("train", "recipe.yaml", "--out", "recipe.yaml")
