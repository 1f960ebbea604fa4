"""`python -m analysis categories`: its files, the JSON that scripts rely on, and what is refused."""

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

from analysis.attention.categories import categories
from promptsr.imaging import decode
from promptsr.model.network import PromptSR
from promptsr.zoo.load import load_model

Run = Callable[..., tuple[int, str, str]]
TINY = ("--model", "promptsr-tiny-x4")
FILES = ["agreement.png", "categories.csv", "categories.json", "categories.npz", "categories.png", "categories.svg"]


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "face.png"
    Image.fromarray(data.astronaut()[0:120:3, 150:312:3]).save(path)  # 54 x 40
    return path


def test_files_and_json(face: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    command = [sys.executable, "-m", "analysis", "categories", str(face), *TINY, "--out", str(out), "--segments", "20"]
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["model"], result["image"], result["hr"]) == ("promptsr-tiny-x4", "face.png", False)
    assert (result["width"], result["height"], result["anchors"]) == (54, 40, [5, 7])
    assert 10 <= result["superpixels"] <= 30 and result["finding"] in done.stderr.replace("\n", " ")
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "patches.png"])
    assert json.loads((out / "categories.json").read_text()) == result

    network = load_model(TINY[1]).network
    assert isinstance(network, PromptSR)
    maps = categories(network, decode(face).to_tensor())
    with np.load(out / "categories.npz") as saved:
        np.testing.assert_array_equal(saved["labels"], [each.labels for each in maps.maps])
        assert saved["group"].tolist() == [group for group in (1, 2, 3, 4) for _ in range(4)]
    table = pd.read_csv(out / "categories.csv")
    assert list(table.columns[:6]) == ["group", "block", "kind", "used", "largest", "effective"]
    for row, told, found in zip(table.itertuples(), result["maps"], maps.maps, strict=True):
        assert (row.group, row.block, row.kind) == (found.group, found.block, found.kind)
        assert row.used == told["used"] == len(told["sizes"]) == len(np.unique(found.labels))
        assert row.ari_slic == pytest.approx(told["ari_slic"])
    for name in ("categories.png", "agreement.png", "patches.png"):
        with Image.open(out / name) as figure:
            assert min(figure.size) > 500 and np.asarray(figure.convert("L")).std() > 10
    assert "<svg" in (out / "categories.svg").read_text()


def test_table_and_shrinking(face: Path, tmp_path: Path, analysis: Run) -> None:
    code, out, err = analysis("categories", face, *TINY, "--hr", "--out", tmp_path)
    assert code == 0, err
    assert "ARI SLIC" in out and "untrained" in out and out.count("coarse") == out.count("fine") == 8
    result = json.loads((tmp_path / "categories.json").read_text())
    assert (result["hr"], result["width"], result["height"]) == (True, 13, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "bicubic-x4"), "bicubic-x4 is no PromptSR network, so it has no categories: choose one"),
        ((*TINY, "--segments", "1"), "must lie between 2 and 2160"),
        (("--model", "missing"), "There is no model missing"),
        ((*TINY, "--json", "."), "is a folder: give a file name in it"),
    ],
)
def test_refusals_leave_nothing(
    face: Path, tmp_path: Path, analysis: Run, options: tuple[str, ...], message: str
) -> None:
    code, out, err = analysis("categories", face, *options, "--out", tmp_path / "out")
    assert (code, out) == (2, "") and message in err.replace("\n", " ")
    assert not (tmp_path / "out").exists()
