"""Texture of photographs; sky and blur, which are much of them, teach a network little."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 64
"""Side in HR pixels of the squares over which texture is measured."""


def texture(hr: Tensor) -> np.ndarray:
    """Measure the mean absolute gradient of grey in every cell: 1 x 3 x H x W in [0, 1] -> H/64 x W/64, rounded up."""
    grey = hr[0].mean(0)
    gradient = torch.zeros_like(grey)
    gradient[1:] += grey.diff(dim=0).abs()
    gradient[:, 1:] += grey.diff(dim=1).abs()
    means = F.avg_pool2d(gradient[None, None], CELL, ceil_mode=True)[0, 0]
    return means.numpy().astype(np.float64)


def draw_shares(textures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return how often a crop is drawn from each cell: in proportion to its texture, up to the mean of all.

    Args:
        textures: of every image, see `texture`.

    Returns:
        The cells of all images, M x 3: image, row and column of the top-left corner in HR pixels; and the cumulative
        share of the draws over them, M, which ends with 1.
    """
    cells = [
        np.column_stack([np.full(means.size, image), *(axis.ravel() * CELL for axis in np.indices(means.shape))])
        for image, means in enumerate(textures)
    ]
    weights = np.concatenate([means.ravel() for means in textures]) + 1e-6
    weights = np.minimum(weights, weights.mean())  # beyond that it is noise as often as detail
    cumulative = np.cumsum(weights / weights.sum())
    cumulative[-1] = 1.0
    return np.concatenate(cells), cumulative
