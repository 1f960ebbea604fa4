"""A folder of small benchmark sets in every layout, and models that take no time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from promptsr.zoo.sr_model import SRModel

Write = Callable[..., Path]


class Doubling(nn.Module):
    """A convolution that doubles the sides; `gain` is its only weight."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.gain * image.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.fixture
def model() -> Callable[..., SRModel]:
    """`model("name", gain=1.0)`: x2."""
    return lambda name, gain=1.0: SRModel(name, 2, Doubling(gain))


@pytest.fixture
def write() -> Write:
    """`write(path, seed, shrunk=1)`: an image of 40 x 36 pixels, or of a part of that, smooth and a little noisy."""

    def write_image(path: Path, seed: int, shrunk: int = 1) -> Path:
        rng = np.random.default_rng(seed)
        rows, columns, channels = np.indices((40 // shrunk, 36 // shrunk, 3)) * shrunk
        waves = 120 + 90 * np.sin(rows / 5 + channels + seed) * np.cos(columns / 7)
        pixels = (waves + rng.integers(-9, 10, waves.shape)).clip(0, 255).astype(np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write_image


@pytest.fixture
def bench(tmp_path: Path, write: Write) -> Path:
    """Set5 by scale, Set14 as in the archives, B100 and Kodak24 plain; x2."""
    bench = tmp_path / "bench"
    for i, name in enumerate(("baby", "bird")):
        write(bench / "Set5" / "x2" / "HR" / f"{name}.png", i)
        write(bench / "Set5" / "x2" / "LR" / f"{name}.png", i, 2)
        write(bench / "Set14" / "HR" / f"{name}.png", 10 + i)
        write(bench / "Set14" / "LR_bicubic" / "X2" / f"{name}x2.png", 10 + i, 2)
        write(bench / "B100" / f"{name}.png", 20 + i)
        write(bench / "Kodak24" / f"{name}.png", 30 + i)
    (bench / "notes").mkdir()
    return bench
