"""`python -m analysis similarity`: the JSON that scripts rely on, the table it follows from, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()[:80, 150:246]).save(folder / "face.png")
    return folder


def test_files(analysis: Run, photos: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    options = ("--model", small_checkpoint, "--untrained", "--points", 300, "--out", tmp_path)
    code, out, err = analysis("similarity", photos, *options)
    assert code == 0, err
    assert "groups.1" in out and "nan" not in out
    names = ["finished", "similarity.csv", "similarity.json", "similarity.pdf", "similarity.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    result = json.loads((tmp_path / "similarity.json").read_text())
    assert (result["images"], result["points"], len(result["layers"])) == (1, 300, 10)
    assert [layer["model"] for layer in result["layers"]] == ["small"] * 5 + ["small, untrained"] * 5
    table = pd.read_csv(tmp_path / "similarity.csv")
    assert table["cka"][0] == pytest.approx(result["cka"][0][1]) and len(table) == 45
    with Image.open(tmp_path / "similarity.png") as figure:
        assert min(figure.size) > 1000 and np.asarray(figure.convert("L")).std() > 10


@pytest.mark.parametrize(
    ("hint", "arguments"),
    [
        ("bicubic-x4 has no module that returns features", ["--model", "bicubic-x4"]),
        ("no module like nothing", ["--model", "promptsr-tiny-x4", "--layer", "nothing"]),
        ("FILE", ["--model", "promptsr-tiny-x4", "--out", "FILE"]),
    ],
)
def test_bad_requests(refused: Callable[..., None], photos: Path, hint: str, arguments: list[object]) -> None:
    refused(hint, "similarity", photos, "--out", "new", *arguments)
