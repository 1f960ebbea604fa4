"""`python -m analysis receptive-field`: its files, the JSON that scripts rely on, and what is refused."""

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

from analysis.attention.receptive_field import receptive_field
from promptsr.imaging import decode
from promptsr.zoo.load import load_model

Run = Callable[..., tuple[int, str, str]]
MODELS = ("--model", "bicubic-x4", "--model", "promptsr-tiny-x4")


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "face.png"
    Image.fromarray(data.astronaut()[0:120:3, 150:312:3]).save(path)  # 54 x 40
    return path


def test_files_and_json(face: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    command = [sys.executable, "-m", "analysis", "receptive-field", str(face), *MODELS, "--out", str(out)]
    done = subprocess.run([*command, "--depth", "--json", "-"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["width"], result["height"], result["hr"]) == (54, 40, False)
    names = [f"group {group}, block {block}" for group in (1, 2, 3, 4) for block in (1, 2)]
    layers = [("bicubic-x4", "output"), *(("promptsr-tiny-x4", name) for name in [*names, "output"])]
    assert [(field["model"], field["layer"]) for field in result["fields"]] == layers
    bicubic, promptsr = (
        receptive_field(load_model(name), [decode(face).to_tensor()]) for name in (MODELS[1], MODELS[3])
    )
    assert result["fields"][0]["extents"][3] == {"share": 0.99, "side": 5, "area": 25 / (54 * 40)}
    assert result["fields"][-1]["extents"][3]["side"] == promptsr.extent(0.99).side > 20
    assert sorted(path.suffix for path in out.iterdir()) == [".csv", ".json", ".npz", ".png"]
    assert json.loads((out / "receptive_field.json").read_text()) == result
    with np.load(out / "receptive_field.npz") as saved:
        np.testing.assert_allclose(saved["maps"][0], bicubic.map, atol=1e-9)
        assert saved["layer"].tolist() == [layer for _, layer in layers] and len(saved["model"]) == 10
    table = pd.read_csv(out / "receptive_field.csv")
    assert list(table.columns) == ["model", "layer", "share", "side", "area"] and len(table) == 40
    with Image.open(out / "receptive_field.png") as figure:
        assert min(figure.size) > 300 and np.asarray(figure.convert("L")).std() > 10


def test_table_and_shrinking(face: Path, tmp_path: Path, analysis: Run) -> None:
    code, out, err = analysis("receptive-field", face, *MODELS[:2], "--hr", "--out", tmp_path)
    assert code == 0, err
    assert "bicubic-x4" in out and "5 px" in out and "99 %" in out
    result = json.loads((tmp_path / "receptive_field.json").read_text())
    assert (result["hr"], result["width"], result["height"]) == (True, 13, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*MODELS[:2], "--depth"), "--depth looks into the blocks of a PromptSR: add one"),
        (("--model", "missing"), "There is no model missing"),
        ((*MODELS, "--json", "."), "is a folder: give a file name in it"),
    ],
)
def test_refusals_leave_nothing(
    face: Path, tmp_path: Path, analysis: Run, options: tuple[str, ...], message: str
) -> None:
    code, out, err = analysis("receptive-field", face, *options, "--out", tmp_path / "out")
    assert (code, out) == (2, "") and message in err.replace("\n", " ")
    assert not (tmp_path / "out").exists()
