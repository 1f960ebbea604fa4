"""Mean diffusion indices over images: the statistics by other means, and networks whose order is known."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from analysis.common.bootstrap import bootstrap_interval
from analysis.common.each_image import ImageStep
from analysis.common.image_windows import Region
from analysis.lam.attribution import PathSettings
from analysis.lam.method import LocalAttributionMap
from analysis.lam.study import LamStudy, study
from promptsr.data import load_pair
from promptsr.data.pairs import find_pairs
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.imaging.resize import upscale
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.sr_model import SRModel

SCALE, SIDE = 2, 24
QUICK = PathSettings(steps=3)


class Blurring(nn.Module):
    """Bicubic interpolation of an image that is mixed with its mean over squares of `reach` pixels."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(reach, 1, reach // 2, count_include_pad=False)
        self.batches: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        self.batches.append(len(image))
        return upscale(0.5 * (image + self.mean(image)), SCALE)


def model(reach: int) -> SRModel:
    return SRModel(f"reach-{reach}", SCALE, Blurring(reach))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    pictures = {"face": data.astronaut()[40:140, 170:280], "cat": data.chelsea()[90:190, 120:220]}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.fromarray(data.coffee()[100:200, 200:330]).save(folder / "coffee.png")
    return folder


def result(folder: Path, models: Sequence[SRModel], per_image: int = 2, seed: int = 0) -> LamStudy:
    pairs = find_pairs(folder, None)
    return finish(study(models, pairs, per_image=per_image, window=12, patch=SIDE, settings=QUICK, seed=seed))


def by_hand(rows: list[tuple[str, int, str, float]]) -> LamStudy:
    """A study of these (image, x, model, DI)."""
    frame = pd.DataFrame(rows, columns=["image", "x", "model", "di"]).assign(y=0, completeness_gap=0.0)
    return LamStudy(("a", "b"), 2, 16, 64, 0, PathSettings(), frame, {})


def test_networks_rank_by_how_far_they_look(folder: Path) -> None:
    found = result(folder, [model(7), model(3), model(13)])
    mean = found.means.set_index("model")["di"]
    assert mean["reach-3"] < mean["reach-7"] < mean["reach-13"]
    pairs = found.differences
    assert list(zip(pairs["model"], pairs["against"], strict=True)) == [
        ("reach-7", "reach-3"),
        ("reach-7", "reach-13"),
        ("reach-3", "reach-13"),
    ]
    assert pairs["low"][0] > 0 and pairs["high"][1] < 0 and pairs["high"][2] < 0  # sure of all three


def test_rows_are_those_of_single_maps(folder: Path) -> None:
    models = [model(3), model(7)]
    found = result(folder, models, per_image=2)
    assert list(found.regions.columns) == ["image", "x", "y", "model", "di", "completeness_gap", "psnr_y", "seconds"]
    assert len(found.regions) == 3 * 2 * 2
    row = found.regions[(found.regions["image"] == "cat.png") & (found.regions["model"] == "reach-7")].iloc[1]
    hr, lr = load_pair(folder / "cat.png", SCALE)
    top, left = (min(max((row[axis] + 6) // 2 - 12, 0), 50 - 24) for axis in ("y", "x"))
    patch = lr[..., top : top + 24, left : left + 24]
    region = Region(row["x"] - 2 * left, row["y"] - 2 * top, 12)
    alone = LocalAttributionMap(models[1]).explain(patch, region, QUICK)
    assert row["di"] == pytest.approx(alone.di, rel=1e-6)
    assert row["completeness_gap"] == pytest.approx(alone.completeness_gap, rel=1e-6)
    sr = region.crop(quantize(models[1](patch)))
    true = hr[..., row["y"] : row["y"] + 12, row["x"] : row["x"] + 12]
    assert row["psnr_y"] == pytest.approx(psnr_y(sr, true, 0), rel=1e-6)


def test_regions_depend_on_the_seed_and_the_image_alone(folder: Path, tmp_path: Path) -> None:
    def places(where: Path, seed: int = 0) -> set[tuple[object, ...]]:
        return set(result(where, [model(3)], 2, seed).regions[["image", "x", "y"]].itertuples(index=False, name=None))

    everything = places(folder)
    assert places(folder) == everything != places(folder, seed=1)
    (tmp_path / "cat.png").write_bytes((folder / "cat.png").read_bytes())
    assert places(tmp_path) == {place for place in everything if place[0] == "cat.png"}


def test_bootstrap_of_many_values_is_the_normal_interval() -> None:
    values = np.random.default_rng(4).gamma(2, 3, size=400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 400**0.5
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert bootstrap_interval(values) == (low, high) != bootstrap_interval(values, seed=1)


def test_bootstrap_by_hand() -> None:
    # Of two values, a quarter of the resamples is the lower one twice, a quarter the higher one twice.
    assert bootstrap_interval(np.array([1.0, 5.0])) == (1, 5)
    assert bootstrap_interval(np.array([3.0, 3.0, 3.0])) == (3, 3)
    assert np.isnan(bootstrap_interval(np.array([3.0]))).all() and np.isnan(bootstrap_interval(np.array([]))).all()


def test_images_weigh_the_same_and_are_what_is_resampled() -> None:
    rows = [("one", x, name, 10.0 + (name == "b")) for x in range(9) for name in "ab"]
    rows += [("two", 0, "a", 20.0), ("two", 0, "b", 23.0)]
    found = by_hand(rows)
    assert found.means.to_dict("records") == [
        {"model": "a", "di": 15.0, "low": 10.0, "high": 20.0},
        {"model": "b", "di": 17.0, "low": 11.0, "high": 23.0},
    ]
    assert found.differences.to_dict("records") == [
        {"model": "a", "against": "b", "difference": -2.0, "low": -3.0, "high": -1.0}
    ]


def test_maps_with_a_large_gap_are_counted() -> None:
    found = by_hand([("one", x, name, 10.0) for x in range(3) for name in "ab"])
    found.regions["completeness_gap"] = [0.04, 0.06, -0.051, np.nan, 0.0, -0.05]
    assert found.inexact == {"a": 1, "b": 1} == found.to_dict()["inexact"]


def test_a_region_without_a_map_counts_for_no_model() -> None:
    rows = [("one", 0, "a", 1.0), ("one", 0, "b", float("nan")), ("one", 9, "a", 3.0), ("one", 9, "b", 4.0)]
    found = by_hand(rows)
    assert found.means["di"].tolist() == [3, 4]
    assert np.isnan(found.means["low"]).all()  # one image says nothing about others
    assert found.to_dict()["images"] == 1


def test_images_that_do_not_serve_are_skipped(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    Image.new("RGB", (90, 90), "grey").save(tmp_path / "flat.png")
    Image.fromarray(data.coffee()[:40, :90]).save(tmp_path / "small.png")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n")
    found = result(tmp_path, [model(3)])
    assert list(found.skipped) == ["damaged.png", "flat.png", "small.png"]
    assert "textured" in found.skipped["flat.png"] and "45 x 20" in found.skipped["small.png"]
    summary = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (summary["images"], summary["regions"], summary["patch"]) == (3, 6, SIDE)
    wrong = [(folder / "cat.png", folder / "cat.png")]
    with pytest.raises(UserError, match=r"No image could be studied: cat\.png \(\d+ x \d+\) is not cat\.png"):
        finish(study([model(3)], wrong, patch=SIDE))


def test_progress_and_cancel(folder: Path) -> None:
    watched = model(3)
    assert isinstance(watched.network, Blurring)
    work: Generator[ImageStep, None, LamStudy] = study(
        [watched], find_pairs(folder, None), per_image=1, window=12, patch=SIDE, settings=PathSettings(20), at_once=4
    )
    first, second = next(work), next(step for step in work if step.progress is not None)
    assert (first.image, first.done, first.total, first.progress) == ("cat.png", 0, 3, None)
    assert second.model == "reach-3" and second.progress is not None and second.progress.done == 4
    passes = len(watched.network.batches)
    work.close()
    assert len(watched.network.batches) == passes and torch.is_grad_enabled()
    assert max(watched.network.batches) == 4


@pytest.mark.parametrize(
    ("models", "settings", "message"),
    [
        ([], {}, "name at least one"),
        ([model(3), model(3)], {}, "are called reach-3"),
        ([model(3), SRModel("x4", 4, Blurring(3))], {}, "one scale"),
        ([SRModel("onnx", 2, Blurring(3), differentiable=False)], {}, "gives no gradients"),
        ([model(3)], {"per_image": 0}, "1 or more"),
        ([model(3)], {"patch": -1}, "1 or more"),
        ([model(3)], {"patch": 6}, "too small for a window"),
        ([model(3)], {"patch": 20000}, "GiB of memory"),
        ([model(3)], {"settings": PathSettings(kernel=8)}, "odd"),
    ],
)
def test_refusals(folder: Path, models: list[SRModel], settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        finish(study(models, find_pairs(folder, None), **{"patch": SIDE, **settings}))  # type: ignore[arg-type]
