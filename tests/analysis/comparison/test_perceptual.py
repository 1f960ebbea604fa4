"""LPIPS and DISTS: asked of pyiqa where it and its weights are there, without a download, and missing otherwise."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.comparison import perceptual
from tests.support.comparisons import noise_comparison

FILES = [
    ("lpips", "pyiqa/LPIPS_v0.1_alex-df73285e.pth"),
    ("lpips", "checkpoints/alexnet-owt-7be5be79.pth"),
    ("dists", "pyiqa/DISTS_weights-f5e65c96.pth"),
    ("dists", "checkpoints/vgg16-397923af.pth"),
]
"""Files that pyiqa 0.1.16 and torchvision 0.28 load for each, below the folder of `torch.hub`."""
KNOWN = ["model", "psnr_y", "ssim_y", "ms_ssim", "gmsd"]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """An empty folder of weights."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    perceptual._metric.cache_clear()
    yield tmp_path
    torch.hub.set_dir(before)
    perceptual._metric.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, create_metric: Any) -> None:
    """Stand in for pyiqa, which asks its host for weights that are not there."""
    module = ModuleType("pyiqa")
    module.__spec__ = torch.__spec__  # some installed package's
    monkeypatch.setattr(module, "create_metric", create_metric, raising=False)
    monkeypatch.setitem(sys.modules, "pyiqa", module)


def fill(hub: Path, *names: str) -> None:
    for name, file in FILES:
        if name in names:
            (hub / file).parent.mkdir(exist_ok=True)
            (hub / file).touch()


def difference(name: str, device: str) -> Any:
    """A metric whose value tells of its arguments."""

    def measure(sr: Tensor, hr: Tensor) -> Tensor:
        assert sr.dtype == hr.dtype == torch.float32
        return (sr - hr).square().mean(dim=(1, 2, 3))[:, None] + (name == "dists")

    return measure


def test_rows_have_those_whose_weights_are_there(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = noise_comparison(60, 50, models=2)
    assert comparison.hr is not None
    fill(hub, "lpips", "dists")
    assert [*comparison.rows[0]] == [*KNOWN, "seconds", "parameters"]  # without pyiqa
    install(monkeypatch, difference)
    for row, result in zip(comparison.rows, comparison.results, strict=True):
        assert [*row] == [*KNOWN, "lpips", "dists", "seconds", "parameters"]
        inner = (result.sr - comparison.hr).numpy()[..., 2:-2, 2:-2]
        expected = np.square(inner).mean()
        assert (row["lpips"], row["dists"]) == pytest.approx((expected, expected + 1))
    assert "lpips" not in noise_comparison(scored=False).rows[0]
    assert math.isnan(noise_comparison(35, 60).rows[0]["lpips"])  # 31 rows within the border
    (hub / FILES[3][1]).unlink()
    assert [*comparison.rows[0]] == [*KNOWN, "lpips", "seconds", "parameters"]


def test_a_broken_installation_costs_no_other_score(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create_metric(name: str, device: str) -> Any:
        if name == "lpips":
            raise RuntimeError("operator torchvision::nms does not exist")
        return difference(name, device)

    fill(hub, "lpips", "dists")
    install(monkeypatch, create_metric)
    assert [*noise_comparison().rows[0]] == [*KNOWN, "dists", "seconds", "parameters"]
