"""`python -m analysis causes`: its files and numbers, with and without HR image, and what is refused."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from skimage import data

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--around", 16, "--window", 8)
FILES = {"causes.png", "causes.csv", "interventions.csv", "causes.json"}


@pytest.fixture
def causes(analysis: Run) -> Run:
    """Runs `python -m analysis causes` in this process: exit code, stdout, stderr."""
    return partial(analysis, "causes")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Part of a face, 96 x 80 pixels, whose name is no formula."""
    path = tmp_path_factory.mktemp("photos") / "a$b$.png"
    Image.fromarray(data.astronaut()[60:140, 180:276]).save(path)
    return path


def test_two_models_with_hr(causes: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    models = ("-m", "promptsr-tiny-x4", "-m", "bicubic-x4")
    code, stdout, err = causes(photo, *models, "--hr", *SMALL, "--x", 48, "--y", 40, "--other", photo, "-o", out)
    assert code == 0, err
    assert {path.name for path in out.iterdir()} == FILES and "promptsr-tiny-x4" in stdout
    table = pd.read_csv(out / "causes.csv")
    assert table.groupby(["model", "way"], sort=False).size().tolist() == [4] * 4
    assert table[["x", "y"]].drop_duplicates().values.tolist() == [[5, 3], [13, 3], [5, 11], [13, 11]]
    assert set(table) >= {"change", "psnr_lost", "detector_lost", "lam", "attribution", "width", "height"}
    inside = pd.read_csv(out / "interventions.csv")
    assert set(inside["model"]) == {"promptsr-tiny-x4"} and len(inside) == 8
    assert inside["intervention"][0].startswith("control") and "prompts: their mean" in err
    result = json.loads((out / "causes.json").read_text())
    assert result["window"] == {"x": 48, "y": 40, "size": 8} and result["hr"] and result["side"] == 8
    assert result["patch"] == {"x": 5, "y": 3, "width": 16, "height": 16}
    assert [(row["model"], row["way"]) for row in result["squares"]][::3] == [
        ("promptsr-tiny-x4", "blurred"),
        ("bicubic-x4", "turned"),
    ]
    assert all(row["helping"] + row["hurting"] <= row["squares"] == 4 for row in result["squares"])
    assert all(row["helping"] > 0 for row in result["squares"])  # that of the window itself
    assert result["maps"][1]["model"] == "bicubic-x4" and len(result["interventions"]) == 8
    with Image.open(out / "causes.png") as figure:
        assert min(figure.size) > 1000


def test_one_model_without_hr(causes: Run, photo: Path, tmp_path: Path) -> None:
    table = tmp_path / "out" / "interventions.csv"
    table.parent.mkdir()
    table.write_text("those of an earlier run")
    code, stdout, err = causes(photo, "-m", "bicubic-x4", *SMALL, "-o", table.parent, "--json", "-")
    assert code == 0, err
    result = json.loads(stdout)
    assert {path.name for path in table.parent.iterdir()} == FILES
    assert table.read_text().strip() == "model,intervention,change,psnr_lost,detector_lost"  # no rows
    assert result["window"] == {"x": 188, "y": 156, "size": 8}  # the middle
    assert result["interventions"] == [] and not result["hr"]
    for row in result["squares"]:
        assert row["largest_help"] is row["helping"] is None and row["changing"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--square", 0), "side of a square must be 1 to 16"),
        (("--x", 1000), "does not lie in the"),
        (("--other", "small.png"), "gives 9 x 16 pixels, but the input has 16 x 16"),
    ],
)
def test_what_is_refused(causes: Run, photo: Path, tmp_path: Path, arguments: tuple[object, ...], message: str) -> None:
    Image.open(photo).crop((0, 0, 9, 20)).save(tmp_path / "small.png")
    given = [tmp_path / each if each == "small.png" else each for each in arguments]
    code, _, err = causes(photo, "-m", "bicubic-x4", *SMALL, *given, "-o", tmp_path / "out")
    assert code == 2 and message in " ".join(err.split())
