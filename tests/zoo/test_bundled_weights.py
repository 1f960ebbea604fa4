"""The weights that come with the package, on what is drawn: photographs alone had left the full network without an idea
of strong colours, and stripes sent it to values of thousands."""

import numpy as np
import pytest
import torch
from torch import Tensor

from promptsr.imaging.resize import downscale
from promptsr.zoo.listing import list_models
from promptsr.zoo.load import load_model

NAMES = [model.name for model in list_models() if model.name.startswith("promptsr") and model.has_weights]
LR_SIDE = 48
DRAWINGS = 40


def drawing(seed: int, scale: int) -> Tensor:
    """Stripes, a chequered pattern or rings of two colours, soft or hard, at any angle: 1 x 3 x H x W."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: LR_SIDE * scale, : LR_SIDE * scale]
    angle, period = rng.uniform(0, np.pi), scale * np.exp(rng.uniform(np.log(1.5), np.log(15)))
    along = (columns * np.cos(angle) + rows * np.sin(angle)) / period
    across = (rows * np.cos(angle) - columns * np.sin(angle)) / (period * rng.uniform(0.7, 2))
    phase = (along, np.maximum(np.floor(along) % 2, np.floor(across) % 2) / 2, np.hypot(along, across))[seed % 3]
    wave = np.sin(2 * np.pi * phase) if seed % 2 else np.sign(phase % 1 - rng.uniform(0.3, 0.7))
    # Half of the channels at an end of their range: strong colours
    first, second = np.where(rng.random((2, 3)) < 0.5, rng.integers(0, 2, (2, 3)), rng.random((2, 3)))
    values = first + (second - first) * (0.5 + 0.5 * wave[..., None])
    return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]  # H x W x 3 -> 1 x 3 x H x W


@pytest.mark.parametrize("name", NAMES)
def test_drawings_of_strong_colours_are_no_worse_than_enlarged_by_bicubic_interpolation(name: str) -> None:
    model = load_model(name)
    bicubic = load_model(f"bicubic-x{model.scale}")
    errors = []
    with torch.inference_mode():
        for seed in range(DRAWINGS):
            hr = drawing(seed, model.scale)
            lr = downscale(hr, model.scale).clamp(0, 1)
            results = model(lr), bicubic(lr)
            assert results[0].abs().max() < 2, f"drawing {seed}"
            errors.append([float((result.clamp(0, 1) - hr).abs().mean()) for result in results])
    mine, its = np.array(errors).T
    assert mine.mean() < its.mean() and (mine < 2 * its + 0.02).all(), (mine - its).round(3)
