"""`python -m analysis spectrum`: the JSON that scripts rely on, the tables it follows from, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

Run = Callable[..., tuple[int, str, str]]
MODELS = ("--model", "bicubic-x4", "--model", "promptsr-tiny-x4")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()[:96, 150:262]).save(folder / "face.png")
    return folder


def test_files(analysis: Run, photos: Path, tmp_path: Path) -> None:
    code, out, err = analysis("spectrum", photos, *MODELS, "--out", tmp_path)
    assert code == 0, err
    assert "bicubic" in out and "invented" in out and "nan" not in out
    names = ["finished", "spectrum.csv", "spectrum.json", "spectrum.pdf", "spectrum.png", "spectrum_images.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    result = json.loads((tmp_path / "spectrum.json").read_text())
    assert (result["images"], result["models"], result["scale"]) == (1, ["bicubic-x4", "promptsr-tiny-x4"], 4)
    assert result["means"][0]["above_low"] is None  # of one image
    table = pd.read_csv(tmp_path / "spectrum.csv")
    assert len(table) == 32 and table["error"].tolist() == pytest.approx([row["error"] for row in result["bands"]])
    assert pd.read_csv(tmp_path / "spectrum_images.csv")["mse"].tolist() == pytest.approx(
        [row["mse"] for row in result["means"]]
    )
    with Image.open(tmp_path / "spectrum.png") as figure:
        assert min(figure.size) > 900 and np.asarray(figure.convert("L")).std() > 10


@pytest.mark.parametrize(
    ("hint", "arguments"),
    [
        ("compare models of one", [*MODELS, "--model", "bicubic-x2"]),
        ("FILE", [*MODELS, "--out", "FILE"]),
        ("FILE", [*MODELS, "--json", "FILE/x.json"]),
    ],
)
def test_bad_requests(refused: Callable[..., None], photos: Path, hint: str, arguments: list[object]) -> None:
    refused(hint, "spectrum", photos, "--out", "new", *arguments)
