"""Receptive fields averaged over a folder: against a known kernel, single images, and what the command writes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch import nn

from analysis.attention.receptive_field import receptive_field, receptive_fields_over_depth
from analysis.attention.receptive_field_study import receptive_field_study
from analysis.common.image_windows import middle
from promptsr.data import load_input
from promptsr.data.pairs import find_pairs
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.sr_model import SRModel
from tests.analysis.attention.conftest import uneven

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of two sizes, and one that is too small."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, shape in (("a", (18, 25, 3)), ("b", (21, 16, 3)), ("c", (18, 25, 3)), ("small", (9, 30, 3))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def test_a_known_kernel_is_found_in_every_image(folder: Path) -> None:
    convolution = nn.Conv2d(3, 12, 3, padding=1)
    model = SRModel("kernel", 2, nn.Sequential(convolution, nn.PixelShuffle(2)))
    study = finish(receptive_field_study([model], find_pairs(folder, None), patch=15))
    # The sum of all twelve outputs at a pixel has this kernel, by colour and place around the pixel.
    kernel = convolution.weight.detach().double().sum(0).abs().sum(0).numpy()
    expected = np.zeros((15, 15))
    expected[6:9, 6:9] = kernel / kernel.sum()
    [field] = study.fields
    np.testing.assert_allclose(field.map, expected, atol=1e-7)
    assert (field.images, list(study.skipped)) == (3, ["small.png"])
    assert (study.table["side"] == study.table["side_low"]).all() and (study.table["side"] <= 3).all()


def test_mean_of_single_images(folder: Path) -> None:
    models = [SRModel("small", 2, uneven()), SRModel("other", 2, uneven(std=0.1))]
    study = finish(receptive_field_study(models, find_pairs(folder, None), patch=16, depth=True))
    images = [middle(load_input(folder / f"{name}.png", 2, False), 16) for name in "abc"]
    assert [image.shape for image in images] == [(1, 3, 16, 16)] * 3
    expected = [field for model in models for field in receptive_fields_over_depth(model, images)]
    assert [(f.model, f.layer, f.images) for f in study.fields] == [(f.model, f.layer, 3) for f in expected]
    for found, field in zip(study.fields, expected, strict=True):
        np.testing.assert_allclose(found.map, field.map, rtol=1e-4, atol=1e-8)
    half = [receptive_field(models[1], [image]).extent(0.5).side for image in images]
    row = study.table[(study.table["model"] == "other") & (study.table["layer"] == "output")].iloc[2]
    assert row["share"] == 0.5 and min(half) <= row["side_low"] <= np.mean(half) <= row["side_high"] <= max(half)


def test_command(analysis: Run, folder: Path, tmp_path: Path) -> None:
    command = ("receptive-field", folder, "--model", "bicubic-x2", "--patch", 10, "--out", tmp_path)
    code, out, err = analysis(*command)
    assert code == 2 and "small.png was left out" in err and "1 of 4 images were left out" in err
    assert "mean of 3 images" in out and "5 px" in out
    result = json.loads((tmp_path / "receptive_field.json").read_text())
    assert (result["width"], result["height"], result["fields"][0]["images"]) == (10, 10, 3)
    table = pd.read_csv(tmp_path / "receptive_field.csv")
    assert table[["side", "side_low", "side_high"]].to_dict("list") == {
        name: [row[name] for row in result["extents"]] for name in ("side", "side_low", "side_high")
    }
    (folder / "small.png").rename(tmp_path / "small.png")
    try:
        assert analysis(*command, "--hr", "--json", "-", "--patch", 8)[0] == 0
    finally:
        (tmp_path / "small.png").rename(folder / "small.png")


def test_refusals(folder: Path) -> None:
    model = SRModel("small", 2, uneven())
    with pytest.raises(UserError, match="patch must be 1 pixel or more"):
        finish(receptive_field_study([model], [], patch=0))
    with pytest.raises(UserError, match=r"No image could be studied.*less than 40 pixels"):
        finish(receptive_field_study([model], find_pairs(folder, None), patch=40))
