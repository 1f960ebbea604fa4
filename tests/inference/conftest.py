"""Models of one function, whose results are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from promptsr.zoo.sr_model import SRModel


class Function(nn.Module):
    """A network made of one function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def toy(function: Callable[[Tensor], Tensor], scale: int = 2, **fields: Any) -> SRModel:
    return SRModel("toy", scale, Function(function), **fields)


def nearest(x: Tensor, scale: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="nearest")


def bicubic(x: Tensor, scale: int = 2) -> Tensor:
    """Reaches two pixels far."""
    return F.interpolate(x, scale_factor=scale, mode="bicubic")


def noise(height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def enlarged(pixels: np.ndarray, scale: int = 2) -> np.ndarray:
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)
