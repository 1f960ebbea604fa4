"""`python -m analysis stability`: the JSON that scripts rely on, the tables it follows from, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]
TINY = ("--model", "promptsr-tiny-x4")


def test_files(analysis: Run, face: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    options = ("--patch", 16, "--draws", 1, "--step", "1e-3", "--out", tmp_path)
    code, out, err = analysis("stability", face, "--model", small_checkpoint, *options)
    assert code == 0, err
    assert "block 2.2" in out and "8-bit values of the result" in err
    names = ["stability.csv", "stability.json", "stability.pdf", "stability.png", "stability_steps.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    result = json.loads((tmp_path / "stability.json").read_text())
    assert (result["width"], result["height"], result["step"], result["draws"]) == (16, 16, 1e-3, 1)
    table = pd.read_csv(tmp_path / "stability.csv")
    assert table["model"].unique().tolist() == ["small", "small, untrained"]
    assert table["change"].tolist() == pytest.approx([row["change"] for row in result["layers"]])
    assert table[table["layer"] == "encoder"]["change"].gt(0).all()
    with Image.open(tmp_path / "stability.png") as figure:
        assert min(figure.size) > 1500 and np.asarray(figure.convert("L")).std() > 10


@pytest.mark.parametrize(
    ("hint", "arguments"),
    [
        ("is not a PromptSR", ["--model", "bicubic-x4"]),
        ("draws must be 1 or more", [*TINY, "--draws", 0]),
        ("FILE", [*TINY, "--out", "FILE"]),
    ],
)
def test_bad_requests(refused: Callable[..., None], face: Path, hint: str, arguments: list[object]) -> None:
    refused(hint, "stability", face, "--out", "new", *arguments)
